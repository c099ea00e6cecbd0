//! Where a partition is read from: the position in PostgreSQL if it is this sink's, else what Kafka knows. What `run`
//! acts on, `check` and `offsets` report.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use crate::config::AutoOffsetReset;
use crate::kafka::consumer::Consumer;
use crate::positions::ledger::Stopped;
use crate::positions::stored::{Owner, StoredPosition};
use crate::types::{Offset, TopicPartition};

/// How long Kafka may take to answer a request.
pub(crate) const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

const COMMIT_METADATA: &str = "kafka-sink:";

/// The metadata of our commits to Kafka: a group offset that has it copies a stored position and is never its source.
pub(crate) fn commit_metadata(connector: &str) -> String {
    format!("{COMMIT_METADATA}{connector}")
}

/// Where a partition without a stored position begins. `end` is where its log ended when it was assigned, for
/// `auto_offset_reset = latest`.
///
/// # Errors
/// Kafka's, for people. The inner error is why the partition stops.
pub(crate) fn first_position(
    consumer: &Consumer,
    partition: &TopicPartition,
    reset: AutoOffsetReset,
    end: Option<Offset>,
) -> Result<Result<Offset, Stopped>, String> {
    let ask = |what: &str, error: &dyn std::fmt::Display| {
        format!("cannot ask Kafka for {what} of {partition}: {error}")
    };
    let mut list = TopicPartitionList::new();
    list.add_partition(&partition.topic, partition.partition.0);
    let group = consumer.committed_offsets(list, KAFKA_TIMEOUT).map_err(|e| ask("the group's offset", &e))?;
    let elements = group.elements();
    if let Some(element) = elements.first() {
        element.error().map_err(|e| ask("the group's offset", &e))?;
        if element.metadata().starts_with(COMMIT_METADATA) {
            return Ok(Err(Stopped::LostPosition(format!(
                "{partition} has no position in PostgreSQL, but Kafka holds a commit of this sink ({}) at {:?}: the \
                 row was lost. Restore it, or choose a position with `sink-connector offsets reset`",
                element.metadata(),
                element.offset(),
            ))));
        }
        if let KafkaOffset::Offset(offset) = element.offset() {
            tracing::info!(%partition, offset, "starting from the group's offset in Kafka");
            return Ok(Ok(Offset(offset)));
        }
    }
    Ok(match reset {
        AutoOffsetReset::Earliest => Ok(Offset(watermarks(consumer, partition)?.0)),
        AutoOffsetReset::Latest => Ok(end.ok_or_else(|| format!("the end of {partition} is not known yet"))?),
        AutoOffsetReset::Error => Err(Stopped::NoPosition(format!(
            "{partition} has no position, neither in PostgreSQL nor in the group, and auto_offset_reset is error: \
             choose one with `sink-connector offsets reset`"
        ))),
    })
}

/// Where the log of `partition` begins and ends. The error is for people.
pub(crate) fn watermarks(consumer: &Consumer, partition: &TopicPartition) -> Result<(i64, i64), String> {
    consumer
        .fetch_watermarks(&partition.topic, partition.partition.0, KAFKA_TIMEOUT)
        .map_err(|error| format!("cannot ask Kafka for the watermarks of {partition}: {error}"))
}

/// A stored position is used only by the one who stored it.
///
/// # Errors
/// Why it is not this sink's.
pub(crate) fn check_owner(
    partition: &TopicPartition,
    stored: &StoredPosition,
    owner: &Owner,
) -> Result<Offset, Stopped> {
    let theirs = &stored.owner;
    let differs = [
        ("cluster", &theirs.cluster_id, &owner.cluster_id),
        ("group", &theirs.group_id, &owner.group_id),
        ("target table", &theirs.target_table, &owner.target_table),
    ];
    for (what, there, here) in differs {
        if there != here {
            return Err(Stopped::ForeignPosition(format!(
                "the stored position of {partition} belongs to {what} {there:?}, but this sink has {here:?}: give this \
                 sink another `name`, or choose a position with `sink-connector offsets reset`"
            )));
        }
    }
    match (&theirs.topic_id, &owner.topic_id) {
        (Some(there), Some(here)) if there != here => Err(Stopped::TopicRecreated(format!(
            "topic {} was deleted and created again (id {there} is now {here}): position {} of {partition} means \
             nothing in the new one. Choose a position with `sink-connector offsets reset`",
            partition.topic, stored.next
        ))),
        _ => Ok(stored.next),
    }
}
