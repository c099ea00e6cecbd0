//! Starts the threads: writers, PostgreSQL control, log ends, topic ids, and the source.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use rdkafka::error::KafkaError;

use crate::control::log_ends::LogEnds;
use crate::control::postgres::{ControlContext, Identity};
use crate::control::supervisor::Supervisor;
use crate::control::topic_ids::TopicIds;
use crate::kafka::client::RdKafka;
use crate::messages::events::Event;
use crate::messages::progress::AllProgress;
use crate::messages::requests::{CompareTopics, ReadLogEnds, Request, WatchedPartitions};
use crate::positions::first::commit_metadata;
use crate::postgres::session::Connections;
use crate::run::build::Sink;
use crate::run::stop::LEAVE_RESERVE;
use crate::source::bounds::StoppedBy;
use crate::source::lane::BatchLimits;
use crate::source::shell::{Channels, Shared, Shell};
use crate::source::{Settings, Source, Totals};

/// How often log ends are read, in a bounded run and otherwise.
const LOG_ENDS_INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// What the source returns when it has ended.
pub(super) type SourceResult = Result<(StoppedBy, Totals), KafkaError>;

/// The started threads. They are not joined: one that hangs in a client library ends with the process.
pub(super) struct Threads {
    pub supervisor: Supervisor,
    pub source: Receiver<SourceResult>,
}

pub(super) fn start(sink: &Sink<'_>) -> anyhow::Result<Threads> {
    // No bound: the source empties it on every turn. A writer reports once per batch, and the control threads send one
    // event per interval or answer.
    let (events_in, events) = unbounded();
    let all_progress: AllProgress = Arc::new(Mutex::new(Vec::new()));
    let mut supervisor = supervisor(sink, events_in.clone(), &all_progress);
    let writers = supervisor.start(sink.config.postgres.writers)?;
    let positions = start_postgres_control(sink, &mut supervisor, events_in.clone(), all_progress)?;
    let topic_ids = start_topic_ids(sink, events_in.clone())?;
    let watched = WatchedPartitions::default();
    let log_ends = start_log_ends(sink, events_in, topic_ids.clone(), Arc::clone(&watched))?;
    let channels = Channels { writers, events, positions, log_ends, topic_ids, watched };
    let source = start_source(sink, channels)?;
    Ok(Threads { supervisor, source })
}

fn supervisor(sink: &Sink<'_>, events: Sender<Event>, all_progress: &AllProgress) -> Supervisor {
    let postgres = Arc::clone(&sink.postgres);
    // A replaced writer gets a pool of its own: one connection to end the hanging backend, one to write.
    let pool = move || Connections::new(&postgres, 2);
    Supervisor::new(
        Arc::clone(&sink.writer_context),
        events,
        Arc::clone(all_progress),
        Box::new(pool),
        sink.config.postgres.deadline,
    )
}

fn start_postgres_control(
    sink: &Sink<'_>,
    supervisor: &mut Supervisor,
    events: Sender<Event>,
    all_progress: AllProgress,
) -> anyhow::Result<Sender<Request>> {
    // No bound: the source must not wait for PostgreSQL. It sends one request per rebalance, fence or tick.
    let (requests_in, requests) = unbounded();
    supervisor.start_control(ControlContext {
        identity: Identity {
            group_id: sink.config.kafka.group_id.clone(),
            auto_offset_reset: sink.config.kafka.auto_offset_reset,
        },
        queries: Arc::clone(&sink.kafka.queries),
        requests,
        events,
        all_progress,
        unanswered: Arc::default(),
        unpooled: Arc::default(),
    })?;
    Ok(requests_in)
}

fn start_topic_ids(sink: &Sink<'_>, events: Sender<Event>) -> anyhow::Result<Sender<CompareTopics>> {
    let topic_ids = TopicIds::new(Arc::clone(&sink.kafka.queries), events);
    // No bound: the source must not wait for Kafka. The thread takes all queued requests at once.
    let (requests_in, requests) = unbounded();
    spawn("topic-ids", move || topic_ids.run(&requests))?;
    Ok(requests_in)
}

fn start_log_ends(
    sink: &Sink<'_>,
    events: Sender<Event>,
    topic_ids: Sender<CompareTopics>,
    watched: WatchedPartitions,
) -> anyhow::Result<Sender<ReadLogEnds>> {
    let (bounded_run, unbounded_run) = LOG_ENDS_INTERVALS;
    let log_ends = LogEnds {
        queries: Arc::clone(&sink.kafka.queries),
        consumer: Arc::clone(&sink.kafka.consumer),
        events,
        topic_ids,
        health: Arc::clone(&sink.writer_context.health),
        topics: sink.kafka.topics.clone(),
        found: Vec::new(),
        watched,
        interval: if sink.bounds.bounded() { bounded_run } else { unbounded_run },
        wants_goal: sink.bounds.until_end,
        all_readable: true,
    };
    let (requests_in, requests) = bounded(1);
    spawn("log-ends", move || log_ends.run(&requests))?;
    Ok(requests_in)
}

fn start_source(sink: &Sink<'_>, channels: Channels) -> anyhow::Result<Receiver<SourceResult>> {
    let (config, context) = (sink.config, &sink.writer_context);
    let settings = Settings {
        writers: config.postgres.writers,
        plans: Arc::clone(&context.plans),
        limits: BatchLimits {
            max_rows: config.batch.max_rows,
            max_bytes: config.batch.max_bytes,
            linger: config.batch.linger,
        },
        bounds: sink.bounds,
        breaker_retry: config.errors.breaker_retry,
        breaker_window: config.errors.breaker_window_records,
        drain_timeout: config.shutdown_timeout.saturating_sub(LEAVE_RESERVE),
    };
    let shared = Shared {
        policy: Arc::clone(&context.policy),
        metrics: Arc::clone(&context.metrics),
        health: Arc::clone(&context.health),
        board: Arc::clone(&sink.board),
        shutdown: context.shutdown.clone(),
        heartbeat: Arc::clone(&sink.heartbeats.poll_loop),
    };
    let client = RdKafka::new(Arc::clone(&sink.kafka.consumer), commit_metadata(&config.name));
    let source = Shell::new(Source::new(settings, Instant::now()), client, channels, shared);
    let (result_in, result) = bounded(1);
    spawn("source", move || {
        if result_in.send(source.run()).is_err() {
            tracing::debug!("the main thread has ended before the source");
        }
    })?;
    Ok(result)
}

/// Starts a thread; Linux keeps 15 bytes of its name.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .with_context(|| format!("cannot start the thread {name}"))?;
    Ok(())
}
