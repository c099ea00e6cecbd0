//! Commits of the stored positions to Kafka, so that lag tools and consoles see them. Recovery never reads them.

use std::time::{Duration, Instant};

use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use super::Source;
use crate::kafka::commits::CommitOutcome;
use crate::positions::ledger::Phase;

/// How often positions are committed to Kafka.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

impl Source {
    /// Commits the stored positions to Kafka when the interval has passed; always after PostgreSQL.
    pub(super) fn commit_to_kafka_when_due(&mut self, now: Instant) {
        if self.uncommitted.is_empty() || now < self.next_kafka_commit {
            return;
        }
        self.next_kafka_commit = now + COMMIT_INTERVAL;
        self.commit_to_kafka();
    }

    /// Counts the outcomes of commits. A position that Kafka refused, during a rebalance for example, is committed
    /// again: a partition without new records would otherwise keep its old group offset.
    pub(super) fn on_commit_outcomes(&mut self) {
        for CommitOutcome { result, failed } in self.commits.outcomes() {
            let outcome = match result {
                Ok(()) => "ok",
                Err(error) => {
                    tracing::debug!(%error, "Kafka refused a commit; the positions in PostgreSQL are not affected");
                    "failed"
                }
            };
            self.context.metrics.kafka_commits.with_label_values(&[outcome]).inc();
            for partition in failed {
                if let Some(entry) = self.ledger.get(&partition).filter(|entry| entry.phase == Phase::Active)
                {
                    self.uncommitted.entry(partition).or_insert(entry.stored);
                }
            }
        }
    }

    pub(super) fn commit_to_kafka(&mut self) {
        if self.uncommitted.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in std::mem::take(&mut self.uncommitted) {
            let mut element = list.add_partition(&partition.topic, partition.partition.0);
            element.set_metadata(&self.context.commit_metadata);
            if let Err(error) = element.set_offset(KafkaOffset::Offset(next.0)) {
                tracing::error!(%partition, %error, "cannot add a position to a commit");
            }
        }
        if let Err(error) = self.commits.send(&list) {
            self.context.metrics.kafka_commits.with_label_values(&["failed"]).inc();
            tracing::debug!(%error, "cannot commit to Kafka; the positions in PostgreSQL are not affected");
        }
    }
}
