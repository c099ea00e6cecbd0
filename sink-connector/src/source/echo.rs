//! Telling Kafka the stored positions: an echo, for lag tools and consoles.

use std::time::{Duration, Instant};

use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use super::Source;
use super::commits::Outcome;
use crate::ledger::Phase;

/// How often Kafka is told.
const KAFKA_COMMIT: Duration = Duration::from_millis(200);

impl Source {
    /// Tells Kafka the stored positions, now and then: always after PostgreSQL, and only for those who look.
    pub(super) fn tell_kafka(&mut self, now: Instant) {
        if self.uncommitted.is_empty() || now < self.next_kafka_commit {
            return;
        }
        self.next_kafka_commit = now + KAFKA_COMMIT;
        self.commit_to_kafka();
    }

    /// Counts what became of commits. A position that Kafka did not take, in the middle of a rebalance, say, is told
    /// again: of a partition without new records it would never hear another.
    pub(super) fn hear_of_commits(&mut self) {
        for Outcome { result, untold } in self.commits.outcomes() {
            let outcome = match result {
                Ok(()) => "ok",
                Err(error) => {
                    tracing::debug!(%error, "Kafka refused a commit; the positions in PostgreSQL are what counts");
                    "failed"
                }
            };
            self.parts.metrics.kafka_commits.with_label_values(&[outcome]).inc();
            for partition in untold {
                if let Some(place) = self.ledger.get(&partition).filter(|place| place.phase == Phase::Active)
                {
                    self.uncommitted.entry(partition).or_insert(place.stored);
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
            element.set_metadata(&self.parts.commit_metadata);
            if let Err(error) = element.set_offset(KafkaOffset::Offset(next.0)) {
                tracing::error!(%partition, %error, "cannot name a position to Kafka");
            }
        }
        if let Err(error) = self.commits.send(&list) {
            self.parts.metrics.kafka_commits.with_label_values(&["failed"]).inc();
            tracing::debug!(%error, "Kafka was not told the positions; those in PostgreSQL are what counts");
        }
    }
}
