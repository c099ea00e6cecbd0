//! Commits of the stored positions to Kafka, so that lag tools and consoles see them. Recovery never reads them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Command, Source};
use crate::types::{Offset, TopicPartition};

/// How often positions are committed to Kafka.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// Stored positions that have not been committed to Kafka.
#[derive(Debug)]
pub(super) struct KafkaCommits {
    positions: HashMap<TopicPartition, Offset>,
    due: Instant,
}

impl KafkaCommits {
    /// Nothing to commit, from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self { positions: HashMap::new(), due: now }
    }

    /// PostgreSQL has stored this position.
    pub(super) fn stored(&mut self, partition: &TopicPartition, position: Offset) {
        self.positions.insert(partition.clone(), position);
    }

    /// A commit failed while this position was stored. A partition without new records would otherwise keep its old
    /// group offset.
    fn failed(&mut self, partition: TopicPartition, stored: Offset) {
        self.positions.entry(partition).or_insert(stored);
    }

    /// The partition is another member's.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
    }

    fn take_due(&mut self, now: Instant) -> Vec<(TopicPartition, Offset)> {
        if self.positions.is_empty() || now < self.due {
            return Vec::new();
        }
        self.due = now + COMMIT_INTERVAL;
        self.take()
    }

    fn take(&mut self) -> Vec<(TopicPartition, Offset)> {
        let mut positions: Vec<_> = self.positions.drain().collect();
        positions.sort_unstable();
        positions
    }
}

impl Source {
    /// Commits the stored positions to Kafka when the interval has passed; always after PostgreSQL.
    pub(super) fn commit_to_kafka_when_due(&mut self, now: Instant) {
        let positions = self.kafka_commits.take_due(now);
        self.commit(positions);
    }

    /// Commits the stored positions to Kafka now.
    pub(super) fn commit_to_kafka(&mut self) {
        let positions = self.kafka_commits.take();
        self.commit(positions);
    }

    fn commit(&mut self, positions: Vec<(TopicPartition, Offset)>) {
        if !positions.is_empty() {
            self.command(Command::Commit(positions));
        }
    }

    /// A commit succeeded, or was refused for these partitions, during a rebalance for example.
    pub(super) fn on_commit_outcome(&mut self, succeeded: bool, failed: Vec<TopicPartition>) {
        if succeeded {
            self.accepted_by_group();
        }
        for partition in failed {
            if let Some(entry) = self.ledger.get(&partition).filter(|entry| entry.is_active()) {
                self.kafka_commits.failed(partition, entry.stored());
            }
        }
    }
}
