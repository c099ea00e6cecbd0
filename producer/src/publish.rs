//! Publishes records to Kafka: idempotent, acknowledged by all replicas, compressed, with a bounded queue.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use shared::kafka::{Causes, RenewedLogin};
use shared::signal::Shutdown;
use thiserror::Error;

use crate::config::Kafka;
use crate::source::Moment;
use crate::status::Status;
use crate::topic::{self, TopicError};

/// Records between two polls for delivery reports.
const POLL_EVERY: u64 = 256;
/// How often a full queue is checked.
const QUEUE_WAIT: Duration = Duration::from_millis(5);
/// How often the end of a batch is checked.
const DRAIN_WAIT: Duration = Duration::from_millis(2);
/// How long librdkafka may take to report a timed out record.
const REPORT_SLACK: Duration = Duration::from_secs(5);
/// How long to wait for outstanding records after shutdown was requested.
const STOP_DRAIN: Duration = Duration::from_secs(10);

/// Why a record could not be sent.
#[derive(Debug, Error)]
pub enum PublishError {
    /// librdkafka refused the properties.
    #[error("kafka.properties: {0}")]
    Configuration(KafkaError),
    /// The thread that renews the login cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The queue stayed full for longer than a record may wait.
    #[error("the queue of records stayed full for {} s", .0.as_secs())]
    QueueFull(Duration),
    /// Shutdown was requested while the queue was full.
    #[error("stopped")]
    Stopped,
    /// The topic was deleted.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The client did not accept the record.
    #[error("the record was refused: {0}")]
    Refused(KafkaError),
}

/// Which of the topics.
#[derive(Clone, Copy)]
enum To {
    Scores,
    Deliveries,
}

/// Publishes records and counts their outcomes.
pub struct Publisher {
    producer: Arc<BaseProducer<Deliveries>>,
    _login: Option<RenewedLogin>,
    topic: String,
    /// For the balls of live matches.
    deliveries_topic: Option<String>,
    status: Arc<Status>,
    shutdown: Shutdown,
    delivery_timeout: Duration,
    /// One record's JSON; reused.
    json: Vec<u8>,
    handed_over: u64,
    /// Outstanding batches: the number of records handed over at their end, and their start. Bounded by the queue.
    batches: VecDeque<(u64, Instant)>,
    /// The end of draining after shutdown was requested.
    stop_by: Option<Instant>,
}

impl Publisher {
    /// Creates the client, without waiting for a broker.
    ///
    /// # Errors
    /// [`PublishError::Configuration`].
    pub fn new(kafka: &Kafka, status: Arc<Status>, shutdown: Shutdown) -> Result<Self, PublishError> {
        let (config, login) = (kafka.client(), kafka.login());
        let causes = Causes::default().explaining(&config, login.clone());
        let context = Deliveries { status: Arc::clone(&status), causes };
        let producer = Arc::new(config.create_with_context(context).map_err(PublishError::Configuration)?);
        Ok(Self {
            _login: login.map(|login| login.renew(&producer)).transpose().map_err(PublishError::Thread)?,
            producer,
            topic: kafka.topic.clone(),
            deliveries_topic: kafka.deliveries_topic.clone(),
            status,
            shutdown,
            delivery_timeout: kafka.delivery_timeout(),
            json: Vec::with_capacity(1024),
            handed_over: 0,
            batches: VecDeque::new(),
            stop_by: None,
        })
    }

    /// Waits at most 5 s for each topic until it exists.
    ///
    /// # Errors
    /// One does not exist, or may not be written to.
    pub fn find_topics(&self) -> Result<(), TopicError> {
        [Some(&self.topic), self.deliveries_topic.as_ref()].into_iter().flatten().try_for_each(|topic| {
            let found = topic::find(&self.producer, topic, &self.shutdown, || {
                self.producer.poll(Duration::ZERO);
                self.status.turned();
            })?;
            if !found
                && let Some(symptom) =
                    self.status.unanswered(&format!("topic {topic:?} is not described yet"))
            {
                self.producer.context().causes.warn(&symptom);
            }
            Ok(())
        })
    }

