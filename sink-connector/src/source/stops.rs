//! Partitions that stop: the reasons that the log ends give, and the removal of their records from open batches.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Source;
use crate::messages::events::Watermarks;
use crate::positions::ledger::{Phase, Stopped};
use crate::types::TopicPartition;

/// A partition stops only after its position was beyond the end this often and for this long: a broker that has just
/// become leader may not know the end yet.
const CONFIRM: (u32, Duration) = (3, Duration::from_secs(10));

/// Observations of a position beyond the end of its log.
pub(super) struct BeyondLogEnd {
    times: u32,
    since: Instant,
}

impl Source {
    /// Notes where the logs begin and end, and stops partitions whose position is outside.
    pub(super) fn on_watermarks(&mut self, found: Vec<(TopicPartition, Watermarks)>) {
        let now = Instant::now();
        let ours = found.iter().filter(|(partition, _)| self.ledger.get(partition).is_some()).count();
        if ours == self.ledger.count() {
            self.ends.received = Some(now);
        }
        for (partition, Watermarks { low, high }) in found {
            self.ledger.ends_at(&partition, high);
            let Some(entry) = self.ledger.get(&partition) else { continue };
            if entry.phase != Phase::Active {
                continue;
            }
            let (stored, next) = (entry.stored, entry.next);
            if next < low {
                // Records that were read before retention removed them exist only here: write them first.
                if stored != next || entry.busy {
                    continue;
                }
                let why = format!(
                    "{partition}: the next record is {next}, but the log begins at {low}: retention has removed \
                     unread records. Set a position with `sink-connector offsets reset`"
                );
                self.stop(&partition, Stopped::BelowLogStart(why));
            } else if stored > high {
                let seen = self.beyond_log_end.entry(partition.clone());
                let seen = seen.or_insert(BeyondLogEnd { times: 0, since: now });
                seen.times += 1;
                if seen.times >= CONFIRM.0 && now - seen.since >= CONFIRM.1 {
                    let why = format!(
                        "{partition}: the position is {stored}, but the log ends at {high}: it was truncated, or the \
                         topic was recreated. Set a position with `sink-connector offsets reset`"
                    );
                    self.stop(&partition, Stopped::BeyondLogEnd(why));
                }
            } else {
                self.beyond_log_end.remove(&partition);
                if entry.lag().is_some_and(|lag| lag > 0)
                    && !entry.busy
                    && stored == next
                    && entry.held.is_none()
                    && !self.lanes[entry.writer].paused
                {
                    // There are records, but none arrived: librdkafka stops fetching after some errors.
                    self.refetch(&partition);
                }
            }
        }
        self.publish();
    }

    /// Stops a partition: no more of its records are taken, and those in the open batch are dropped.
    pub(super) fn stop(&mut self, partition: &TopicPartition, why: Stopped) {
        let text = why.to_string();
        let reason = why.as_str();
        if !self.ledger.stop(partition, why) {
            return;
        }
        tracing::error!(%partition, reason, "partition stopped: {text}");
        self.last = None;
        self.drop_records(std::slice::from_ref(partition));
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition.0);
        if let Err(error) = self.context.consumer.pause(&list) {
            tracing::debug!(%partition, %error, "cannot pause a stopped partition");
        }
        self.publish();
    }

    /// Drops the records of revoked or stopped partitions that no writer has yet.
    pub(super) fn drop_records(&mut self, partitions: &[TopicPartition]) {
        self.drop_from_open_batches(partitions);
        self.drop_held_records(partitions);
        self.drop_parked_records(partitions);
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
