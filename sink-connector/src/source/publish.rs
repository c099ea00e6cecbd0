//! Partition status as metrics and for /status.

use super::Source;
use crate::decode::Reason;
use crate::positions::ledger::{HeldBy, Phase, Stopped};
use crate::types::TopicPartition;

impl Source {
    /// Publishes the status of every partition.
    pub(super) fn publish(&self) {
        let metrics = &self.context.metrics;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.partitions_assigned.set(count(self.ledger.count()));
        let mut stopped = [0_i64; Stopped::ALL.len()];
        let (mut waiting, mut resolving, mut held, mut parked) = (0, 0, 0, 0);
        for (partition, entry) in self.ledger.iter() {
            match &entry.phase {
                Phase::Resolving => resolving += 1,
                Phase::Active => match entry.held.as_ref().map(|held| held.by) {
                    Some(HeldBy::Breaker) => held += 1,
                    Some(HeldBy::Table) => parked += 1,
                    None => waiting += i64::from(self.lanes[entry.writer].paused),
                },
                Phase::Stopped(why) => {
                    for (name, n) in Stopped::ALL.iter().zip(&mut stopped) {
                        *n += i64::from(why.as_str() == *name);
                    }
                }
            }
            if entry.known && entry.phase != Phase::Resolving {
                // Both from the same moment: alerts add them up to the end of the partition.
                let number = partition.partition.to_string();
                let labels = [&*partition.topic, number.as_str()];
                metrics.position.with_label_values(&labels).set(entry.stored.0);
                if let Some(lag) = entry.lag() {
                    metrics.lag_records.with_label_values(&labels).set(lag);
                }
            }
        }
        metrics.partitions_paused.with_label_values(&["writer"]).set(waiting);
        metrics.partitions_paused.with_label_values(&["position"]).set(resolving);
        metrics.partitions_paused.with_label_values(&["breaker"]).set(held);
        metrics.partitions_paused.with_label_values(&["table"]).set(parked);
        for (name, n) in Stopped::ALL.iter().zip(stopped) {
            metrics.partitions_stopped.with_label_values(&[name]).set(n);
        }
        let paused: Vec<bool> = self.lanes.iter().map(|lane| lane.paused).collect();
        self.context.board.publish(&self.ledger, &paused);
    }

    /// Creates the counters of a newly assigned partition at 0: Prometheus sees an increase only from an existing value.
    pub(super) fn begin_metrics(&self, partition: &TopicPartition) {
        let metrics = &self.context.metrics;
        let topic = &*partition.topic;
        let _created = metrics.records_consumed.with_label_values(&[topic, &partition.partition.to_string()]);
        let _created = metrics.bytes_consumed.with_label_values(&[topic]);
        let _created = metrics.breaker_open.with_label_values(&[topic]);
        for reason in Reason::ALL {
            let _created = metrics.dead_letters.with_label_values(&[topic, reason.as_str()]);
        }
    }

    /// Removes position and lag of a revoked partition.
    pub(super) fn forget_metrics(&self, partition: &TopicPartition) {
        let number = partition.partition.to_string();
        let labels = [&*partition.topic, number.as_str()];
        for gauge in [&self.context.metrics.lag_records, &self.context.metrics.position] {
            if let Err(error) = gauge.remove_label_values(&labels) {
                tracing::trace!(%error, "the gauge does not exist");
            }
        }
    }
}
