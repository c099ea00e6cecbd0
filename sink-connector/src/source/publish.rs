//! Partition status as metrics and for /status.

use super::shell::Shell;
use crate::decode::Reason;
use crate::kafka::client::Client;
use crate::messages::board::TowardsEnd;
use crate::observe::health::Component;
use crate::positions::held::HeldBy;
use crate::positions::partition::Phase;
use crate::positions::stopped::Stopped;
use crate::types::TopicPartition;

impl<C: Client> Shell<C> {
    /// Publishes the status of every partition.
    pub(super) fn publish(&self) {
        let metrics = &self.shared.metrics;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.partitions_assigned.set(count(self.source.ledger.count()));
        let mut stopped = [0_i64; Stopped::ALL.len()];
        let (mut waiting, mut resolving, mut held, mut parked) = (0, 0, 0, 0);
        for (partition, entry) in self.source.ledger.iter() {
            match entry.phase() {
                Phase::Resolving => resolving += 1,
                Phase::Active => match entry.held().map(|held| held.by) {
                    Some(HeldBy::Breaker) => held += 1,
                    Some(HeldBy::Table) => parked += 1,
                    None => waiting += i64::from(self.source.lanes[entry.writer()].paused),
                },
                Phase::Stopped(why) => {
                    let number = partition.partition.to_string();
                    let labels = [&*partition.topic, number.as_str(), why.as_str()];
                    metrics.partition_stopped.with_label_values(&labels).set(1);
                    for (name, n) in Stopped::ALL.iter().zip(&mut stopped) {
                        *n += i64::from(why.as_str() == *name);
                    }
                }
            }
            if entry.has_stopped() && !entry.is_known() {
                self.remove_position(partition);
            }
            if entry.is_known() && *entry.phase() != Phase::Resolving {
                // Both from the same moment: alerts add them up to the end of the partition.
                let number = partition.partition.to_string();
                let labels = [&*partition.topic, number.as_str()];
                metrics.position.with_label_values(&labels).set(entry.stored().0);
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
        let stopped = self.source.ledger.stopped().into_iter().map(|(name, why)| (name, why.to_string()));
        self.shared.health.partitions(self.source.ledger.count(), stopped.collect());
        let paused: Vec<bool> = self.source.lanes.iter().map(|lane| lane.paused).collect();
        let left = self.source.ends.left(&self.source.ledger);
        let towards_end = left.map(|left| TowardsEnd { done: self.source.totals.records, left });
        self.shared.board.publish(&self.source.ledger, &paused, towards_end);
    }

    /// Creates the counters of a newly assigned partition at 0: Prometheus sees an increase only from an existing value.
    pub(super) fn begin_metrics(&self, partition: &TopicPartition) {
        let metrics = &self.shared.metrics;
        let topic = &*partition.topic;
        let _created = metrics.records_consumed.with_label_values(&[topic, &partition.partition.to_string()]);
        let _created = metrics.bytes_consumed.with_label_values(&[topic]);
        let _created = metrics.breaker_open.with_label_values(&[topic]);
        for reason in Reason::ALL {
            let _created = metrics.dead_letters.with_label_values(&[topic, reason.as_str()]);
        }
    }

    /// Removes position, lag and stop of a partition that was revoked, or goes on.
    pub(super) fn end_metrics(&self, partition: &TopicPartition) {
        self.remove_position(partition);
        let number = partition.partition.to_string();
        for reason in Stopped::ALL {
            let gauge = &self.shared.metrics.partition_stopped;
            removed(gauge.remove_label_values(&[&*partition.topic, number.as_str(), reason]));
        }
    }

    /// Removes position and lag of a partition.
    fn remove_position(&self, partition: &TopicPartition) {
        let number = partition.partition.to_string();
        for gauge in [&self.shared.metrics.lag_records, &self.shared.metrics.position] {
            removed(gauge.remove_label_values(&[&*partition.topic, number.as_str()]));
        }
    }

    /// Publishes the breakers as metrics and on /readyz. The sink is not ready only if the breaker of every topic is open.
    pub(super) fn publish_breakers(&self) {
        let breakers = &self.source.breakers;
        let topics = self.source.settings.plans.topics();
        for topic in &topics {
            let open = i64::from(breakers.reason(topic).is_some());
            self.shared.metrics.breaker_open.with_label_values(&[topic]).set(open);
        }
        let all = topics.iter().all(|topic| breakers.reason(topic).is_some());
        match breakers.any() {
            Some(reason) if all => self.shared.health.fail(Component::Breaker, &**reason),
            Some(_) | None => self.shared.health.recovered(&Component::Breaker),
        }
    }
}

/// A gauge that does not exist need not be removed.
fn removed(outcome: prometheus::Result<()>) {
    if let Err(error) = outcome {
        tracing::trace!(%error, "the gauge does not exist");
    }
}
