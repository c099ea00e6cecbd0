//! Where every partition stands, for those who look: metrics and /status.

use super::Source;
use crate::decode::Reason;
use crate::ledger::{Phase, Stopped};
use crate::types::TopicPartition;

impl Source {
    /// Publishes where every partition stands, as metrics and for /status.
    pub(super) fn publish(&self) {
        let metrics = &self.parts.metrics;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.partitions_assigned.set(count(self.ledger.count()));
        let mut stopped = [0_i64; Stopped::ALL.len()];
        let (mut waiting, mut resolving, mut held) = (0, 0, 0);
        for (partition, place) in self.ledger.iter() {
            match &place.phase {
                Phase::Resolving => resolving += 1,
                Phase::Active if place.held.is_some() => held += 1,
                Phase::Active => waiting += i64::from(self.slots[place.writer].paused),
                Phase::Stopped(why) => {
                    for (name, n) in Stopped::ALL.iter().zip(&mut stopped) {
                        *n += i64::from(why.as_str() == *name);
                    }
                }
            }
            if place.known && place.phase != Phase::Resolving {
                // Of one instant: alerts add them up to where the partition ends.
                let number = partition.partition.to_string();
                let labels = [&*partition.topic, number.as_str()];
                metrics.position.with_label_values(&labels).set(place.stored.0);
                if let Some(lag) = place.lag() {
                    metrics.lag_records.with_label_values(&labels).set(lag);
                }
            }
        }
        metrics.partitions_paused.with_label_values(&["writer"]).set(waiting);
        metrics.partitions_paused.with_label_values(&["position"]).set(resolving);
        metrics.partitions_paused.with_label_values(&["breaker"]).set(held);
        for (name, n) in Stopped::ALL.iter().zip(stopped) {
            metrics.partitions_stopped.with_label_values(&[name]).set(n);
        }
        let paused: Vec<bool> = self.slots.iter().map(|slot| slot.paused).collect();
        self.parts.board.publish(&self.ledger, &paused);
    }

    /// What is counted of a partition that is ours from now on begins at 0: the first of anything would be no increase.
    pub(super) fn begin_metrics(&self, partition: &TopicPartition) {
        let metrics = &self.parts.metrics;
        let topic = &*partition.topic;
        let _begun = metrics.records_consumed.with_label_values(&[topic, &partition.partition.to_string()]);
        let _begun = metrics.bytes_consumed.with_label_values(&[topic]);
        let _begun = metrics.breaker_open.with_label_values(&[topic]);
        for reason in Reason::ALL {
            let _begun = metrics.dead_letters.with_label_values(&[topic, reason.as_str()]);
        }
    }

    /// A partition that is not ours any more has no position and no lag here.
    pub(super) fn forget_metrics(&self, partition: &TopicPartition) {
        let number = partition.partition.to_string();
        let labels = [&*partition.topic, number.as_str()];
        for gauge in [&self.parts.metrics.lag_records, &self.parts.metrics.position] {
            if let Err(error) = gauge.remove_label_values(&labels) {
                tracing::trace!(%error, "nothing was known of it");
            }
        }
    }
}
