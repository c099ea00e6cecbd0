//! The source: the thread that owns polling. It takes records, fills the writers' batches, and follows the group's
//! rebalances. It never waits for PostgreSQL, and it is the only one that changes what is fetched.

mod assignment;
pub mod bounds;
mod breakers;
pub mod commits;
pub mod consumer;
mod echo;
mod finish;
mod handover;
pub mod headers;
mod news;
mod portion;
mod progress;
mod publish;
mod silence;
pub mod slot;
mod stops;
pub mod take;
pub mod topic_ids;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use shared::signal::Shutdown;

use self::bounds::{Bounds, Ends, StoppedBy};
use self::breakers::OpenBreakers;
use self::commits::Commits;
use self::consumer::Consumer;
use self::slot::{Limits, Slot};
use crate::batch::Batch;
use crate::decode::Slots;
use crate::events::Event;
use crate::health::{Component, Health};
use crate::identities;
use crate::keeper::Request;
use crate::ledger::{Ledger, Stopped};
use crate::metrics::Metrics;
use crate::plans::Plans;
use crate::policy::{Policy, Refusal};
use crate::status::Board;
use crate::types::{Offset, TopicPartition};
use crate::watcher::{LookNow, Watched};

/// How long a poll waits when there is nothing to hand over.
const POLL: Duration = Duration::from_millis(50);
/// … and when a batch waits for its writer.
const POLL_BUSY: Duration = Duration::from_millis(1);
/// Records taken between two looks at the news.
const BURST: usize = 64;
/// How often positions without records are looked after, and the status is published.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// What the source works with.
pub struct Parts {
    /// The consumer.
    pub consumer: Consumer,
    /// Channels to the writers.
    pub writers: Vec<Sender<Batch>>,
    /// News.
    pub events: Receiver<Event>,
    /// Questions to the keeper.
    pub keeper: Sender<Request>,
    /// Questions to the watcher.
    pub watcher: Sender<LookNow>,
    /// Questions whether topics are still the same.
    pub identities: Sender<identities::Topics>,
    /// What the watcher watches.
    pub watched: Watched,
    /// Plans by topic.
    pub plans: Arc<Plans>,
    /// What rejected records do.
    pub policy: Arc<Policy>,
    /// How often an open breaker tries again.
    pub breaker_retry: Duration,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<Health>,
    /// Where the status is published.
    pub board: Arc<Board>,
    /// Asks to stop.
    pub shutdown: Shutdown,
    /// Limits of a batch.
    pub limits: Limits,
    /// Bounds of the run.
    pub bounds: Bounds,
    /// SIGTERM to the end of draining, at most.
    pub drain_timeout: Duration,
    /// Metadata of commits to Kafka.
    pub commit_metadata: String,
    /// Milliseconds since the start at the last turn of the loop: what /livez looks at.
    pub heartbeat: Arc<AtomicU64>,
}

/// What a run came to; all of it committed.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Records consumed.
    pub records: u64,
    /// Rows inserted or updated.
    pub rows_written: u64,
    /// Rows deleted by tombstones.
    pub rows_deleted: u64,
    /// Records skipped.
    pub skipped: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Positions, of every partition that was ours.
    pub positions: HashMap<TopicPartition, Offset>,
    /// Partitions of ours that wait for the operator, and why.
    pub stopped: Vec<(TopicPartition, Stopped)>,
    /// Rejected records that the error policy stopped before, the first of each partition.
    pub refused: Vec<Refusal>,
    /// Why a breaker stayed open, if that ended the run.
    pub stays_open: Option<Arc<str>>,
}

/// The thread's state.
pub struct Source {
    parts: Parts,
    ledger: Ledger,
    slots: Vec<Slot>,
    fields: Slots,
    headers: Vec<u8>,
    last: Option<take::Last>,
    ends: Ends,
    totals: Totals,
    /// Records in committed, written and open batches: what `--max-records` bounds.
    taken: u64,
    /// A writer gave its batch up because of the shutdown: there is no use in handing over more.
    abandoned: bool,
    breakers: OpenBreakers,
    beyond: HashMap<TopicPartition, (u32, Instant)>,
    /// When the last record of a topic came.
    came: HashMap<Arc<str>, Instant>,
    commits: Commits,
    uncommitted: HashMap<TopicPartition, Offset>,
    next_kafka_commit: Instant,
    next_tick: Instant,
    last_record: Instant,
    joined: bool,
    /// The group refuses this member; how many commits it had taken when it last said so.
    outsider: Option<u64>,
    started: Instant,
}

