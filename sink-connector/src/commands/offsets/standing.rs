//! What PostgreSQL and Kafka say of every partition, side by side.

use std::collections::BTreeMap;

use postgres::Client;

use crate::commands::kafka::{Kafka, Trouble};
use crate::config::Config;
use crate::failure::Failure;
use crate::ledger::Stopped;
use crate::offsets::{Offsets, Owner, Stored};
use crate::positions::{check_owner, first_position, watermarks};
use crate::sql::TableName;
use crate::types::{Offset, TopicPartition};

/// One partition.
#[derive(Debug)]
pub struct Standing {
    /// Which.
    pub partition: TopicPartition,
    /// Whose its position must be.
    pub owner: Owner,
    /// What is stored of it.
    pub stored: Option<Stored>,
    /// Where its log begins and ends.
    pub log: (Offset, Offset),
    /// Why a sink would not read it.
    pub stopped: Option<Stopped>,
}

impl Standing {
    /// The stored position.
    pub fn position(&self) -> Option<Offset> {
        self.stored.as_ref().map(|stored| stored.next)
    }

    /// Records to be read, if it can be told.
    pub fn lag(&self) -> Option<i64> {
        let position = self.position().filter(|_| self.stopped.is_none())?;
        Some((self.log.1.0 - position.0).max(0))
    }
}

/// The offsets table of this sink.
pub fn offsets_of(config: &Config) -> Offsets {
    Offsets::new(&TableName::parse(&config.offsets.table), &config.name)
}

/// Where every partition of `topics` stands.
pub fn read(
    config: &Config,
    kafka: &Kafka,
    client: &mut Client,
    topics: &BTreeMap<String, Vec<TopicPartition>>,
) -> Result<Vec<Standing>, Trouble> {
    let cluster_id = kafka.cluster_id()?;
    let names: Vec<&str> = topics.keys().map(String::as_str).collect();
    let ids = kafka.ids(&names)?;
    let offsets = offsets_of(config);
    let table = || format!("cannot read {}", config.offsets.table);
    let refused = |error: postgres::Error| {
        Trouble::new(
            format!("{}: {}", table(), Failure::from(error)),
            "GRANT SELECT on it, or correct offsets.table",
        )
    };
    let there = offsets.exists(client).map_err(refused)?;
    let mut standings = Vec::new();
    for (topic, partitions) in topics {
        let owner = Owner {
            cluster_id: cluster_id.clone(),
            group_id: config.kafka.group_id.clone(),
            target_table: TableName::parse(&config.topic(topic).table).to_string(),
            topic_id: ids.get(topic).cloned(),
        };
        for partition in partitions {
            let stored = if there { offsets.read(client, partition).map_err(refused)? } else { None };
            let asked = |problem: String| Trouble::new(problem, "see that every partition has a leader");
            let (low, high) = watermarks(&kafka.consumer, partition).map_err(asked)?;
            let log = (Offset(low), Offset(high));
            let stopped = match &stored {
                Some(stored) => match check_owner(partition, stored, &owner) {
                    Ok(position) => out_of_range(partition, position, log),
                    Err(stopped) => Some(stopped),
                },
                None => {
                    let reset = config.kafka.auto_offset_reset;
                    first_position(&kafka.consumer, partition, reset, Some(log.1))
                        .map_err(|problem| kafka.refused(problem))?
                        .err()
                }
            };
            standings.push(Standing {
                partition: partition.clone(),
                owner: owner.clone(),
                stored,
                log,
                stopped,
            });
        }
    }
    Ok(standings)
}

fn out_of_range(partition: &TopicPartition, position: Offset, log: (Offset, Offset)) -> Option<Stopped> {
    if position < log.0 {
        return Some(Stopped::BelowLogStart(format!(
            "the next record of {partition} is {position}, but its log begins at {}: retention has deleted what is \
             between. Choose a position with `sink-connector offsets reset`",
            log.0
        )));
    }
    (position > log.1).then(|| {
        Stopped::BeyondLogEnd(format!(
            "the position of {partition} is {position}, but its log ends at {}: it was truncated. Choose a position \
             with `sink-connector offsets reset`",
            log.1
        ))
    })
}
