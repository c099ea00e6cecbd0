//! A look at the newest records of a topic, by a consumer that is no member of the group.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::kafka::{Kafka, Trouble};
use crate::batch::records::Incoming;
use crate::positions::watermarks;
use crate::source::consumer::list_of;
use crate::source::headers;
use crate::types::{Offset, TopicPartition};

/// How long records are waited for.
const DEADLINE: Duration = Duration::from_secs(20);

/// One record, as it came.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// Where it was.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
    timestamp: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    headers: Option<Vec<u8>>,
}

impl Sampled {
    /// The record for a batch.
    pub fn incoming(&self) -> Incoming<'_> {
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
pub fn newest(kafka: &Kafka, partitions: &[TopicPartition], wanted: u64) -> Result<Vec<Sampled>, Trouble> {
    let mut logs = Vec::new();
    for partition in partitions {
        let (low, high) = watermarks(&kafka.consumer, partition)
            .map_err(|problem| Trouble::new(problem, "see that every partition has a leader"))?;
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
    let look = || -> Result<Vec<Sampled>, KafkaError> {
        kafka.consumer.assign(&list_of(starts)?)?;
        read(kafka, ends)
    };
    let read = look();
    let unassigned = kafka.consumer.unassign();
    let topic = &partitions[0].topic;
    match (read, unassigned) {
        (Ok(records), Ok(())) => Ok(records),
        (Err(error), _) | (_, Err(error)) => {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                return Err(kafka.not_authorised(topic));
            }
            Err(Trouble::new(format!("cannot read topic {topic}: {error}"), "see the brokers' log"))
        }
    }
}

fn read(kafka: &Kafka, mut ends: HashMap<TopicPartition, i64>) -> Result<Vec<Sampled>, KafkaError> {
    let deadline = Instant::now() + DEADLINE;
    let mut records = Vec::new();
    // A partition is done at the end that it had, or where the client says it ends: the last offsets may be markers.
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
            // A broker that comes and goes is waited for.
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(passes) => {}
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    records.sort_by(|a, b| (&a.partition, a.offset).cmp(&(&b.partition, b.offset)));
    Ok(records)
}

fn passes(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::OperationTimedOut
            // A look needs no group; whoever does says so.
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

/// Spreads `wanted` over logs of these lengths, as evenly as they allow: the number of a log and its share, if it has
/// one.
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
