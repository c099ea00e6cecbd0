//! Records into a topic, in bulk, with the position that each of them got.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer, ProducerContext};

use super::Kafka;
use crate::record::Record;

/// Long enough to ride out a broker that a test kills while it produces.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(120);

impl Kafka {
    /// Produces `records` (acks=all, idempotent) and waits for every acknowledgement; returns partition and offset
    /// of each record, in the order given.
    ///
    /// # Panics
    /// When a record is not acknowledged within two minutes.
    #[track_caller]
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) -> Vec<(i32, i64)> {
        let producer = self.producer(&[("enable.idempotence", "true")]);
        send(&producer, topic, records);
        producer.flush(DELIVERY_DEADLINE).expect("every record is acknowledged");
        producer.context().take()
    }

    /// Produces one record; returns its partition and offset.
    #[track_caller]
    pub fn produce_one(&self, topic: &str, record: Record) -> (i32, i64) {
        self.produce(topic, [record])[0]
    }

    pub(super) fn producer(&self, settings: &[(&str, &str)]) -> BaseProducer<Acknowledged> {
        let mut config = self.client();
        config
            .set("acks", "all")
            .set("linger.ms", "5")
            // What a topic takes is the topic's to say.
            .set("message.max.bytes", "100000000")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "200000")
            .set("message.timeout.ms", DELIVERY_DEADLINE.as_millis().to_string());
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config.create_with_context(Acknowledged::default()).expect("a producer")
    }
}

/// Queues `records`, serving acknowledgements whenever the queue is full.
pub(super) fn send(
    producer: &BaseProducer<Acknowledged>,
    topic: &str,
    records: impl IntoIterator<Item = Record>,
) {
    let begin = Instant::now();
    for record in records {
        let headers = (!record.headers.is_empty()).then(|| {
            record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: value.as_ref() })
            })
        });
        let place = producer.context().expect_one();
        let mut queued: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, place);
        queued.partition = record.partition;
        queued.key = record.key.as_deref();
        queued.payload = record.payload.as_deref();
        queued.timestamp = record.timestamp_ms;
        queued.headers = headers;
        while let Err((error, again)) = producer.send(queued) {
            let full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert!(full, "cannot queue a record for {topic}: {error}");
            assert!(begin.elapsed() < DELIVERY_DEADLINE * 3, "the producer's queue stays full");
            producer.poll(Duration::from_millis(50));
            queued = again;
        }
        if place % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
}

/// The positions that the broker acknowledged, by the order of sending.
#[derive(Default)]
pub(super) struct Acknowledged(Mutex<Vec<Result<(i32, i64), String>>>);

impl Acknowledged {
    fn expect_one(&self) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Err("not acknowledged".to_owned()));
        all.len() - 1
    }

    /// All positions so far, and starts afresh.
    pub(super) fn take(&self) -> Vec<(i32, i64)> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_iter()
            .map(|result| result.unwrap_or_else(|error| panic!("not delivered: {error}")))
            .collect()
    }
}

impl ClientContext for Acknowledged {}

impl ProducerContext<NoCustomPartitioner> for Acknowledged {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get_mut(place) {
            *entry = match result {
                Ok(record) => Ok((record.partition(), record.offset())),
                Err((error, _)) => Err(error.to_string()),
            };
        }
    }
}
