//! Taking one record from Kafka into the batch of its writer.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::Source;
use crate::kafka::headers;
use crate::kafka::record::Incoming;
use crate::positions::ledger::Phase;
use crate::table::plan::Plan;
use crate::types::{Offset, TopicPartition};

/// Whether more records can be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// The record is in a batch, or it was not needed.
    Done,
    /// A batch is full and its writer is busy: no more can be taken for that writer.
    Full,
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
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>, now: Instant) -> Taken {
        if !self.last_is(message) && !self.look_up(message) {
            return Taken::Done;
        }
        let Some(last) = &mut self.last else { return Taken::Done };
        let (writer, partition) = (last.writer, &last.partition);
        let Some(entry) = self.ledger.get_mut(partition) else { return Taken::Done };
        if entry.phase != Phase::Active
            || message.offset() < entry.next.0
            || entry.dropped
            || entry.held.is_some()
        {
            return Taken::Done;
        }
        let lane = &mut self.lanes[writer];
        let max_records_taken = self.context.bounds.max_records.is_some_and(|max| self.taken >= max);
        if max_records_taken || lane.full(&self.context.limits) {
            // The record is fetched again after a seek. Until then nothing is taken from this partition.
            entry.dropped = true;
            return Taken::Full;
        }
        let packed = headers::pack(message, &mut self.headers);
        let incoming = Incoming {
            offset: message.offset(),
            timestamp: match message.timestamp() {
                Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) if ms >= 0 => Some(ms),
                _ => None,
            },
            payload: message.payload(),
            key: message.key(),
            headers: packed.then_some(&self.headers),
        };
        let span = lane.open.span(partition, entry.handed);
        lane.open.push(span, &last.plan, &incoming, &mut self.fields);
        lane.opened.get_or_insert(now);
        entry.next = Offset(message.offset() + 1);
        entry.busy = true;
        entry.settled = true;
        self.last_record = now;
        self.taken += 1;
        // One clock reading serves a whole burst of records.
        if last.last_record != Some(now) {
            last.last_record = Some(now);
            let topic = Arc::clone(&last.partition.topic);
            if self.comes_after_a_pause(&topic, now) {
                self.start_recreation_check(writer, &topic, now);
            } else {
                self.share_recreation_check(writer, &topic, now);
            }
        }
        if self.lanes[writer].full(&self.context.limits) {
            self.hand_over_due(now);
            if self.lanes[writer].full(&self.context.limits) {
                return Taken::Full;
            }
        }
        Taken::Done
    }

    fn last_is(&self, message: &BorrowedMessage<'_>) -> bool {
        self.last.as_ref().is_some_and(|last| {
            last.partition.partition.0 == message.partition() && *last.partition.topic == *message.topic()
        })
    }

    fn look_up(&mut self, message: &BorrowedMessage<'_>) -> bool {
        let partition = TopicPartition::new(message.topic(), message.partition());
        let (Some(entry), Some(plan)) =
            (self.ledger.get(&partition), self.context.plans.get(message.topic()))
        else {
            self.last = None;
            return false;
        };
        self.last = Some(LastPartition { writer: entry.writer, partition, plan, last_record: None });
        true
    }
}
