//! Where a partition is read from: the position in PostgreSQL if it is this sink's, else what Kafka knows. What `run`
//! acts on, `check` and `offsets` report.

use std::fmt;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use crate::config::AutoOffsetReset;
use crate::kafka::consumer::Consumer;
use crate::kafka::query::QueryError;
use crate::positions::stopped::Stopped;
use crate::positions::stored::{Offsets, Owner, StoredPosition};
use crate::types::{Offset, TopicPartition};

/// How long Kafka may take to answer a request.
pub(crate) const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

const COMMIT_METADATA: &str = "kafka-sink:";

/// The metadata of our commits to Kafka: a group offset that has it copies a stored position and is never its source.
pub(crate) fn commit_metadata(connector: &str) -> String {
    format!("{COMMIT_METADATA}{connector}")
}

/// Why a partition has no first position.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstPositionError {
    /// It waits for the operator.
    #[error("{0}")]
    Stopped(Stopped),
    /// Kafka has not answered. Another attempt may succeed.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Where the position comes from at which a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeginsBy {
    /// PostgreSQL.
    Stored,
    /// What another consumer has committed to Kafka.
    Group,
    /// `auto_offset_reset`
    Earliest,
    /// `auto_offset_reset`
    Latest,
}

impl fmt::Display for BeginsBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stored => "from the stored position",
            Self::Group => "from the group's offset",
            Self::Earliest => "from the log's start (auto_offset_reset = earliest)",
            Self::Latest => "from the log's end (auto_offset_reset = latest)",
        })
    }
}

/// What the first positions of a connector come from.
pub(crate) struct FirstPositions<'a> {
    pub consumer: &'a Consumer,
    pub offsets: &'a Offsets,
    pub group_id: &'a str,
    pub reset: AutoOffsetReset,
}

impl FirstPositions<'_> {
    /// Where a partition without a stored position begins. `end` is where its log ended when it was assigned, for
    /// `auto_offset_reset = latest`.
    ///
    /// # Errors
    /// The partition stops, or Kafka has not answered.
    pub(crate) fn of(
        &self,
        partition: &TopicPartition,
        end: Option<Offset>,
    ) -> Result<Offset, FirstPositionError> {
        let (offset, reason) = self.with_reason(partition, end)?;
        if reason == BeginsBy::Group {
            tracing::info!(%partition, %offset, "starting from the group's offset in Kafka");
        }
        Ok(offset)
    }

    /// The same, and where it comes from.
    ///
    /// # Errors
    /// As those of [`FirstPositions::of`].
    pub(crate) fn with_reason(
        &self,
        partition: &TopicPartition,
        end: Option<Offset>,
    ) -> Result<(Offset, BeginsBy), FirstPositionError> {
        if let Some(offset) = self.of_group(partition)? {
            return Ok((offset, BeginsBy::Group));
        }
        match self.reset {
            AutoOffsetReset::Earliest => {
                Ok((Offset(watermarks(self.consumer, partition)?.0), BeginsBy::Earliest))
            }
            AutoOffsetReset::Latest => {
                Ok((end.ok_or_else(|| QueryError::EndUnknown(partition.clone()))?, BeginsBy::Latest))
            }
            AutoOffsetReset::Error => Err(FirstPositionError::Stopped(Stopped::NoPosition(format!(
                "{partition} has no position, neither in PostgreSQL nor in the group, and auto_offset_reset is error: \
                 set one with `sink-connector offsets reset`"
            )))),
        }
    }

    /// The offset that another consumer has committed for the group.
    fn of_group(&self, partition: &TopicPartition) -> Result<Option<Offset>, FirstPositionError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition.0);
        let failed = || QueryError::failed(self.consumer, "the group's offset", partition);
        let group = self.consumer.committed_offsets(list, KAFKA_TIMEOUT).map_err(failed())?;
        let elements = group.elements();
        let Some(element) = elements.first() else { return Ok(None) };
        element.error().map_err(failed())?;
        let committed = match element.offset() {
            KafkaOffset::Offset(offset) => Some(Offset(offset)),
            _ => None,
        };
        match element.metadata().strip_prefix(COMMIT_METADATA) {
            Some(committer) => {
                Err(FirstPositionError::Stopped(self.committed_by(committer, partition, committed)))
            }
            None => Ok(committed),
        }
    }

    /// Why a partition stops whose position a connector has committed to Kafka, while PostgreSQL has none of ours.
    fn committed_by(
        &self,
        committer: &str,
        partition: &TopicPartition,
        committed: Option<Offset>,
    ) -> Stopped {
        let offset = committed.map_or_else(|| "none".to_owned(), |offset| offset.to_string());
        let (own, group) = (self.offsets.connector(), self.group_id);
        if committer == own {
            return Stopped::LostPosition(format!(
                "{partition} has no position in PostgreSQL, but Kafka holds a commit of this sink \
                 ({COMMIT_METADATA}{committer}) at {offset}: the row was lost. Restore it, or set a position with \
                 `sink-connector offsets reset`"
            ));
        }
        Stopped::ForeignPosition(format!(
            "connector {committer:?} has read {partition} as a member of the group {group:?}, in which this sink is \
             connector {own:?}. The members of a group share its partitions, so each connector would write only a part \
             of the records: give this one a kafka.group_id of its own. If {committer:?} is the former name of this \
             connector, set `name` back, or stop all its sinks and rename its positions: {}",
            self.offsets.rename(committer)
        ))
    }
}

