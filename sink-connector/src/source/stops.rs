//! Partitions that are not read any more: what the watcher found, and what was taken of them already.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Source;
use crate::events::Watermarks;
use crate::ledger::{Phase, Stopped};
use crate::types::TopicPartition;

/// How often, and for how long, a position beyond the end is confirmed before its partition stops: a broker that has
/// just become leader may not know its end yet.
const CONFIRM: (u32, Duration) = (3, Duration::from_secs(10));

impl Source {
    pub(super) fn watermarks(&mut self, found: Vec<(TopicPartition, Watermarks)>) {
        let now = Instant::now();
        let told = found.iter().filter(|(partition, _)| self.ledger.get(partition).is_some()).count();
        if told == self.ledger.count() {
            self.ends.told = Some(now);
        }
        for (partition, Watermarks { low, high }) in found {
            self.ledger.ends_at(&partition, high);
            let Some(place) = self.ledger.get(&partition) else { continue };
            if place.phase != Phase::Active {
                continue;
            }
            let (stored, next) = (place.stored, place.next);
            if next < low {
                // What was read before it was deleted is nowhere else any more: it is written first.
                if stored != next || place.busy {
                    continue;
                }
                let why = format!(
                    "{partition}: the next record is {next}, but the log begins at {low}: retention has removed what \
                     was not read yet. Choose a position with `sink-connector offsets reset`"
                );
                self.stop(&partition, Stopped::BelowLogStart(why));
            } else if stored > high {
                let (times, since) = self.beyond.entry(partition.clone()).or_insert((0, now));
                *times += 1;
                if *times >= CONFIRM.0 && now - *since >= CONFIRM.1 {
                    let why = format!(
                        "{partition}: the position is {stored}, but the log ends at {high}: it was truncated, or the \
                         topic created again. Choose a position with `sink-connector offsets reset`"
                    );
                    self.stop(&partition, Stopped::BeyondLogEnd(why));
                }
            } else {
                self.beyond.remove(&partition);
                if place.lag().is_some_and(|lag| lag > 0)
                    && !place.busy
                    && stored == next
                    && place.held.is_none()
                    && !self.slots[place.writer].paused
                {
                    // There are records and none came: librdkafka stops fetching after some errors.
                    self.nudge(&partition);
                }
            }
        }
        self.publish();
    }

    /// Stops a partition: its records are not taken any more, those in the open batch are dropped.
    pub(super) fn stop(&mut self, partition: &TopicPartition, why: Stopped) {
        let text = why.to_string();
        let reason = why.as_str();
        if !self.ledger.stop(partition, why) {
            return;
        }
        tracing::error!(%partition, reason, "partition stopped: {text}");
        self.last = None;
        self.without(std::slice::from_ref(partition));
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition.0);
        if let Err(error) = self.parts.consumer.pause(&list) {
            tracing::debug!(%partition, %error, "a partition that is not assigned need not be paused");
        }
        self.publish();
    }

    /// Partitions are not ours any more, or are not read any more: what was taken of them is dropped.
    pub(super) fn without(&mut self, partitions: &[TopicPartition]) {
        self.put_back(partitions);
        self.without_held(partitions);
        self.close_passed();
    }

    /// Takes partitions out of the open batches; what else is in them is encoded again.
    pub(super) fn put_back(&mut self, partitions: &[TopicPartition]) {
        for slot in &mut self.slots {
            if slot.open.spans().iter().any(|s| partitions.contains(&s.partition)) {
                let (opened, doubt) = (slot.opened, slot.doubt.clone());
                let batch = slot.take_open();
                let plans = batch.plans().clone();
                self.taken -= batch.records().count() as u64;
                slot.open = batch.encode_again(
                    |p| plans.get(&p.topic).cloned(),
                    |p| !partitions.contains(p),
                    &mut self.fields,
                );
                self.taken += slot.open.records().count() as u64;
                (slot.opened, slot.doubt) = (opened, doubt);
            }
        }
    }
}
