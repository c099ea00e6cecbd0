//! Once a second: what moves without records.

use std::time::Instant;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::Offset as KafkaOffset;

use super::Source;
use crate::keeper::Request;
use crate::ledger::Phase;
use crate::types::{Offset, TopicPartition};

impl Source {
    /// Once a second: records that were dropped, positions that move without records, the status.
    pub(super) fn tick(&mut self) {
        let enough = self.enough();
        let dropped: Vec<TopicPartition> = self
            .ledger
            .iter()
            .filter(|(_, place)| place.dropped && place.is_active() && place.held.is_none() && !enough)
            .filter(|(_, place)| {
                !self.slots[place.writer].paused && !self.slots[place.writer].full(&self.parts.limits)
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in dropped {
            self.nudge(&partition);
        }
        self.pass_gaps();
        self.hear_of_commits();
        let told = self.parts.metrics.kafka_commits.with_label_values(&["ok"]).get();
        if self.outsider.is_some_and(|before| told > before) {
            self.member();
        }
        if self.parts.bounds.until_end && self.ends.waits_for_others(&self.ledger) {
            self.ask(Request::ReadAll(self.ends.topics()));
        }
        self.publish();
    }

    /// Stores positions that went past transaction markers or compacted records, so that lag comes down to 0.
    ///
    /// The client's own position is believed only once it was reset after the last assignment or seek: it outlives
    /// both, and one from before would skip records.
    pub(super) fn pass_gaps(&mut self) {
        let idle: Vec<TopicPartition> = self
            .ledger
            .iter()
            .filter(|(_, p)| p.phase == Phase::Active && !p.busy && !p.dropped && p.stored == p.next)
            .filter(|(_, p)| p.lag().is_some_and(|lag| lag > 0) && !self.slots[p.writer].paused)
            .map(|(partition, _)| partition.clone())
            .collect();
        let positions = if idle.is_empty() { None } else { self.parts.consumer.position().ok() };
        for partition in &idle {
            let settled = self.ledger.get(partition).is_some_and(|place| place.settled);
            if !settled {
                self.nudge(partition);
                if let Some(place) = self.ledger.get_mut(partition) {
                    place.settled = !place.dropped;
                }
                continue;
            }
            let position = positions
                .as_ref()
                .and_then(|list| list.find_partition(&partition.topic, partition.partition.0))
                .map(|element| element.offset());
            let Some(place) = self.ledger.get_mut(partition) else { continue };
            if let Some(KafkaOffset::Offset(position)) = position
                && position > place.next.0
            {
                let slot = &mut self.slots[place.writer];
                let span = slot.open.span(partition, place.handed);
                slot.open.advance(span, Offset(position));
                slot.opened.get_or_insert_with(Instant::now);
                place.next = Offset(position);
            }
        }
        for partition in self.ledger.iter().map(|(p, _)| p.clone()).collect::<Vec<_>>() {
            if let Some(place) = self.ledger.get_mut(&partition) {
                place.busy = false;
            }
        }
    }
}
