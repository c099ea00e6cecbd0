//! What a topic holds.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::{Kafka, REQUEST_DEADLINE};
use crate::record::Record;

impl Kafka {
    /// First and end offset of every partition, in the order of the partitions.
    ///
    /// # Panics
    /// When the broker does not answer or the topic is unknown.
    #[track_caller]
    pub fn watermarks(&self, topic: &str) -> Vec<(i64, i64)> {
        let client: BaseConsumer = self.client().create().expect("a client");
        (0..self.partitions(topic))
            .map(|partition| client.fetch_watermarks(topic, partition, REQUEST_DEADLINE).expect("watermarks"))
            .collect()
    }

    /// End offset of every partition.
    #[track_caller]
    pub fn end_offsets(&self, topic: &str) -> Vec<i64> {
        self.watermarks(topic).into_iter().map(|(_, end)| end).collect()
    }

    /// How many partitions a topic has.
    ///
    /// # Panics
    /// When the broker does not answer or the topic is unknown.
    #[track_caller]
    pub fn partitions(&self, topic: &str) -> i32 {
        let client: BaseConsumer = self.client().create().expect("a client");
        let metadata = client.fetch_metadata(Some(topic), REQUEST_DEADLINE).expect("metadata");
        let count = metadata.topics()[0].partitions().len();
        assert!(count > 0, "topic {topic} is unknown");
        i32::try_from(count).expect("a partition count")
    }

    /// Every committed record of the topic, partition by partition in offset order.
    ///
    /// # Panics
    /// When they cannot be read within a minute.
    #[track_caller]
    pub fn read_all(&self, topic: &str) -> Vec<Record> {
        let mut ends = self.end_offsets(topic);
        let mut config = self.client();
        config
            .set("group.id", "read_all")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions(topic) {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("assign");
        let begin = Instant::now();
        let mut records = Vec::new();
        // An end-of-partition notice marks what was read to the end; markers of transactions leave no record.
        while ends.iter().any(|end| *end > 0) {
            assert!(begin.elapsed() < REQUEST_DEADLINE, "{topic} could not be read to its end");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => records.push(owned(&record)),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    ends[usize::try_from(partition).expect("a partition")] = 0;
                }
                Some(Err(error)) => panic!("cannot read {topic}: {error}"),
                None => {}
            }
        }
        records.sort_by_key(|(partition, offset, _)| (*partition, *offset));
        records.into_iter().map(|(_, _, record)| record).collect()
    }
}

fn owned(record: &BorrowedMessage<'_>) -> (i32, i64, Record) {
    let headers = record.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    let owned = Record {
        key: record.key().map(<[u8]>::to_vec),
        payload: record.payload().map(<[u8]>::to_vec),
        partition: Some(record.partition()),
        headers,
        timestamp_ms: record.timestamp().to_millis(),
    };
    (record.partition(), record.offset(), owned)
}