/// Where the log of `partition` begins and ends.
pub(crate) fn watermarks(consumer: &Consumer, partition: &TopicPartition) -> Result<(i64, i64), QueryError> {
    consumer
        .fetch_watermarks(&partition.topic, partition.partition.0, KAFKA_TIMEOUT)
        .map_err(QueryError::failed(consumer, "the watermarks", partition))
}

/// A stored position is used only by the one who stored it.
///
/// # Errors
/// Why it is not this sink's.
pub(crate) fn check_owner(
    offsets: &Offsets,
    partition: &TopicPartition,
    stored: &StoredPosition,
    owner: &Owner,
) -> Result<Offset, Stopped> {
    let theirs = &stored.owner;
    let differs = [
        ("cluster", None, &theirs.cluster_id, &owner.cluster_id),
        ("group", Some("group_id"), &theirs.group_id, &owner.group_id),
        ("target table", Some("target_table"), &theirs.target_table, &owner.target_table),
    ];
    for (what, column, there, here) in differs {
        if there != here {
            // Positions of another cluster mean nothing, whatever its name was.
            let renamed = column.map_or_else(String::new, |column| {
                let update = offsets.change_owner(column, there, here);
                format!(". If it is the same {what} under another name, stop all sinks of the connector and run: {update}")
            });
            return Err(Stopped::ForeignPosition(format!(
                "the stored position of {partition} belongs to {what} {there:?}, but this sink has {here:?}: give this \
                 sink another `name`, or set a position with `sink-connector offsets reset`{renamed}"
            )));
        }
    }
    if let (Some(there), Some(here)) = (&theirs.topic_id, &owner.topic_id)
        && there != here
    {
        return Err(Stopped::TopicRecreated(format!(
            "topic {} was deleted and recreated (id {there}, now {here}): position {} of {partition} is not \
             valid in the new topic. Set a position with `sink-connector offsets reset`",
            partition.topic, stored.next
        )));
    }
    if let (Some(there), Some(here)) = (&theirs.target_id, &owner.target_id)
        && there.is_replaced_by(here)
    {
        let text = format!(
            "table {} is not the one that position {} of {partition} belongs to: it was dropped and created again, or \
             replaced (oid {} is now {}), so the rows of earlier records may be missing. Write them again with \
             `sink-connector offsets reset --to-earliest`, or, if the table has them, accept it with \
             `sink-connector offsets reset --to-stored`",
            owner.target_table, stored.next, there.oid, here.oid
        );
        return Err(Stopped::TableRecreated(text, stored.next));
    }
    Ok(stored.next)
}
