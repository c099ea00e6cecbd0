//! The source: the thread that polls Kafka. It fills the writers' batches and handles the group's rebalances. It never
//! waits for PostgreSQL, and no other thread changes what is fetched.

mod adaptive_limit;
mod assignment;
pub(crate) mod bounds;
mod breakers;
mod finish;
mod handover;
mod kafka_commits;
pub(crate) mod lane;
mod on_event;
mod parked;
mod publish;
mod recreation_check;
mod stops;
pub(crate) mod take;
mod tick;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use shared::signal::Shutdown;

use self::bounds::{Bounds, Ends, StoppedBy};
use self::breakers::OpenBreakers;
use self::lane::{BatchLimits, Lane};
use self::parked::ParkedTables;
use crate::batch::Batch;
use crate::decode::Cells;
use crate::kafka::commits::Commits;
use crate::kafka::consumer::Consumer;
use crate::messages::board::Board;
use crate::messages::events::Event;
use crate::messages::heartbeat::Heartbeat;
use crate::messages::requests::{CompareTopics, ReadLogEnds, Request, WatchedPartitions};
use crate::observe::health::{Component, Health};
use crate::observe::metrics::Metrics;
use crate::positions::ledger::{Ledger, Stopped};
use crate::rejects::policy::{Policy, RejectedRecord};
use crate::table::plan_cache::Plans;
use crate::types::{Offset, TopicPartition};

/// How long a poll waits when no batch is open.
const POLL: Duration = Duration::from_millis(50);
/// How long a poll waits when a batch is open.
const POLL_BUSY: Duration = Duration::from_millis(1);
/// The most records that are taken before events are handled again.
const BURST: usize = 64;
/// The interval of ticks.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// What the source is built from.
pub(crate) struct SourceContext {
    pub consumer: Consumer,
    /// Channels to the writers, by number.
    pub writers: Vec<Sender<Batch>>,
    pub events: Receiver<Event>,
    /// Requests for positions.
    pub positions: Sender<Request>,
    /// Requests to read the log ends now.
    pub log_ends: Sender<ReadLogEnds>,
    /// Topics to check for recreation.
    pub topic_ids: Sender<CompareTopics>,
    pub watched: WatchedPartitions,
    pub plans: Arc<Plans>,
    pub policy: Arc<Policy>,
    /// The retry interval of an open breaker.
    pub breaker_retry: Duration,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub board: Arc<Board>,
    pub shutdown: Shutdown,
    pub limits: BatchLimits,
    pub bounds: Bounds,
    /// The longest time that draining may take.
    pub drain_timeout: Duration,
    /// Metadata of commits to Kafka, which distinguishes them from those of other consumers.
    pub commit_metadata: String,
    /// Updated on every turn of the poll loop, for /livez.
    pub heartbeat: Arc<Heartbeat>,
}

/// The result of a run. Only committed records count.
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
    /// Positions of every partition that was assigned.
    pub positions: HashMap<TopicPartition, Offset>,
    /// Assigned partitions that have stopped, and why.
    pub stopped: Vec<(TopicPartition, Stopped)>,
    /// Rejected records that the error policy did not tolerate, the first of each partition.
    pub rejected: Vec<RejectedRecord>,
    /// Why a breaker is open, if that ended the run.
    pub open_breaker: Option<Arc<str>>,
}

pub(crate) struct Source {
    context: SourceContext,
    ledger: Ledger,
    lanes: Vec<Lane>,
    fields: Cells,
    headers: Vec<u8>,
    last: Option<take::LastPartition>,
    ends: Ends,
    totals: Totals,
    /// Records in open, queued, handed-over and committed batches: what `--max-records` bounds.
    taken: u64,
    /// A writer has given up its batch because of the shutdown: no more batches are handed over.
    abandoned: bool,
    breakers: OpenBreakers,
    parked: ParkedTables,
    beyond_log_end: HashMap<TopicPartition, stops::BeyondLogEnd>,
    /// When the last record of each topic was taken.
    last_record_of: HashMap<Arc<str>, Instant>,
    commits: Commits,
    /// Stored positions that have not been committed to Kafka.
    uncommitted: HashMap<TopicPartition, Offset>,
    next_kafka_commit: Instant,
    next_tick: Instant,
    last_record: Instant,
    /// There has been an assignment.
    joined: bool,
    /// Set while the group refuses this member: the number of successful commits at its last refusal.
    group_refusal: Option<u64>,
    started: Instant,
}

impl Source {
    pub(crate) fn new(context: SourceContext) -> Self {
        let now = Instant::now();
        let lanes = context.writers.iter().map(|batches| Lane::new(batches.clone())).collect();
        Self {
            commits: Commits::new(&context.consumer),
            context,
            ledger: Ledger::default(),
            lanes,
            fields: Cells::default(),
            headers: Vec::new(),
            last: None,
            ends: Ends::default(),
            totals: Totals::default(),
            taken: 0,
            abandoned: false,
            breakers: OpenBreakers::new(),
            parked: ParkedTables::new(),
            beyond_log_end: HashMap::new(),
            last_record_of: HashMap::new(),
            uncommitted: HashMap::new(),
            next_kafka_commit: now,
            next_tick: now,
            last_record: now,
            joined: false,
            group_refusal: None,
            started: now,
        }
    }

    /// Runs until a bound is reached or shutdown is requested, and drains the writers.
    ///
    /// # Errors
    /// An error that librdkafka calls fatal, such as a fenced static member.
    pub(crate) fn run(mut self) -> Result<(StoppedBy, Totals), KafkaError> {
        self.publish_breakers();
        let stopped_by = loop {
            self.context.heartbeat.beat();
            self.handle_events();
            if let Some(stopped_by) = self.finished() {
                break stopped_by;
            }
            let now = Instant::now();
            self.retry_breakers(now);
            self.retry_parked(now);
            self.hand_over_due(now);
            self.commit_to_kafka_when_due(now);
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

    /// Takes the records that are there, up to a burst, and handles rebalances.
    fn poll(&mut self) -> Result<(), KafkaError> {
        let pending = self.lanes.iter().any(|s| !s.open.is_empty());
        let mut timeout = if pending { POLL_BUSY } else { POLL };
        let consumer = Arc::clone(&self.context.consumer);
        // Only the first poll waits, so one clock reading is enough; it costs more than taking a record.
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
            self.on_rebalance(rebalanced);
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
                self.context.consumer.context().warn(&format!("{error}; reading the log ends"));
                self.refresh_log_ends();
            }
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::InconsistentGroupProtocol
                | RDKafkaErrorCode::GroupMaxSizeReached
                | RDKafkaErrorCode::InvalidSessionTimeout,
            ) => {
                // No partition is assigned while this lasts, which would look like a group with enough members.
                self.context.health.fail(Component::Group, format!("cannot join the group: {error}"));
                self.group_refusal =
                    Some(self.context.metrics.kafka_commits.with_label_values(&["ok"]).get());
            }
            // The client's error callback has reported them, with the address.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {}
            _ => self.context.consumer.context().warn(&error.to_string()),
        }
        Ok(())
    }

    fn refresh_log_ends(&self) {
        if self.context.log_ends.try_send(ReadLogEnds).is_err() {
            tracing::debug!("the log ends are already being read");
        }
    }

    fn request(&self, request: Request) {
        if self.context.positions.send(request).is_err() {
            tracing::debug!("the PostgreSQL control thread has ended");
        }
    }
}
