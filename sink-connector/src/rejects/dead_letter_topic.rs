//! Dead letters in a Kafka topic: the unchanged records with Kafka Connect's headers (`DeadLetterQueueReporter` of Apache
//! Kafka), acknowledged before the batch's transaction commits. At least once.

mod tail;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crossbeam_channel::{RecvTimeoutError, Sender, unbounded};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use shared::kafka::{LoginSource, RenewedLogin};
use shared::signal::Shutdown;

use crate::batch::Batch;
use crate::kafka::packed_headers;
use crate::kafka::record::Incoming;
use crate::postgres::failure::Failure;
use crate::rejects::dead_letters::DeadLetter;
use crate::types::{Offset, TopicPartition};

/// Time-out of one dead letter. Short, because rows are locked meanwhile; failures are retried.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
/// Time-out of a dead letter after shutdown was requested.
const SHUTDOWN_ACK_TIMEOUT: Duration = Duration::from_secs(1);
/// Time-out of the check whether the topic exists.
const METADATA: Duration = Duration::from_secs(2);
/// How often the wait checks for shutdown.
const LOOK: Duration = Duration::from_millis(100);
/// How long dead letters that were read back stay valid. Enough for the partitions of one assignment.
const FRESH: Duration = Duration::from_secs(10);
/// Prefix of Connect's header names.
const PREFIX: &str = "__connect.errors.";

/// The topic of dead letters of one connector.
pub(crate) struct DeadLetterTopic {
    topic: String,
    connector: String,
    config: ClientConfig,
    login: Option<LoginSource>,
    shutdown: Shutdown,
    state: Mutex<TopicState>,
}

#[derive(Default)]
struct TopicState {
    /// Replaced after every failure, so that nothing of a failed attempt stays in its queue.
    producer: Option<(Arc<Producer>, Option<RenewedLogin>)>,
    /// Acknowledged dead letters of batches that are not committed yet. Another attempt does not send them again.
    acknowledged: HashSet<(TopicPartition, i64)>,
    /// Dead letters that were read back, and when.
    tail: Option<(Instant, tail::Tail)>,
}

type Producer = ThreadedProducer<Reports>;

/// The number of a dead letter, and the broker's answer.
type Report = (usize, Result<(), KafkaError>);

struct Reports;

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka, dead letters");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka, dead letters");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<(usize, Sender<Report>)>;

    fn delivery(&self, result: &DeliveryResult<'_>, dead_letter: Self::DeliveryOpaque) {
        let (number, reports) = *dead_letter;
        let stored = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        if reports.send((number, stored)).is_err() {
            tracing::debug!("no attempt waits for this dead letter any more");
        }
    }
}

impl DeadLetterTopic {
    /// Does not connect yet.
    pub(crate) fn new(
        topic: &str,
        connector: &str,
        bootstrap_servers: &str,
        properties: impl IntoIterator<Item = (String, String)>,
        login: Option<LoginSource>,
        shutdown: Shutdown,
    ) -> Self {
        let mut config = ClientConfig::new();
        config.set("compression.type", "zstd");
        config.set("client.id", format!("kafka-sink-{connector}-dead-letters"));
        for (name, value) in properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", bootstrap_servers);
        config.set("acks", "all");
        config.set("enable.idempotence", "true");
        config.set("linger.ms", "5");
        // The broker decides whether a dead letter is too large.
        config.set("message.max.bytes", "1000000000");
        config.set("message.timeout.ms", ACKNOWLEDGED.as_millis().to_string());
        config.set_log_level(RDKafkaLogLevel::Error);
        let (topic, connector) = (topic.to_owned(), connector.to_owned());
        Self { topic, connector, config, login, shutdown, state: Mutex::default() }
    }

