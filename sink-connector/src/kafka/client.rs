//! What the source needs of a Kafka client, and librdkafka's consumer behind it.

use std::time::Duration;

use rdkafka::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList, TopicPartitionListElem};

use crate::kafka::commits::{CommitOutcome, Commits};
use crate::kafka::consumer::{Consumer, Rebalanced, cooperative, list_of, list_to_commit, partitions_of};
use crate::kafka::headers;
use crate::kafka::record::Incoming;
use crate::types::{Offset, Partition, TopicPartition};

/// Timeout of a local operation of librdkafka.
const LOCAL: Duration = Duration::from_secs(5);

/// A record that the client has fetched.
pub(crate) trait FetchedRecord {
    /// Its topic.
    fn topic(&self) -> &str;
    /// Its partition.
    fn partition(&self) -> Partition;
    /// Its offset.
    fn offset(&self) -> Offset;
    /// All of it. Its headers are packed into `headers`.
    fn incoming<'a>(&'a self, headers: &'a mut Vec<u8>) -> Incoming<'a>;
}

/// A member of a consumer group. It fetches only what the caller assigns; the caller handles its rebalances.
pub(crate) trait Client {
    /// What a poll returns: generic, because it is borrowed and on the data path.
    type Record<'a>: FetchedRecord
    where
        Self: 'a;

    /// The next record or error, if there is one within `timeout`.
    fn poll(&mut self, timeout: Duration) -> Option<KafkaResult<Self::Record<'_>>>;

    /// Rebalances since the last call. Revoked partitions are no longer fetched.
    fn take_rebalances(&mut self) -> Vec<Rebalanced>;

    /// The partitions that are being fetched, paused ones included.
    fn assignment(&self) -> Vec<TopicPartition>;

    /// Joins the group for these topics, or changes which they are.
    fn subscribe(&mut self, topics: &[String]) -> KafkaResult<()>;

    /// Begins to fetch partitions at these positions. An empty list answers an empty assignment.
    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> KafkaResult<()>;

    /// Moves a partition that is being fetched to a position, and discards its fetched records.
    fn seek(&mut self, partition: &TopicPartition, position: Offset) -> KafkaResult<()>;

    /// Stops fetching these partitions. Fetched records may be discarded.
    fn pause(&mut self, partitions: &[TopicPartition]) -> KafkaResult<()>;

    /// Fetches these partitions again.
    fn resume(&mut self, partitions: &[TopicPartition]) -> KafkaResult<()>;

    /// The client's own positions, of the partitions where it has one.
    fn positions(&self) -> Vec<(TopicPartition, Offset)>;

    /// Sends a commit to the group without waiting for its outcome.
    fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> KafkaResult<()>;

    /// The outcomes of commits since the last call.
    fn commit_outcomes(&mut self) -> Vec<CommitOutcome>;

    /// Logs an error of Kafka, unless it was logged just before.
    fn warn(&self, error: &str);
}

/// librdkafka's consumer.
pub(crate) struct RdKafka {
    consumer: Consumer,
    commits: Commits,
    /// Distinguishes our commits from those of other consumers.
    commit_metadata: String,
}

impl RdKafka {
    /// The client of this consumer, whose commits have this metadata.
    pub(crate) fn new(consumer: Consumer, commit_metadata: String) -> Self {
        Self { commits: Commits::new(&consumer), consumer, commit_metadata }
    }
}

impl Client for RdKafka {
    type Record<'a> = BorrowedMessage<'a>;

    fn poll(&mut self, timeout: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.consumer.poll(timeout)
    }

    fn take_rebalances(&mut self) -> Vec<Rebalanced> {
        self.consumer.context().take_rebalances()
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.assignment().map(|list| partitions_of(&list)).unwrap_or_default()
    }

    fn subscribe(&mut self, topics: &[String]) -> KafkaResult<()> {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics)
    }

    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> KafkaResult<()> {
        let added = positions.iter().map(|(partition, position)| (partition, *position));
        if cooperative(&self.consumer) {
            return self.consumer.incremental_assign(&list_of(added)?);
        }
        // The eager protocol replaces the assignment: the current partitions must be in the new one.
        let mut all = self.consumer.assignment()?;
        for (partition, position) in added {
            all.add_partition_offset(
                &partition.topic,
                partition.partition.0,
                KafkaOffset::Offset(position.0),
            )?;
        }
        self.consumer.assign(&all)
    }

    fn seek(&mut self, partition: &TopicPartition, position: Offset) -> KafkaResult<()> {
        let sought = self.consumer.seek_partitions(list_of([(partition, position)])?, LOCAL);
        let sought =
            sought.and_then(|list| list.elements().first().map_or(Ok(()), TopicPartitionListElem::error));
        sought.or_else(|_| {
            // It is not being fetched at the moment: assign it again.
            let list = list_of([(partition, position)])?;
            self.consumer.incremental_unassign(&list)?;
            self.consumer.incremental_assign(&list)
        })
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.consumer.pause(&named(partitions))
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.consumer.resume(&named(partitions))
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        let Ok(list) = self.consumer.position() else { return Vec::new() };
        let known = |element: &TopicPartitionListElem<'_>| match element.offset() {
            KafkaOffset::Offset(offset) => {
                Some((TopicPartition::new(element.topic(), element.partition()), Offset(offset)))
            }
            _ => None,
        };
        list.elements().iter().filter_map(known).collect()
    }

    fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> KafkaResult<()> {
        let positions = positions.iter().map(|(partition, next)| (partition, *next));
        self.commits.send(&list_to_commit(positions, &self.commit_metadata)?)
    }

    fn commit_outcomes(&mut self) -> Vec<CommitOutcome> {
        self.commits.outcomes()
    }

    fn warn(&self, error: &str) {
        self.consumer.context().warn(error);
    }
}

impl FetchedRecord for BorrowedMessage<'_> {
    fn topic(&self) -> &str {
        rdkafka::Message::topic(self)
    }

    fn partition(&self) -> Partition {
        Partition(rdkafka::Message::partition(self))
    }

    fn offset(&self) -> Offset {
        Offset(rdkafka::Message::offset(self))
    }

    fn incoming<'a>(&'a self, headers: &'a mut Vec<u8>) -> Incoming<'a> {
        let packed = headers::pack(self, headers);
        Incoming {
            offset: rdkafka::Message::offset(self),
            timestamp: match self.timestamp() {
                Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) if ms >= 0 => Some(ms),
                _ => None,
            },
            payload: self.payload(),
            key: self.key(),
            headers: packed.then_some(headers),
        }
    }
}

fn named(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition.0);
    }
    list
}
