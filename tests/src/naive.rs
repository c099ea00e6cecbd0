//! Two consumers as they are often written, to prove that the oracle sees what they do wrong.

use std::time::{Duration, Instant};

use postgres::Client;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::Kafka;

/// In which order a naive consumer does its two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// At most once: a crash between the two loses the batch.
    CommitThenInsert,
    /// At least once: a crash between the two writes the batch again.
    InsertThenCommit,
}

/// Consumes a topic into a table in batches, its offsets in Kafka.
pub struct Naive<'a> {
    /// The broker.
    pub kafka: &'a Kafka,
    /// The topic, all of whose partitions it reads.
    pub topic: &'a str,
    /// The group that it commits as.
    pub group: &'a str,
    /// The insert, with the record's text as its one parameter.
    pub insert: &'a str,
    /// When it commits.
    pub order: Order,
    /// Records per batch.
    pub batch: usize,
}

impl Naive<'_> {
    /// Runs until the end of the topic, or dies between the two steps of batch number `crash_in` (from 0): what
    /// the process had not done by then is not done. Returns how many records it read.
    ///
    /// # Panics
    /// When a service refuses.
    pub fn run(&self, client: &mut Client, crash_in: Option<usize>) -> usize {
        let consumer = self.consumer();
        let mut read = 0;
        for batch in 0.. {
            let (payloads, next) = self.poll(&consumer);
            if payloads.is_empty() {
                break;
            }
            read += payloads.len();
            let commit = || consumer.commit(&next, CommitMode::Sync).expect("commit to Kafka");
            let mut insert = || self.insert(client, &payloads);
            let crash = crash_in == Some(batch);
            match self.order {
                Order::CommitThenInsert => {
                    commit();
                    if crash {
                        break;
                    }
                    insert();
                }
                Order::InsertThenCommit => {
                    insert();
                    if crash {
                        break;
                    }
                    commit();
                }
            }
        }
        read
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = self.kafka.client();
        config
            .set("group.id", self.group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..self.kafka.partitions(self.topic) {
            list.add_partition_offset(self.topic, partition, Offset::Stored).expect("an offset");
        }
        consumer.assign(&list).expect("assign");
        consumer
    }

    /// The next batch, shorter at the topic's end, and the offsets behind it.
    fn poll(&self, consumer: &BaseConsumer) -> (Vec<String>, TopicPartitionList) {
        let mut payloads = Vec::new();
        let mut next = TopicPartitionList::new();
        let mut last = Instant::now();
        while payloads.len() < self.batch && last.elapsed() < Duration::from_secs(3) {
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                payloads.push(String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned());
                let offset = Offset::Offset(record.offset() + 1);
                if next.find_partition(self.topic, record.partition()).is_none() {
                    next.add_partition(self.topic, record.partition());
                }
                next.set_partition_offset(self.topic, record.partition(), offset).expect("an offset");
                last = Instant::now();
            }
        }
        (payloads, next)
    }

    fn insert(&self, client: &mut Client, payloads: &[String]) {
        let mut transaction = client.transaction().expect("BEGIN");
        let statement = transaction.prepare(self.insert).expect("prepare");
        for payload in payloads {
            transaction.execute(&statement, &[payload]).expect("INSERT");
        }
        transaction.commit().expect("COMMIT");
    }
}