    /// Sends the dead letters of `batch` and waits for their acknowledgements. After an error, some may be stored.
    pub(crate) fn send(&self, batch: &Batch, dead_letters: &[DeadLetter<'_>]) -> Result<(), Failure> {
        let producer = self.producer()?;
        let sent = self.send_by(&producer, batch, dead_letters);
        if sent.is_err() {
            self.lock().producer = None;
        }
        sent
    }

    pub(crate) fn committed(&self, batch: &Batch) {
        let mut state = self.lock();
        if !state.acknowledged.is_empty() {
            let ours = |partition: &TopicPartition| batch.spans().iter().find(|s| s.partition == *partition);
            state
                .acknowledged
                .retain(|(partition, offset)| ours(partition).is_none_or(|s| *offset >= s.next.0));
        }
    }

    /// Offsets of the dead letters of `partition` in the last `window` offsets below `position`, as far as they are among the
    /// last `window` of this topic. Empty if the topic cannot be read, which must not stop the sink.
    pub(crate) fn below(&self, partition: &TopicPartition, position: Offset, window: i64) -> Vec<i64> {
        let stale = self.lock().tail.as_ref().is_none_or(|(read, _)| read.elapsed() > FRESH);
        if stale {
            let tail = tail::read(&self.config, self.login.as_ref(), &self.topic, &self.connector, window)
                .unwrap_or_else(|error| {
                    tracing::warn!(
                        topic = self.topic,
                        %error,
                        "cannot read the topic of dead letters; the breaker begins without them"
                    );
                    tail::Tail::new()
                });
            self.lock().tail = Some((Instant::now(), tail));
        }
        let state = self.lock();
        let dead_letters = state.tail.as_ref().and_then(|(_, tail)| tail.get(partition));
        let from = position.0.saturating_sub(window);
        dead_letters
            .map_or_else(Vec::new, |dead_letters| dead_letters.range(from..position.0).copied().collect())
    }

    fn producer(&self) -> Result<Arc<Producer>, Failure> {
        if let Some((producer, _)) = &self.lock().producer {
            return Ok(Arc::clone(producer));
        }
        let producer: Producer = self
            .config
            .create_with_context(Reports)
            .map_err(|error| self.configuration(&error.to_string()))?;
        let producer = Arc::new(producer);
        let login = self.login.clone().map(|login| login.renew(&producer)).transpose();
        let login = login.map_err(|error| Failure::transient(self.text(&error.to_string())))?;
        // Checked first: librdkafka needs half a minute to report a missing topic, and rows are locked meanwhile.
        let metadata = producer
            .client()
            .fetch_metadata(Some(&self.topic), METADATA)
            .map_err(|error| self.failure(&error))?;
        let topic = metadata.topics().iter().find(|t| t.name() == self.topic);
        if let Some(code) = topic.and_then(rdkafka::metadata::MetadataTopic::error) {
            return Err(self.failure(&KafkaError::MessageProduction(code.into())));
        }
        if topic.is_none_or(|t| t.partitions().is_empty()) {
            return Err(self.configuration("it does not exist; create it"));
        }
        self.lock().producer = Some((Arc::clone(&producer), login));
        Ok(producer)
    }

    fn send_by(
        &self,
        producer: &Producer,
        batch: &Batch,
        dead_letters: &[DeadLetter<'_>],
    ) -> Result<(), Failure> {
        let (reports_in, reports) = unbounded();
        let deadline = Instant::now() + ACKNOWLEDGED * 2;
        let mut waiting = 0;
        for (number, dead_letter) in dead_letters.iter().enumerate() {
            let (partition, incoming) = dead_letter.place(batch);
            if self.lock().acknowledged.contains(&(partition.clone(), incoming.offset)) {
                continue;
            }
            let mut record: BaseRecord<'_, [u8], [u8], _> =
                BaseRecord::with_opaque_to(&self.topic, Box::new((number, reports_in.clone())));
            record.key = incoming.key;
            record.payload = incoming.payload;
            record.timestamp = incoming.timestamp;
            record.headers = Some(self.headers(partition, &incoming, dead_letter));
            while let Err((error, again)) = producer.send(record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() >= deadline {
                    return Err(self.failure(&error));
                }
                record = again;
                std::thread::sleep(LOOK / 10);
            }
            waiting += 1;
        }
        drop(reports_in);
        let mut shutdown_deadline: Option<Instant> = None;
        while waiting > 0 {
            if self.shutdown.requested() {
                shutdown_deadline.get_or_insert_with(|| Instant::now() + SHUTDOWN_ACK_TIMEOUT);
            }
            match reports.recv_timeout(LOOK) {
                Ok((number, Ok(()))) => {
                    let (partition, incoming) = dead_letters[number].place(batch);
                    self.lock().acknowledged.insert((partition.clone(), incoming.offset));
                    waiting -= 1;
                }
                Ok((_, Err(error))) => return Err(self.failure(&error)),
                Err(RecvTimeoutError::Timeout) if Instant::now() < shutdown_deadline.unwrap_or(deadline) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(Failure::transient(self.text("the broker does not acknowledge them")));
                }
            }
        }
        Ok(())
    }

    /// The record's own headers, and then those with its source and the reason of its rejection.
    fn headers(
        &self,
        partition: &TopicPartition,
        incoming: &Incoming<'_>,
        dead_letter: &DeadLetter<'_>,
    ) -> OwnedHeaders {
        let own = incoming.headers.map(packed_headers::iter).into_iter().flatten();
        let all = own.fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value }));
        let rejection = dead_letter.rejection;
        let ours = [
            ("topic", partition.topic.to_string()),
            ("partition", partition.partition.to_string()),
            ("offset", incoming.offset.to_string()),
            ("connector.name", self.connector.clone()),
            ("task.id", "0".to_owned()),
            (
                "stage",
                if rejection.reason.is_of_the_value() { "VALUE_CONVERTER" } else { "TASK_PUT" }.to_owned(),
            ),
            ("class.name", "sink-connector".to_owned()),
            ("exception.class.name", rejection.reason.as_str().to_owned()),
            ("exception.message", rejection.detail.clone()),
        ];
        ours.iter().fold(all, |all, (name, value)| {
            all.insert(Header { key: &format!("{PREFIX}{name}"), value: Some(value.as_bytes()) })
        })
    }

    fn failure(&self, error: &KafkaError) -> Failure {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                self.configuration("it does not exist; create it")
            }
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => self.configuration("this client may not write to it; grant it that"),
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
                self.configuration("a dead letter is too large for it; raise its max.message.bytes")
            }
            _ => Failure::transient(self.text(&error.to_string())),
        }
    }

    fn configuration(&self, what: &str) -> Failure {
        Failure::configuration(self.text(what))
    }

    fn text(&self, what: &str) -> String {
        format!("dead letters cannot be sent to topic {}: {what}", self.topic)
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, TopicState> {
        self.state.lock()
    }
}
