//! The stored position of each partition, and where its log begins and ends.

use std::collections::BTreeMap;

use postgres::Client;

use crate::commands::kafka::{CommandError, Kafka};
use crate::commands::postgres::unreadable;
use crate::config::Config;
use crate::positions::first::{BeginsBy, FirstPositionError, FirstPositions, check_owner, watermarks};
use crate::positions::stopped::Stopped;
use crate::positions::stored::{Offsets, Owner, StoredPosition};
use crate::postgres::sql::TableName;
use crate::types::{Offset, TopicPartition};

/// One partition: its stored position and its log.
#[derive(Debug)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: TopicPartition,
    /// What the stored position must belong to.
    pub owner: Owner,
    /// The stored position, if there is one.
    pub stored: Option<StoredPosition>,
    /// Where the log begins and ends.
    pub log: (Offset, Offset),
    /// Where a sink would begin, and where that position comes from; none if the partition is stopped.
    pub(crate) begins: Option<(Offset, BeginsBy)>,
    /// Why a sink would not read the partition.
    pub stopped: Option<Stopped>,
}

impl PartitionStatus {
    /// The stored position.
    pub fn position(&self) -> Option<Offset> {
        self.stored.as_ref().map(|stored| stored.next)
    }

    /// Records still to read, if known.
    pub fn lag(&self) -> Option<i64> {
        let position = self.position().filter(|_| self.stopped.is_none())?;
        Some((self.log.1.0 - position.0).max(0))
    }
}

/// The positions of this connector.
pub fn offsets_of(config: &Config) -> Offsets {
    Offsets::new(&TableName::parse(&config.offsets.table), &config.name)
}

/// What could be read. A partition whose status cannot be read does not hide the others.
#[derive(Debug, Default)]
pub struct Statuses {
    /// The partitions that could be read.
    pub read: Vec<PartitionStatus>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// A topic or a partition whose status could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", self.name())]
pub struct Unread {
    /// Its topic.
    pub topic: String,
    /// None: no partition of the topic could be read.
    pub partition: Option<i32>,
    /// Why.
    #[source]
    pub error: CommandError,
}

impl Unread {
    fn partition(partition: &TopicPartition, error: CommandError) -> Self {
        Self { topic: partition.topic.to_string(), partition: Some(partition.partition.0), error }
    }

    /// The topic or the partition, for people.
    pub fn name(&self) -> String {
        match self.partition {
            Some(partition) => format!("{}[{partition}]", self.topic),
            None => format!("topic {}", self.topic),
        }
    }
}

impl Statuses {
    /// Notes a topic of which nothing can be read.
    pub fn add_unread(&mut self, topic: &str, error: CommandError) {
        self.unread.push(Unread { topic: topic.to_owned(), partition: None, error });
    }

    /// All of them.
    ///
    /// # Errors
    /// The first that could not be read.
    pub fn all(mut self) -> Result<Vec<PartitionStatus>, CommandError> {
        match self.unread.pop() {
            None => Ok(self.read),
            Some(last) => Err(self.unread.into_iter().next().unwrap_or(last).error),
        }
    }
}

const SELECT: &[&str] = &["SELECT"];

/// Reads the status of every partition of `topics`.
pub fn read(
    config: &Config,
    kafka: &Kafka,
    client: &mut Client,
    topics: &BTreeMap<String, Vec<TopicPartition>>,
) -> Result<Statuses, CommandError> {
    let cluster_id = kafka.cluster_id()?;
    let names: Vec<&str> = topics.keys().map(String::as_str).collect();
    let ids = kafka.ids(&names)?;
    let offsets = offsets_of(config);
    let offsets_table = TableName::parse(&config.offsets.table);
    let firsts = FirstPositions {
        consumer: &kafka.consumer,
        offsets: &offsets,
        group_id: &config.kafka.group_id,
        reset: config.kafka.auto_offset_reset,
    };
    let mut reader = Reader { kafka, firsts, group_refused: None };
    let exists = offsets
        .exists(client)
        .map_err(|error| unreadable(client, &offsets_table, "offsets.table", SELECT, error))?;
    let mut statuses = Statuses::default();
    for (topic, partitions) in topics {
        let table = TableName::parse(&config.topic(topic).table);
        let owner = Owner {
            cluster_id: cluster_id.clone(),
            group_id: config.kafka.group_id.clone(),
            target_table: table.to_string(),
            topic_id: ids.get(topic).cloned(),
            target_id: match exists {
                true => offsets
                    .target_id(client, &table)
                    .map_err(|error| unreadable(client, &table, "sink.table", SELECT, error))?,
                false => None,
            },
        };
        let leaderless = match kafka.leaderless(topic) {
            Ok(leaderless) => leaderless,
            Err(error) => {
                statuses.add_unread(topic, error);
                continue;
            }
        };
        for partition in partitions {
            if leaderless.contains(&partition.partition.0) {
                statuses.unread.push(Unread::partition(partition, no_leader(partition)));
                continue;
            }
            let stored = match exists {
                true => offsets
                    .read(client, partition)
                    .map_err(|error| unreadable(client, &offsets_table, "offsets.table", SELECT, error))?,
                false => None,
            };
            match reader.status(partition, stored, &owner) {
                Ok(status) => statuses.read.push(status),
                Err(error) => statuses.unread.push(Unread::partition(partition, error)),
            }
        }
    }
    Ok(statuses)
}

const FIND_LEADER: &str = "make sure that every partition has a leader";

fn no_leader(partition: &TopicPartition) -> CommandError {
    CommandError::new(format!("{partition} has no leader: its brokers are down"), FIND_LEADER)
}

/// Reads single partitions from Kafka.
struct Reader<'a> {
    kafka: &'a Kafka,
    firsts: FirstPositions<'a>,
    /// Why the offsets of the group cannot be read. It is not asked again for each partition.
    group_refused: Option<CommandError>,
}

