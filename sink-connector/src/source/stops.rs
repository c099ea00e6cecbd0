//! Partitions that stop: the reasons that the log ends give, and the removal of their records from open batches.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Command, Source};
use crate::messages::events::Watermarks;
use crate::positions::stopped::Stopped;
use crate::types::TopicPartition;

/// A partition stops only after its position was beyond the end this often and for this long: a broker that has just
/// become leader may not know the end yet.
const CONFIRM: (u32, Duration) = (3, Duration::from_secs(10));

/// Observations of positions beyond the ends of their logs: how often in a row, and since when.
#[derive(Default, Debug)]
pub(super) struct BeyondLogEnds(HashMap<TopicPartition, (u32, Instant)>);

impl BeyondLogEnds {
    /// One more observation. True when it is confirmed.
    fn observe(&mut self, partition: &TopicPartition, now: Instant) -> bool {
        let (times, since) = self.0.entry(partition.clone()).or_insert((0, now));
        *times += 1;
        *times >= CONFIRM.0 && now - *since >= CONFIRM.1
    }

    /// The position is within the log, or the partition is another member's.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.0.remove(partition);
    }
}

impl Source {
    /// Notes where the logs begin and end, and stops partitions whose position is outside.
    pub(super) fn on_watermarks(&mut self, found: Vec<(TopicPartition, Watermarks)>, now: Instant) {
        let ours = found.iter().filter(|(partition, _)| self.ledger.get(partition).is_some()).count();
        if ours == self.ledger.count() {
            self.ends.received = Some(now);
        }
        for (partition, Watermarks { low, high }) in found {
            let Some(entry) = self.ledger.get_mut(&partition) else { continue };
            entry.ends_at(high);
            if !entry.is_active() {
                continue;
            }
            let (stored, next) = (entry.stored(), entry.next());
            if next < low {
                // Records that were read before retention removed them exist only here: write them first.
                if !entry.is_quiet() {
                    continue;
                }
                let why = format!(
                    "{partition}: the next record is {next}, but the log begins at {low}: retention has removed \
                     unread records. Set a position with `sink-connector offsets reset`"
                );
                self.stop(&partition, Stopped::BelowLogStart(why));
            } else if stored > high {
                if self.beyond_log_ends.observe(&partition, now) {
                    let why = format!(
                        "{partition}: the position is {stored}, but the log ends at {high}: it was truncated, or the \
                         topic was recreated. Set a position with `sink-connector offsets reset`"
                    );
                    self.stop(&partition, Stopped::BeyondLogEnd(why));
                }
            } else {
                self.beyond_log_ends.forget(&partition);
                if entry.is_starved() && !self.lanes[entry.writer()].paused {
                    // There are records, but none arrived: librdkafka stops fetching after some errors.
                    self.refetch(&partition);
                }
            }
        }
        self.command(Command::Publish);
    }

    /// Stops a partition: no more of its records are taken, and those in the open batch are dropped.
    pub(super) fn stop(&mut self, partition: &TopicPartition, why: Stopped) {
        let text = why.to_string();
        let reason = why.as_str();
        if !self.ledger.get_mut(partition).is_some_and(|entry| entry.stop(why)) {
            return;
        }
        tracing::error!(%partition, reason, "partition stopped: {text}");
        self.last = None;
        self.drop_records(std::slice::from_ref(partition));
        self.command(Command::Pause(vec![partition.clone()]));
        self.command(Command::Publish);
    }

    /// Drops the records of revoked or stopped partitions that no writer has yet, or that come back from one.
    pub(super) fn drop_records(&mut self, partitions: &[TopicPartition]) {
        self.drop_from_open_batches(partitions);
        self.drop_held_records(partitions);
        self.drop_parked_records(partitions);
        for lane in self.lanes.iter_mut().filter(|lane| lane.in_flight.is_some()) {
            lane.void_in_flight.extend_from_slice(partitions);
        }
        self.close_passed();
    }

    /// Removes the records of these partitions from the open batches; the other records are encoded again.
    pub(super) fn drop_from_open_batches(&mut self, partitions: &[TopicPartition]) {
        for lane in &mut self.lanes {
            if lane.open.spans().iter().any(|s| partitions.contains(&s.partition)) {
                let (opened, recreation_check) = (lane.opened, lane.recreation_check.clone());
                let batch = lane.take_open();
                let plans = batch.plans().clone();
                self.taken -= batch.records().count() as u64;
                lane.open = batch.encode_again(
                    |p| plans.get(&p.topic).cloned(),
                    |p| !partitions.contains(p),
                    &mut self.fields,
                );
                self.taken += lane.open.records().count() as u64;
                (lane.opened, lane.recreation_check) = (opened, recreation_check);
            }
        }
    }
}
