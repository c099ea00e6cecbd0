//! Taking one record from Kafka into the batch of its writer.

use std::sync::Arc;
use std::time::Instant;

use super::Source;
use crate::kafka::client::FetchedRecord;
use crate::table::plan::Plan;
use crate::types::TopicPartition;

/// Whether the next record can be taken at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// The record is in a batch, or it was not needed.
    Done,
    /// First, commands must be done: a batch is full.
    Enough,
}

/// What was looked up for the partition of the last record. Records come in runs of one partition.
pub(crate) struct LastPartition {
    partition: TopicPartition,
    plan: Arc<Plan>,
    writer: usize,
    /// When its last record was taken.
    last_record: Option<Instant>,
}

impl Source {
    /// Takes a record, if its partition is active and its writer has room.
    pub(crate) fn take(&mut self, record: &impl FetchedRecord, now: Instant) -> Taken {
        if !self.last_is(record) && !self.look_up(record) {
            return Taken::Done;
        }
        let max_records_taken = self.max_records_taken();
        let Some(last) = &mut self.last else { return Taken::Done };
        let (writer, partition) = (last.writer, &last.partition);
        let Some(entry) = self.ledger.get_mut(partition) else { return Taken::Done };
        if !entry.takes(record.offset()) {
            return Taken::Done;
        }
        if entry.is_growing() {
            return self.take_for_retry(record, now);
        }
        let lane = &mut self.lanes[writer];
        if max_records_taken || lane.full(&self.settings.limits) {
            // The record is fetched again after a seek. Until then nothing is taken from this partition.
            entry.interrupted();
            return Taken::Enough;
        }
        let incoming = record.incoming(&mut self.headers);
        let span = lane.open.span(partition, entry.next());
        lane.open.push(span, &last.plan, &incoming, &mut self.fields);
        lane.opened.get_or_insert(now);
        entry.taken(record.offset());
        self.last_record = now;
        self.taken += 1;
        // One clock reading serves a whole burst of records.
        if last.last_record != Some(now) {
            last.last_record = Some(now);
            let topic = Arc::clone(&last.partition.topic);
            if self.pauses.ended_by_record(&topic, now) {
                self.start_recreation_check(writer, &topic, now);
            } else {
                self.share_recreation_check(writer, &topic, now);
            }
        }
        if self.lanes[writer].full(&self.settings.limits) {
            self.hand_over_due(now);
            return Taken::Enough;
        }
        Taken::Done
    }

    /// Takes a record that follows those that an open breaker holds, if the next retry may still grow.
    fn take_for_retry(&mut self, record: &impl FetchedRecord, now: Instant) -> Taken {
        let limits = self.growth_limits();
        let max_records_taken = self.max_records_taken();
        let Some(LastPartition { partition, plan, writer, .. }) = &self.last else { return Taken::Done };
        let Some(entry) = self.ledger.get_mut(partition) else { return Taken::Done };
        if max_records_taken || !self.breakers.may_grow(&partition.topic, *writer, limits) {
            let full = vec![partition.clone()];
            self.stop_growing(full);
            return Taken::Enough;
        }
        let Some(growth) = self.breakers.growth(&partition.topic, *writer) else { return Taken::Done };
        let span = growth.span(partition, entry.next());
        growth.push(span, plan, &record.incoming(&mut self.headers), &mut self.fields);
        entry.taken(record.offset());
        self.last_record = now;
        self.taken += 1;
        Taken::Done
    }

    fn last_is(&self, record: &impl FetchedRecord) -> bool {
        self.last.as_ref().is_some_and(|last| {
            last.partition.partition == record.partition() && *last.partition.topic == *record.topic()
        })
    }

    fn look_up(&mut self, record: &impl FetchedRecord) -> bool {
        let partition = TopicPartition::new(record.topic(), record.partition().0);
        let (Some((partition, entry)), Some(plan)) =
            (self.ledger.entry(&partition), self.settings.plans.get(record.topic()))
        else {
            self.last = None;
            return false;
        };
        let partition = partition.clone();
        self.last = Some(LastPartition { writer: entry.writer(), partition, plan, last_record: None });
        true
    }
}