impl Reader<'_> {
    fn status(
        &mut self,
        partition: &TopicPartition,
        stored: Option<StoredPosition>,
        owner: &Owner,
    ) -> Result<PartitionStatus, CommandError> {
        let (low, high) = watermarks(&self.kafka.consumer, partition)
            .map_err(|error| CommandError::new(error.to_string(), FIND_LEADER))?;
        let log = (Offset(low), Offset(high));
        let beginning = match &stored {
            Some(stored) => {
                let position = check_owner(self.firsts.offsets, partition, stored, owner);
                Beginning::of(
                    position.and_then(|position| in_range(partition, position, log)),
                    BeginsBy::Stored,
                )
            }
            None => self.first(partition, log)?,
        };
        let (begins, stopped) = match beginning {
            Beginning::At(offset, by) => (Some((offset, by)), None),
            Beginning::Stopped(why) => (None, Some(why)),
        };
        Ok(PartitionStatus {
            partition: partition.clone(),
            owner: owner.clone(),
            stored,
            log,
            begins,
            stopped,
        })
    }

    /// Where a partition without a stored position begins, or why it stops.
    fn first(
        &mut self,
        partition: &TopicPartition,
        log: (Offset, Offset),
    ) -> Result<Beginning, CommandError> {
        if let Some(refused) = &self.group_refused {
            return Err(refused.clone());
        }
        match self.firsts.with_reason(partition, Some(log.1)) {
            // The sink finds an offset out of range when it fetches.
            Ok((position, BeginsBy::Group)) => {
                Ok(Beginning::of(in_range(partition, position, log), BeginsBy::Group))
            }
            Ok((position, by)) => Ok(Beginning::At(position, by)),
            Err(FirstPositionError::Stopped(why)) => Ok(Beginning::Stopped(why)),
            Err(FirstPositionError::Query(error)) => {
                let error = self.kafka.group_error(error.to_string());
                self.group_refused = Some(error.clone());
                Err(error)
            }
        }
    }
}

/// Where a sink would begin to read a partition, or why it would not read it.
enum Beginning {
    At(Offset, BeginsBy),
    Stopped(Stopped),
}

impl Beginning {
    fn of(position: Result<Offset, Stopped>, by: BeginsBy) -> Self {
        match position {
            Ok(position) => Self::At(position, by),
            Err(why) => Self::Stopped(why),
        }
    }
}

fn in_range(partition: &TopicPartition, position: Offset, log: (Offset, Offset)) -> Result<Offset, Stopped> {
    if position < log.0 {
        return Err(Stopped::BelowLogStart(format!(
            "the position of {partition} is {position}, but its log begins at {}: retention has deleted the records in \
             between. Set a position with `sink-connector offsets reset`",
            log.0
        )));
    }
    if position > log.1 {
        return Err(Stopped::BeyondLogEnd(format!(
            "the position of {partition} is {position}, but its log ends at {}: it was truncated. Set a position \
             with `sink-connector offsets reset`",
            log.1
        )));
    }
    Ok(position)
}