    /// Records handed over so far.
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Records of most moments.
    pub fn records_per_moment(&self) -> u64 {
        1 + u64::from(self.deliveries_topic.is_some())
    }

    /// Queues the records of one moment with the match id as their key: the live score and, if its topic is configured,
    /// the ball. Waits while the queue is full, for the delivery time-out at most.
    ///
    /// # Errors
    /// See [`PublishError`]; the record is not queued.
    pub fn publish(&mut self, moment: &Moment<'_>) -> Result<(), PublishError> {
        let mut json = std::mem::take(&mut self.json);
        let sent = self.send_moment(moment, &mut json);
        self.json = json;
        sent
    }

    fn send_moment(&mut self, moment: &Moment<'_>, json: &mut Vec<u8>) -> Result<(), PublishError> {
        let key = Some(moment.match_id().as_bytes());
        write(json, &moment.score);
        self.send_to(To::Scores, key, json)?;
        match &moment.delivery {
            Some(delivery) if self.deliveries_topic.is_some() => {
                write(json, delivery);
                self.send_to(To::Deliveries, key, json)
            }
            _ => Ok(()),
        }
    }

    /// Queues one record. Waits while the queue is full, for the delivery time-out at most.
    ///
    /// # Errors
    /// See [`PublishError`]; the record is not queued.
    pub fn send(&mut self, key: Option<&[u8]>, value: &[u8]) -> Result<(), PublishError> {
        self.send_to(To::Scores, key, value)
    }

    fn send_to(&mut self, to: To, key: Option<&[u8]>, value: &[u8]) -> Result<(), PublishError> {
        let mut full_since = None;
        loop {
            let topic = match to {
                To::Scores => &self.topic,
                To::Deliveries => self.deliveries_topic.as_ref().unwrap_or(&self.topic),
            };
            let record = BaseRecord::to(topic).payload(value);
            let record = match key {
                Some(key) => record.key(key),
                None => record,
            };
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    let waited = full_since.get_or_insert_with(Instant::now).elapsed();
                    if self.shutdown.requested() {
                        return Err(PublishError::Stopped);
                    }
                    if waited > self.delivery_timeout + REPORT_SLACK {
                        return Err(PublishError::QueueFull(waited));
                    }
                    self.shutdown.wait_timeout(QUEUE_WAIT);
                    self.poll();
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::UnknownTopic), _)) => {
                    return Err(TopicError::Missing(topic.clone()).into());
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

    /// Ends the batch that began at `began` after the last record handed over.
    pub fn batch_ends(&mut self, began: Instant) {
        self.batches.push_back((self.handed_over, began));
    }

    /// Serves the available delivery reports. Does not wait, because a poll with a time limit always takes all of it.
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

    /// Waits for the outcomes of all records: for the delivery time-out at most, or 10 s after shutdown was requested.
    pub fn drain(&mut self) {
        let until = Instant::now() + self.delivery_timeout + REPORT_SLACK;
        self.poll();
        while self.producer.in_flight_count() > 0 && Instant::now() < until {
            if self.shutdown.requested() {
                // One deadline for all calls.
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

/// Replaces the text by a record's JSON.
fn write(json: &mut Vec<u8>, record: &impl serde::Serialize) {
    json.clear();
    serde_json::to_writer(json, record).expect("records are text and finite numbers, which always make JSON");
}

/// Counts delivery reports, and remembers why the brokers cannot be reached.
struct Deliveries {
    status: Arc<Status>,
    causes: Causes,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.causes.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let reason = self.causes.error(&error, reason);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.status.unanswered("no broker is reachable");
            }
            _ => self.status.cause(&reason),
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                if self.status.acknowledged() {
                    self.causes.recovered();
                }
            }
            Err((error, _)) => self.status.failed(error),
        }
    }
}
