//! The newest dead letters of a topic, read back for the breakers' windows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::kafka::LoginSource;

use crate::rejects::dead_letter_topic::{METADATA, PREFIX};
use crate::types::TopicPartition;

/// How long dead letters are read. Later ones are not used.
const DEADLINE: Duration = Duration::from_secs(5);

/// Offsets of dead letters, by the partition that they were read from.
pub(super) type Tail = HashMap<TopicPartition, BTreeSet<i64>>;

/// The newest dead letters of `connector`, of about the last `wanted` in each partition of `topic`.
///
/// # Errors
/// The topic cannot be read: this client may only be allowed to write to it.
pub(super) fn read(
    config: &ClientConfig,
    login: Option<&LoginSource>,
    topic: &str,
    connector: &str,
    wanted: i64,
) -> Result<Tail, KafkaError> {
    // librdkafka polls nothing without a group; this one has no members and no positions.
    let consumer: Arc<BaseConsumer> = Arc::new(
        config
            .clone()
            .set("group.id", format!("kafka-sink-{connector}-dead-letters"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?,
    );
    let renewed = login.cloned().map(|login| login.renew(&consumer)).transpose();
    let _renewed = renewed.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
    let metadata = consumer.fetch_metadata(Some(topic), METADATA)?;
    let partitions =
        metadata.topics().iter().filter(|t| t.name() == topic).flat_map(MetadataTopic::partitions);
    let (mut list, mut ends) = (TopicPartitionList::new(), HashMap::new());
    for number in partitions.map(MetadataPartition::id) {
        let (low, high) = consumer.fetch_watermarks(topic, number, METADATA)?;
        if low < high {
            list.add_partition_offset(topic, number, Offset::Offset(low.max(high - wanted)))?;
            ends.insert(number, high);
        }
    }
    let mut tail = Tail::new();
    if ends.is_empty() {
        return Ok(tail);
    }
    consumer.assign(&list)?;
    let deadline = Instant::now() + DEADLINE;
    while !ends.is_empty() && Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                if let Some((partition, offset)) = message.headers().and_then(|h| record_of(h, connector)) {
                    tail.entry(partition).or_default().insert(offset);
                }
                if ends.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end) {
                    ends.remove(&message.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(number))) => drop(ends.remove(&number)),
            Some(Err(error))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) =>
            {
                return Err(error);
            }
            // A broker that comes and goes is waited for until the deadline, and the group is not needed.
            Some(Err(_)) | None => {}
        }
    }
    Ok(tail)
}

/// Where a dead letter of `connector` comes from.
fn record_of(headers: &impl Headers, connector: &str) -> Option<(TopicPartition, i64)> {
    // A record may have been a dead letter before: the headers of this time are the last.
    let last = |name: &str| {
        let named = headers.iter().filter(|h| h.key.strip_prefix(PREFIX) == Some(name));
        std::str::from_utf8(named.last()?.value?).ok()
    };
    if last("connector.name")? != connector {
        return None;
    }
    Some((
        TopicPartition::new(last("topic")?, last("partition")?.parse().ok()?),
        last("offset")?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders};

    use super::*;

    #[test]
    fn the_record_of_a_dead_letter_is_in_its_last_headers_and_those_of_other_connectors_are_left_out() {
        let dead_letter = |all: &[(&str, &str)]| {
            all.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key: &format!("{PREFIX}{key}"), value: Some(value.as_bytes()) })
            })
        };
        let first = [("topic", "old"), ("partition", "1"), ("offset", "2"), ("connector.name", "a")];
        let second = [("topic", "new"), ("partition", "3"), ("offset", "4"), ("connector.name", "b")];
        let both = dead_letter(&[first, second].concat());
        assert_eq!(record_of(&both, "b"), Some((TopicPartition::new("new", 3), 4)));
        assert_eq!(record_of(&both, "a"), None);
        assert_eq!(record_of(&dead_letter(&second[1..]), "b"), None);
        assert_eq!(record_of(&dead_letter(&[("offset", "x")]), "b"), None);
    }
}
