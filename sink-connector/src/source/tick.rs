//! The work of a tick, once a second: what moves without records.

use std::time::Instant;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::Offset as KafkaOffset;

use super::Source;
use crate::messages::requests::Request;
use crate::positions::ledger::Phase;
use crate::types::{Offset, TopicPartition};

impl Source {
    /// Fetches dropped records again, stores positions that moved without records, and publishes the status.
    pub(super) fn tick(&mut self) {
        let enough = self.max_records_taken();
        let dropped: Vec<TopicPartition> = self
            .ledger
            .iter()
            .filter(|(_, entry)| entry.dropped && entry.is_active() && entry.held.is_none() && !enough)
            .filter(|(_, entry)| {
                !self.lanes[entry.writer].paused && !self.lanes[entry.writer].full(&self.context.limits)
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in dropped {
            self.refetch(&partition);
        }
        self.pass_gaps();
        self.on_commit_outcomes();
        let committed = self.context.metrics.kafka_commits.with_label_values(&["ok"]).get();
        if self.group_refusal.is_some_and(|before| committed > before) {
            self.group_recovered();
        }
        if self.context.bounds.until_end && self.ends.waits_for_others(&self.ledger) {
            self.request(Request::ReadAll(self.ends.topics()));
        }
        self.publish();
    }

    /// Stores positions that moved past transaction markers or compacted records, so that lag reaches 0.
    ///
    /// The client's own position is used only after it was reset since the last assignment or seek. It survives both, and
    /// an old one would skip records.
    pub(super) fn pass_gaps(&mut self) {
        let idle: Vec<TopicPartition> = self
            .ledger
            .iter()
            .filter(|(_, p)| p.phase == Phase::Active && !p.busy && !p.dropped && p.stored == p.next)
            .filter(|(_, p)| p.lag().is_some_and(|lag| lag > 0) && !self.lanes[p.writer].paused)
            .map(|(partition, _)| partition.clone())
            .collect();
        let positions = if idle.is_empty() { None } else { self.context.consumer.position().ok() };
        for partition in &idle {
            let settled = self.ledger.get(partition).is_some_and(|entry| entry.settled);
            if !settled {
                self.refetch(partition);
                if let Some(entry) = self.ledger.get_mut(partition) {
                    entry.settled = !entry.dropped;
                }
                continue;
            }
            let position = positions
                .as_ref()
                .and_then(|list| list.find_partition(&partition.topic, partition.partition.0))
                .map(|element| element.offset());
            let Some(entry) = self.ledger.get_mut(partition) else { continue };
            if let Some(KafkaOffset::Offset(position)) = position
                && position > entry.next.0
            {
                let lane = &mut self.lanes[entry.writer];
                let span = lane.open.span(partition, entry.handed);
                lane.open.advance(span, Offset(position));
                lane.opened.get_or_insert_with(Instant::now);
                entry.next = Offset(position);
            }
        }
        for partition in self.ledger.iter().map(|(p, _)| p.clone()).collect::<Vec<_>>() {
            if let Some(entry) = self.ledger.get_mut(&partition) {
                entry.busy = false;
            }
        }
    }
}
