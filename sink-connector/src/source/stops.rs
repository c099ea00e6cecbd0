//! Partitions that stop: the reasons that the log ends give, and the removal of their records from open batches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use super::{Command, Source};
use crate::messages::events::Watermarks;
use crate::messages::requests::{PositionQuery, Request};
use crate::positions::stopped::Stopped;
use crate::types::{Offset, TopicPartition};

/// A partition stops only after the same position was beyond the end this often and for this long: a broker that has just
/// become leader may not know the end yet, and an end may be older than the position. Behind the end of a log, no record moves
/// the position.
const CONFIRM: (u32, Duration) = (3, Duration::from_secs(10));

/// Ticks between two queries for the positions of partitions whose table may be back.
const QUERY_EVERY: u32 = 3;

/// A position beyond the end of its log.
#[derive(Debug)]
struct BeyondLogEnd {
    position: Offset,
    /// How often in a row it was observed.
    times: u32,
    since: Instant,
}

/// The positions beyond the ends of their logs.
#[derive(Default, Debug)]
pub(super) struct BeyondLogEnds(HashMap<TopicPartition, BeyondLogEnd>);

impl BeyondLogEnds {
    /// One more observation. True when it is confirmed.
    fn observe(&mut self, partition: &TopicPartition, position: Offset, now: Instant) -> bool {
        let first = BeyondLogEnd { position, times: 0, since: now };
        let observed = match self.0.entry(partition.clone()) {
            Entry::Occupied(entry) if entry.get().position == position => entry.into_mut(),
            entry => entry.insert_entry(first).into_mut(),
        };
        observed.times += 1;
        observed.times >= CONFIRM.0 && now - observed.since >= CONFIRM.1
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
                if self.beyond_log_ends.observe(&partition, stored, now) {
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

    /// Reads the positions of partitions again that have stopped for a cause that may be over: the table is back.
    pub(super) fn query_stopped(&mut self) {
        self.ticks_to_query = self.ticks_to_query.saturating_sub(1);
        if self.ticks_to_query > 0 {
            return;
        }
        self.ticks_to_query = QUERY_EVERY;
        let mut queries = Vec::new();
        for partition in self.ledger.select(|_, entry| entry.may_recover()) {
            if let Some(epoch) = self.ledger.query_again(&partition) {
                queries.push(PositionQuery { partition, epoch, known: true });
            }
        }
        if !queries.is_empty() {
            self.command(Command::Request(Request::Resolve(queries)));
        }
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
