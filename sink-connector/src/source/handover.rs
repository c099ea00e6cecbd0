//! Handing batches to their writers, and waiting for those that are busy.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Source;
use crate::types::{Offset, TopicPartition};

/// How long the source waits for a busy writer without polling; after that its partitions are paused, and polling
/// goes on. Pausing drops what was prefetched, so it is for outages, not for flow control.
const PATIENCE: Duration = Duration::from_secs(1);

impl Source {
    /// Gives every batch that is due to its writer, if that is idle.
    pub(super) fn hand_over_due(&mut self, now: Instant) {
        if !self.totals.refused.is_empty() {
            return;
        }
        for writer in 0..self.slots.len() {
            let slot = &self.slots[writer];
            if slot.in_flight.is_some() {
                continue;
            }
            if slot.due(&self.parts.limits, now) {
                if !self.waits_for_answer(writer) {
                    self.hand_over(writer);
                }
            } else if slot.paused {
                // What it was paused with may have been taken out of its batch since.
                self.resume(writer);
            }
        }
    }

    pub(super) fn hand_over(&mut self, writer: usize) {
        let slot = &mut self.slots[writer];
        let batch = slot.take_next(&mut self.fields);
        slot.in_flight = Some(batch.records().count() as u64);
        for span in batch.spans() {
            self.ledger.handed_over(&span.partition, span.next);
        }
        // The table may have changed: the next batch asks for the plan again.
        self.last = None;
        if slot.batches.send(batch).is_err() {
            tracing::error!(writer, "the writer is gone");
        }
    }

    /// A writer is busy and its next batch is full, or it is not known yet whether its batch may be written: waits for
    /// news, without polling. True when it has waited.
    pub(super) fn waits_for_writer(&mut self, now: Instant) -> bool {
        let limits = self.parts.limits;
        let mut first: Option<Instant> = None;
        for writer in 0..self.slots.len() {
            let slot = &self.slots[writer];
            let waits = match slot.in_flight {
                _ if slot.paused => false,
                Some(_) => slot.full(&limits),
                None => slot.due(&limits, now) && self.waits_for_answer(writer),
            };
            if !waits {
                continue;
            }
            let slot = &mut self.slots[writer];
            let blocked = *slot.blocked.get_or_insert(now);
            if now - blocked >= PATIENCE {
                self.pause(writer);
                continue;
            }
            first = Some(first.map_or(blocked, |first| first.min(blocked)));
        }
        let Some(first) = first else { return false };
        let wait = (first + PATIENCE).saturating_duration_since(now).min(Duration::from_millis(100));
        match self.parts.events.recv_timeout(wait) {
            Ok(event) => self.heard(event),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                tracing::error!("nobody is left to send news");
            }
        }
        true
    }

    /// Stops fetching for a writer that does not get on. Polling goes on, and so does membership of the group.
    pub(super) fn pause(&mut self, writer: usize) {
        self.slots[writer].paused = true;
        let mut list = TopicPartitionList::new();
        for partition in self.ledger.of_writer(writer) {
            list.add_partition(&partition.topic, partition.partition.0);
            if let Some(place) = self.ledger.get_mut(&partition) {
                place.dropped = true;
            }
        }
        if let Err(error) = self.parts.consumer.pause(&list) {
            tracing::debug!(%error, "pausing");
        }
    }

    /// Goes on fetching where taking stopped.
    pub(super) fn resume(&mut self, writer: usize) {
        self.slots[writer].paused = false;
        let partitions: Vec<(TopicPartition, Offset)> = self
            .ledger
            .of_writer(writer)
            .into_iter()
            .filter_map(|p| {
                self.ledger
                    .get(&p)
                    .filter(|place| place.is_active() && place.held.is_none())
                    .map(|place| place.next)
                    .map(|n| (p, n))
            })
            .collect();
        let mut list = TopicPartitionList::new();
        for (partition, _) in &partitions {
            list.add_partition(&partition.topic, partition.partition.0);
        }
        if let Err(error) = self.parts.consumer.resume(&list) {
            tracing::debug!(%error, "resuming");
        }
        for (partition, next) in partitions {
            self.seek(&partition, next);
        }
    }
}
