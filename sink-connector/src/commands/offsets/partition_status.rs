//! The stored position of each partition, and where its log begins and ends.

use std::collections::BTreeMap;

use postgres::Client;

use crate::commands::kafka::{CommandError, Kafka};
use crate::config::Config;
use crate::positions::first::{BeginsBy, FirstPositionError, FirstPositions, check_owner, watermarks};
use crate::positions::stopped::Stopped;
use crate::positions::stored::{Offsets, Owner, StoredPosition};
use crate::postgres::failure::Failure;
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

/// Reads the status of every partition of `topics`.
pub fn read(
    config: &Config,
    kafka: &Kafka,
    client: &mut Client,
    topics: &BTreeMap<String, Vec<TopicPartition>>,
) -> Result<Vec<PartitionStatus>, CommandError> {
    let cluster_id = kafka.cluster_id()?;
    let names: Vec<&str> = topics.keys().map(String::as_str).collect();
    let ids = kafka.ids(&names)?;
    let offsets = offsets_of(config);
    let table = || format!("cannot read {}", config.offsets.table);
    let failed = |error: postgres::Error| {
        CommandError::new(
            format!("{}: {}", table(), Failure::from(error)),
            "GRANT SELECT on it, or correct offsets.table",
        )
    };
    let firsts = FirstPositions {
        consumer: &kafka.consumer,
        offsets: &offsets,
        group_id: &config.kafka.group_id,
        reset: config.kafka.auto_offset_reset,
    };
    let exists = offsets.exists(client).map_err(failed)?;
    let mut statuses = Vec::new();
    for (topic, partitions) in topics {
        let table = TableName::parse(&config.topic(topic).table);
        let owner = Owner {
            cluster_id: cluster_id.clone(),
            group_id: config.kafka.group_id.clone(),
            target_table: table.to_string(),
            topic_id: ids.get(topic).cloned(),
            target_id: if exists { offsets.target_id(client, &table).map_err(failed)? } else { None },
        };
        for partition in partitions {
            let stored = if exists { offsets.read(client, partition).map_err(failed)? } else { None };
            let (low, high) = watermarks(&kafka.consumer, partition).map_err(|error| {
                CommandError::new(error.to_string(), "make sure that every partition has a leader")
            })?;
            let log = (Offset(low), Offset(high));
            let begins = match &stored {
                Some(stored) => check_owner(&offsets, partition, stored, &owner)
                    .and_then(|position| in_range(partition, position, log))
                    .map(|position| (position, BeginsBy::Stored)),
                None => match firsts.with_reason(partition, Some(log.1)) {
                    // The sink finds an offset out of range when it fetches.
                    Ok((position, BeginsBy::Group)) => {
                        in_range(partition, position, log).map(|position| (position, BeginsBy::Group))
                    }
                    Ok(first) => Ok(first),
                    Err(FirstPositionError::Stopped(why)) => Err(why),
                    Err(FirstPositionError::Query(error)) => return Err(kafka.group_error(error.to_string())),
                },
            };
            let (begins, stopped) = match begins {
                Ok(first) => (Some(first), None),
                Err(why) => (None, Some(why)),
            };
            statuses.push(PartitionStatus {
                partition: partition.clone(),
                owner: owner.clone(),
                stored,
                log,
                begins,
                stopped,
            });
        }
    }
    Ok(statuses)
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
