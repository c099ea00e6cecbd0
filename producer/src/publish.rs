//! Publishes records to Kafka: acknowledged by all replicas, idempotent, compressed, through a bounded queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use shared::live_score::LiveScore;
use shared::signal::Shutdown;
use thiserror::Error;

use crate::config::Kafka;
use crate::status::Status;

/// Properties that the configuration may set otherwise, under any of their names.
///
/// The queue is bounded at 64 MiB; lz4 costs the least CPU; a linger of 5 ms fills batches at high rates
/// and is not felt at low ones.
const DEFAULT_PROPERTIES: [(&[&str], &str); 6] = [
    (&["client.id"], "producer"),
    (&["compression.type", "compression.codec"], "lz4"),
    (&["linger.ms", "queue.buffering.max.ms"], "5"),
    (&["message.timeout.ms", "delivery.timeout.ms"], "30000"),
    (&["queue.buffering.max.messages"], "100000"),
    (&["queue.buffering.max.kbytes"], "65536"),
];

/// Delivery reports are served once in so many records.
const POLL_EVERY: u64 = 256;
/// How long a full queue is waited for before the next try.
const QUEUE_WAIT: Duration = Duration::from_millis(5);
/// How finely the end of a batch is waited for.
const DRAIN_WAIT: Duration = Duration::from_millis(2);
/// What librdkafka may take to report a record that has timed out.
const REPORT_SLACK: Duration = Duration::from_secs(5);
/// How long the records under way are waited for once a stop was requested.
const STOP_DRAIN: Duration = Duration::from_secs(10);

/// Why a record could not be handed over.
#[derive(Debug, Error)]
pub enum PublishError {
    /// librdkafka refused a property, or all of them together.
    #[error("kafka.properties: {0}")]
    Configuration(KafkaError),
    /// The queue stayed full for longer than a record may wait.
    #[error("the queue of records stayed full for {waited:?}")]
    QueueFull {
        /// How long.
        waited: Duration,
    },
    /// A stop was requested while the queue was full.
    #[error("stopped")]
    Stopped,
    /// The client did not accept the record.
    #[error("the record was refused: {0}")]
    Refused(KafkaError),
}

/// Publishes records and counts what becomes of them.
pub struct Publisher {
    producer: BaseProducer<Deliveries>,
    topic: String,
    status: Arc<Status>,
    shutdown: Shutdown,
    delivery_timeout: Duration,
    /// One record's JSON; reused.
    json: Vec<u8>,
    handed_over: u64,
    /// Batches under way: how many records had been handed over at their end, and when they began. No
    /// longer than the queue of records.
    batches: VecDeque<(u64, Instant)>,
    /// When draining ends whatever is under way, once a stop was requested.
    stop_by: Option<Instant>,
}

impl Publisher {
    /// A publisher to the brokers of the configuration, which are not waited for.
    ///
    /// # Errors
    /// [`PublishError::Configuration`] when librdkafka refuses a property.
    pub fn new(kafka: &Kafka, status: Arc<Status>, shutdown: Shutdown) -> Result<Self, PublishError> {
        let mut config = ClientConfig::new();
        for (names, value) in DEFAULT_PROPERTIES {
            if !kafka.librdkafka().any(|(given, _)| names.contains(&given)) {
                config.set(names[0], value);
            }
        }
        for (name, value) in kafka.librdkafka() {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &kafka.bootstrap_servers);
        config.set("acks", "all").set("enable.idempotence", "true");
        // Everything goes to our log, whose filter decides.
        config.set_log_level(RDKafkaLogLevel::Info);
        let context = Deliveries { status: Arc::clone(&status) };
        Ok(Self {
            producer: config.create_with_context(context).map_err(PublishError::Configuration)?,
            topic: kafka.topic.clone(),
            status,
            shutdown,
            delivery_timeout: kafka.delivery_timeout(),
            json: Vec::with_capacity(1024),
            handed_over: 0,
            batches: VecDeque::new(),
            stop_by: None,
        })
    }

    /// Records handed over so far.
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Hands one record over, keyed by its match id; its outcome is counted later. Waits while the queue
    /// is full, at most for as long as a record may wait to be acknowledged: by then the queue has emptied
    /// itself, one way or the other.
    ///
    /// # Errors
    /// Any of [`PublishError`] but the configuration's; the record was not handed over then.
    pub fn publish(&mut self, score: &LiveScore<&str>) -> Result<(), PublishError> {
        self.json.clear();
        serde_json::to_writer(&mut self.json, score)
            .expect("a live score is text and finite numbers, which always make JSON");
        let mut full_since = None;
        loop {
            let record = BaseRecord::to(&self.topic).key(score.match_id).payload(self.json.as_slice());
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    let waited = full_since.get_or_insert_with(Instant::now).elapsed();
                    if self.shutdown.requested() {
                        return Err(PublishError::Stopped);
                    }
                    if waited > self.delivery_timeout + REPORT_SLACK {
                        return Err(PublishError::QueueFull { waited });
                    }
                    self.shutdown.wait_timeout(QUEUE_WAIT);
                    self.poll();
                }
                Err((error, _)) => return Err(PublishError::Refused(error)),
            }
        }
        self.handed_over += 1;
        if self.handed_over.is_multiple_of(POLL_EVERY) {
            self.poll();
        }
        Ok(())
    }

    /// The batch that began at `began` ends with the last record handed over: it is timed until the
    /// outcome of that many records is known.
    pub fn batch_ends(&mut self, began: Instant) {
        self.batches.push_back((self.handed_over, began));
    }

    /// Serves the delivery reports that are there, without waiting for others. (A poll with a time limit
    /// would take all of it, and spin through its last millisecond.)
    pub fn poll(&mut self) {
        self.producer.poll(Duration::ZERO);
        self.status.turned();
        let Status { measured, .. } = &*self.status;
        measured.metrics.queue_records.set(self.producer.in_flight_count().into());
        let known = measured.acknowledged.get() + measured.failed.get();
        while let Some((_, began)) = self.batches.pop_front_if(|(records, _)| *records <= known) {
            measured.metrics.batch_seconds.observe(began.elapsed().as_secs_f64());
        }
    }

    /// Waits until the outcome of every record is known: for as long as a record may wait to be
    /// acknowledged, but 10 s at most once a stop was requested.
    pub fn drain(&mut self) {
        let until = Instant::now() + self.delivery_timeout + REPORT_SLACK;
        self.poll();
        while self.producer.in_flight_count() > 0 && Instant::now() < until {
            if self.shutdown.requested() {
                // One deadline for all: a second drain does not begin to wait anew.
                let stop_by = *self.stop_by.get_or_insert_with(|| Instant::now() + STOP_DRAIN);
                if Instant::now() >= stop_by {
                    return;
                }
            }
            thread::sleep(DRAIN_WAIT);
            self.poll();
        }
    }
}

/// Counts delivery reports, and logs the messages of librdkafka.
struct Deliveries {
    status: Arc<Status>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        match level {
            Emerg | Alert | Critical | Error => tracing::error!(target: "librdkafka", facility, "{text}"),
            Warning => tracing::warn!(target: "librdkafka", facility, "{text}"),
            Notice | Info => tracing::info!(target: "librdkafka", facility, "{text}"),
            Debug => tracing::debug!(target: "librdkafka", facility, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // At debug only: librdkafka logs the same, and repeats itself less.
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.status.symptom("no broker is reachable"),
            _ => self.status.cause(reason),
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.status.acknowledged(),
            Err((error, _)) => self.status.failed(error),
        }
    }
}
