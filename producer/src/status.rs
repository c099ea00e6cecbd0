//! The producer's state behind `/livez`, `/readyz` and `/status`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, MutexGuard};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use shared::http::{Endpoints, Stuck};
use shared::time;

use crate::config::Kafka;
use crate::metrics::Measured;
use crate::topic;

/// /livez fails if the publishing loop has not run for this long.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// How long a symptom does not replace a recorded cause.
const CAUSE_HOLDS: Duration = Duration::from_secs(60);

/// The state of a producer, shared by the publishing loop, librdkafka's callbacks and the HTTP server.
#[derive(Debug)]
pub struct Status {
    /// Metrics, and the counters of records.
    pub measured: Measured,
    bootstrap_servers: String,
    topic: String,
    seed: u64,
    started: Instant,
    /// Last run of the loop, in milliseconds after `started`.
    turned_ms: AtomicU64,
    /// Whether the last result from the brokers was a failure.
    failing: AtomicBool,
    last_failure: Mutex<Option<Failure>>,
}

#[derive(Clone, Debug)]
struct Failure {
    reason: String,
    at: Instant,
    time: SystemTime,
}

/// /status.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer<'a> {
    /// Version of the producer.
    version: &'static str,
    /// `publishing`, or `waiting`: records are not acknowledged.
    state: &'static str,
    /// The state in a sentence, for people.
    summary: String,
    /// `kafka.bootstrap_servers`.
    bootstrap_servers: &'a str,
    /// `kafka.topic`.
    topic: &'a str,
    /// The seed of the records: a run with the same one makes the same records.
    seed: u64,
    /// Since the process started.
    up_seconds: u64,
    /// Records since the start.
    records: RecordsStatus,
    /// The last failure, also if it is over.
    last_failure: Option<FailureStatus>,
}

/// Counters of records.
#[derive(Debug, Serialize, JsonSchema)]
struct RecordsStatus {
    /// The brokers have them.
    acknowledged: u64,
    /// The brokers did not acknowledge them in time.
    failed: u64,
    /// Not acknowledged yet.
    queued: i64,
}

/// A failure.
#[derive(Debug, Serialize, JsonSchema)]
struct FailureStatus {
    /// Why.
    reason: String,
    /// When.
    timestamp: String,
}

impl Status {
    /// The state at the start.
    pub fn new(measured: Measured, kafka: &Kafka, seed: u64) -> Self {
        Self {
            measured,
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            topic: kafka.topic.clone(),
            seed,
            started: Instant::now(),
            turned_ms: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            last_failure: Mutex::new(None),
        }
    }

    /// Records a run of the publishing loop.
    pub fn turned(&self) {
        self.turned_ms.store(self.up_ms(), Ordering::Relaxed);
    }

    /// Counts an acknowledged record.
    ///
    /// Returns whether records failed before it.
    pub fn acknowledged(&self) -> bool {
        self.measured.acknowledged.inc();
        self.failing.swap(false, Ordering::Relaxed)
    }

    /// Counts a failed record.
    pub fn failed(&self, error: &KafkaError) {
        self.measured.failed.inc();
        match error.rdkafka_error_code() {
            // A time-out is a symptom; its cause may be known.
            Some(RDKafkaErrorCode::MessageTimedOut) => {
                self.unanswered("not acknowledged in time (message.timeout.ms)");
            }
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                self.caused(&topic::missing(&self.topic));
            }
            Some(code) => self.caused(&code.to_string()),
            None => self.caused(&error.to_string()),
        }
    }

    /// Records a failure with a known cause.
    fn caused(&self, reason: &str) {
        self.cause(reason);
        self.failing.store(true, Ordering::Relaxed);
    }

    /// Records that the brokers do not answer, which does not replace a recent cause. Returns the text if there is none.
    pub fn unanswered(&self, symptom: &str) -> Option<String> {
        self.failing.store(true, Ordering::Relaxed);
        let known = self.lock().as_ref().is_some_and(|failure| failure.at.elapsed() < CAUSE_HOLDS);
        (!known).then(|| {
            let reason = format!("no answer from {}: {symptom}", self.bootstrap_servers);
            self.cause(&reason);
            reason
        })
    }

    /// Records a cause, such as a failed connection to one broker. Records may still reach another broker.
    pub fn cause(&self, reason: &str) {
        let (at, time) = (Instant::now(), SystemTime::now());
        *self.lock() = Some(Failure { reason: reason.to_owned(), at, time });
    }

    /// The reason of the last failure.
    pub fn last_failure(&self) -> Option<String> {
        self.lock().as_ref().map(|failure| failure.reason.clone())
    }

    fn up_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failure>> {
        self.last_failure.lock()
    }
}

impl Endpoints for Status {
    fn metrics(&self) -> String {
        self.measured.text()
    }

    fn live(&self) -> Result<(), Stuck> {
        let idle =
            Duration::from_millis(self.up_ms() - self.turned_ms.load(Ordering::Relaxed).min(self.up_ms()));
        if idle > STUCK_AFTER {
            return Err(Stuck { name: "publishing loop", idle });
        }
        Ok(())
    }

    fn ready(&self) -> Result<Value, Value> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(json!({"status": "unavailable", "reason": self.last_failure()}));
        }
        Ok(json!({"status": "ok"}))
    }

    fn status(&self) -> Value {
        let failure = self.lock().clone();
        let failing = self.failing.load(Ordering::Relaxed);
        let summary = match &failure {
            Some(failure) if failing => format!("Records are not acknowledged: {}.", failure.reason),
            _ => format!("{} records are acknowledged.", self.measured.acknowledged.get()),
        };
        json!(Answer {
            version: env!("CARGO_PKG_VERSION"),
            state: if failing { "waiting" } else { "publishing" },
            summary,
            bootstrap_servers: &self.bootstrap_servers,
            topic: &self.topic,
            seed: self.seed,
            up_seconds: self.started.elapsed().as_secs(),
            records: RecordsStatus {
                acknowledged: self.measured.acknowledged.get(),
                failed: self.measured.failed.get(),
                queued: self.measured.metrics.queue_records.get(),
            },
            last_failure: failure
                .map(|failure| FailureStatus { reason: failure.reason, timestamp: time::text(failure.time) }),
        })
    }
}