impl Source {
    /// A source that has not polled yet.
    pub fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let slots = parts.writers.iter().map(|batches| Slot::new(batches.clone())).collect();
        Self {
            commits: Commits::new(&parts.consumer),
            parts,
            ledger: Ledger::default(),
            slots,
            fields: Slots::default(),
            headers: Vec::new(),
            last: None,
            ends: Ends::default(),
            totals: Totals::default(),
            taken: 0,
            abandoned: false,
            breakers: OpenBreakers::new(),
            beyond: HashMap::new(),
            came: HashMap::new(),
            uncommitted: HashMap::new(),
            next_kafka_commit: now,
            next_tick: now,
            last_record: now,
            joined: false,
            outsider: None,
            started: now,
        }
    }

    /// Works until a bound is reached or shutdown is requested, and drains.
    ///
    /// # Errors
    /// What librdkafka calls fatal: a fenced static member, for one.
    pub fn run(mut self) -> Result<(StoppedBy, Totals), KafkaError> {
        self.note_breakers();
        let stopped_by = loop {
            self.heartbeat();
            self.hear();
            if let Some(stopped_by) = self.finished() {
                break stopped_by;
            }
            let now = Instant::now();
            self.retry_breakers(now);
            self.hand_over_due(now);
            self.tell_kafka(now);
            if now >= self.next_tick {
                self.next_tick = now + IDLE_TICK;
                self.tick();
            }
            if self.waits_for_writer(now) {
                continue;
            }
            self.poll()?;
        };
        self.drain(stopped_by);
        self.totals.stopped = self.ledger.stopped();
        Ok((stopped_by, self.totals))
    }

    fn heartbeat(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.parts.heartbeat.store(elapsed, Ordering::Relaxed);
    }

    /// Takes what there is, up to a burst.
    fn poll(&mut self) -> Result<(), KafkaError> {
        let pending = self.slots.iter().any(|s| !s.open.is_empty());
        let mut timeout = if pending { POLL_BUSY } else { POLL };
        let consumer = Arc::clone(&self.parts.consumer);
        // Only the first poll waits: the time is asked for once, for it costs more than what it is for.
        let mut now = None;
        for _ in 0..BURST {
            match consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => {
                    let now = *now.get_or_insert_with(Instant::now);
                    if self.take(&message, now) == take::Taken::Full {
                        break;
                    }
                }
                Some(Err(error)) => {
                    self.kafka_error(&error)?;
                    break;
                }
            }
            timeout = Duration::ZERO;
        }
        for rebalanced in consumer.context().take_rebalances() {
            self.rebalanced(rebalanced);
        }
        Ok(())
    }

    fn kafka_error(&mut self, error: &KafkaError) -> Result<(), KafkaError> {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Err(error.clone());
        }
        let code = error.rdkafka_error_code();
        match code {
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic,
            ) => {
                tracing::warn!(%error, "Kafka: asking where the logs begin and end");
                self.look_now();
            }
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::InconsistentGroupProtocol
                | RDKafkaErrorCode::GroupMaxSizeReached
                | RDKafkaErrorCode::InvalidSessionTimeout,
            ) => {
                // Nothing is assigned for as long as this lasts, which looks like a group that has enough members.
                self.parts.health.fail(Component::Group, format!("cannot be a member: {error}"));
                self.outsider = Some(self.parts.metrics.kafka_commits.with_label_values(&["ok"]).get());
            }
            _ => tracing::warn!(%error, "Kafka"),
        }
        Ok(())
    }

    fn look_now(&self) {
        if self.parts.watcher.try_send(LookNow).is_err() {
            tracing::debug!("the watcher has been asked already");
        }
    }

    fn ask(&self, request: Request) {
        if self.parts.keeper.send(request).is_err() {
            tracing::debug!("the keeper is gone");
        }
    }
}
