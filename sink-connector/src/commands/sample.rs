//! Reads the newest records of a topic, without joining the group.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::kafka::{CommandError, Kafka};
use crate::kafka::consumer::list_of;
use crate::kafka::headers;
use crate::kafka::record::Incoming;
use crate::positions::first::watermarks;
use crate::types::{Offset, TopicPartition};

/// How long to wait for the records.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Sampled {
    pub partition: TopicPartition,
    pub offset: i64,
    timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    headers: Option<Vec<u8>>,
}

impl Sampled {
    /// The record for a batch.
    pub(super) fn incoming(&self) -> Incoming<'_> {
        Incoming {
            offset: self.offset,
            timestamp: self.timestamp,
            payload: self.payload.as_deref(),
            key: self.key.as_deref(),
            headers: self.headers.as_deref(),
        }
    }
}

/// The newest records of `partitions`, which are all of one topic: at most `wanted`, spread over the partitions, in
/// the order of partition and offset.
pub(super) fn newest(
    kafka: &Kafka,
    partitions: &[TopicPartition],
    wanted: u64,
) -> Result<Vec<Sampled>, CommandError> {
    let mut logs = Vec::new();
    for partition in partitions {
        let (low, high) = watermarks(&kafka.consumer, partition).map_err(|error| {
            CommandError::new(error.to_string(), "make sure that every partition has a leader")
        })?;
        logs.push((partition.clone(), low, high));
    }
    let mut ends: HashMap<TopicPartition, i64> = HashMap::new();
    let mut starts = Vec::new();
    for (number, share) in shares(&logs.iter().map(|(_, low, high)| high - low).collect::<Vec<_>>(), wanted) {
        let (partition, _, high) = &logs[number];
        ends.insert(partition.clone(), *high);
        starts.push((partition, Offset(high - share)));
    }
    if starts.is_empty() {
        return Ok(Vec::new());
    }
    let assign_and_read = || -> Result<Vec<Sampled>, KafkaError> {
        kafka.consumer.assign(&list_of(starts)?)?;
        read(kafka, ends)
    };
    let read = assign_and_read();
    let unassigned = kafka.consumer.unassign();
    let topic = &partitions[0].topic;
    match (read, unassigned) {
        (Ok(records), Ok(())) => Ok(records),
        (Err(error), _) | (_, Err(error)) => {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                return Err(kafka.not_authorised(topic));
            }
            Err(CommandError::new(format!("cannot read topic {topic}: {error}"), "see the brokers' log"))
        }
    }
}

fn read(kafka: &Kafka, mut ends: HashMap<TopicPartition, i64>) -> Result<Vec<Sampled>, KafkaError> {
    let deadline = Instant::now() + TIMEOUT;
    let mut records = Vec::new();
    // A partition is done at the end that it had, or when the client reports its end: the last offsets may be markers.
    while !ends.is_empty() && Instant::now() < deadline {
        match kafka.consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let record = sampled(&message);
                if let Some(end) = ends.get(&record.partition).copied() {
                    if record.offset + 1 >= end {
                        ends.remove(&record.partition);
                    }
                    if record.offset < end {
                        records.push(record);
                    }
                }
            }
            Some(Err(KafkaError::PartitionEOF(number))) => ends.retain(|p, _| p.partition.0 != number),
            // The client reconnects to a broker by itself.
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_temporary) => {}
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    records.sort_by(|a, b| (&a.partition, a.offset).cmp(&(&b.partition, b.offset)));
    Ok(records)
}

fn is_temporary(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::OperationTimedOut
            // Sampling needs no group. What needs it reports this error itself.
            | RDKafkaErrorCode::GroupAuthorizationFailed
    )
}

fn sampled(message: &BorrowedMessage<'_>) -> Sampled {
    let mut packed = Vec::new();
    let headers = headers::pack(message, &mut packed);
    Sampled {
        partition: TopicPartition::new(message.topic(), message.partition()),
        offset: message.offset(),
        timestamp: match message.timestamp() {
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) if ms >= 0 => Some(ms),
            _ => None,
        },
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.then_some(packed),
    }
}

/// Spreads `wanted` over logs of these lengths as evenly as possible: the index of each log with a share, and its share.
fn shares(lengths: &[i64], wanted: u64) -> Vec<(usize, i64)> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&number| lengths[number]);
    let mut left = i64::try_from(wanted).unwrap_or(i64::MAX);
    let mut shares = Vec::new();
    for (place, &number) in order.iter().enumerate() {
        let logs_left = i64::try_from(order.len() - place).unwrap_or(i64::MAX);
        let share = lengths[number].min(left / logs_left);
        left -= share;
        if share > 0 {
            shares.push((number, share));
        }
    }
    shares.sort_unstable();
    shares
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn a_sample_is_spread_over_what_there_is() {
        assert_eq!(shares(&[10, 10], 10), [(0, 5), (1, 5)]);
        assert_eq!(shares(&[1, 100, 0], 10), [(0, 1), (1, 9)]);
        assert_eq!(shares(&[3, 2], 100), [(0, 3), (1, 2)]);
        assert_eq!(shares(&[5, 5, 6], 1), [(2, 1)]);
        assert_eq!(shares(&[0], 5), []);
    }
}
