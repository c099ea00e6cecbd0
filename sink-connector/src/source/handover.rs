//! Handing batches to their writers, and waiting for busy writers.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Source;
use crate::types::{Offset, TopicPartition};

/// How long the source waits for a busy writer without polling. After that it pauses the writer's partitions and polls
/// again. Pausing drops prefetched records, so it is for outages, not for flow control.
const PAUSE_AFTER: Duration = Duration::from_secs(1);

impl Source {
    /// Hands every batch that is due to its writer, if the writer is idle.
    pub(super) fn hand_over_due(&mut self, now: Instant) {
        if !self.totals.rejected.is_empty() {
            return;
        }
        for writer in 0..self.lanes.len() {
            let lane = &self.lanes[writer];
            if lane.in_flight.is_some() {
                continue;
            }
            if lane.due(&self.context.limits, now) {
                if !self.waits_for_recreation_check(writer) {
                    self.hand_over(writer);
                }
            } else if lane.paused {
                // The records that filled its batch may have been dropped since.
                self.resume(writer);
            }
        }
    }

    pub(super) fn hand_over(&mut self, writer: usize) {
        let lane = &mut self.lanes[writer];
        if lane.queued.is_empty() {
            // Parts of the open batch may be queued: what is taken next follows all of them.
            for span in lane.open.spans() {
                self.ledger.handed_over(&span.partition, span.next);
            }
        }
        let batch = lane.take_next(&mut self.fields);
        lane.in_flight = Some(batch.records().count() as u64);
        for span in batch.spans() {
            self.ledger.handed_over(&span.partition, span.next);
        }
        // The table may have changed: the next batch looks the plan up again.
        self.last = None;
        if lane.batches.send(batch).is_err() {
            tracing::error!(writer, "the writer thread has ended");
        }
    }

    /// Waits for an event without polling when a writer is busy and its next batch is full, or when a batch that is due
    /// must wait for its recreation check. True when it has waited.
    pub(super) fn waits_for_writer(&mut self, now: Instant) -> bool {
        let limits = self.context.limits;
        let mut blocked_since: Option<Instant> = None;
        for writer in 0..self.lanes.len() {
            let lane = &self.lanes[writer];
            let waits = match lane.in_flight {
                _ if lane.paused => false,
                Some(_) => lane.full(&limits),
                None => lane.due(&limits, now) && self.waits_for_recreation_check(writer),
            };
            if !waits {
                continue;
            }
            let lane = &mut self.lanes[writer];
            let blocked = *lane.blocked.get_or_insert(now);
            if now - blocked >= PAUSE_AFTER {
                self.pause(writer);
                continue;
            }
            blocked_since = Some(blocked_since.map_or(blocked, |since| since.min(blocked)));
        }
        let Some(blocked_since) = blocked_since else { return false };
        let wait =
            (blocked_since + PAUSE_AFTER).saturating_duration_since(now).min(Duration::from_millis(100));
        match self.context.events.recv_timeout(wait) {
            Ok(event) => self.on_event(event),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                tracing::error!("all threads that send events have ended");
            }
        }
        true
    }

    /// Stops fetching for a writer that makes no progress. Polling continues, so the group membership stays.
    pub(super) fn pause(&mut self, writer: usize) {
        self.lanes[writer].paused = true;
        let mut list = TopicPartitionList::new();
        for partition in self.ledger.of_writer(writer) {
            list.add_partition(&partition.topic, partition.partition.0);
            if let Some(entry) = self.ledger.get_mut(&partition) {
                entry.dropped = true;
            }
        }
        if let Err(error) = self.context.consumer.pause(&list) {
            tracing::debug!(%error, "cannot pause partitions");
        }
    }

    /// Fetches again, from the next record to take.
    pub(super) fn resume(&mut self, writer: usize) {
        self.lanes[writer].paused = false;
        let partitions: Vec<(TopicPartition, Offset)> = self
            .ledger
            .of_writer(writer)
            .into_iter()
            .filter_map(|p| {
                self.ledger
                    .get(&p)
                    .filter(|entry| entry.is_active() && entry.held.is_none())
                    .map(|entry| entry.next)
                    .map(|n| (p, n))
            })
            .collect();
        let mut list = TopicPartitionList::new();
        for (partition, _) in &partitions {
            list.add_partition(&partition.topic, partition.partition.0);
        }
        if let Err(error) = self.context.consumer.resume(&list) {
            tracing::debug!(%error, "cannot resume partitions");
        }
        for (partition, next) in partitions {
            self.seek(&partition, next);
        }
    }
}
