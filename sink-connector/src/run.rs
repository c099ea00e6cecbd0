//! `run`: puts the parts together, and takes them apart again.

use std::collections::HashMap;
use std::net::ToSocketAddrs as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crossbeam_channel::{RecvTimeoutError, bounded, unbounded};
use shared::signal::Shutdown;

use crate::batch::origin::Origin;
use crate::cli::{RunArgs, SummaryFormat};
use crate::config::{self, Config, InsertMode, PkMode, TableConfig, UnknownFields, ValueFormat};
use crate::dead_letter_topic::DeadLetterTopic;
use crate::dead_letters::DeadLetters;
use crate::decode::{Envelope, NullBytes, Options};
use crate::health::Health;
use crate::identities::Identities;
use crate::keeper::{Identity, Keeper};
use crate::metrics::Metrics;
use crate::offsets::Offsets;
use crate::plan::{Mode, Wanted};
use crate::plans::{Ddl, Plans, Target, TargetOf};
use crate::policy::Policy;
use crate::positions::commit_metadata;
use crate::pulse::Pulse;
use crate::session::Connections;
use crate::source::bounds::{Bounds, StoppedBy};
use crate::source::slot::Limits;
use crate::source::{Parts, Source, Totals, consumer};
use crate::sql::TableName;
use crate::status::{Board, Status};
use crate::summary::summary;
use crate::supervisor::{Supervisor, Watches};
use crate::watcher::{Watched, Watcher};
use crate::writer::Shared;
use crate::writer::watch::Watch;

/// Of the shutdown timeout, what is kept for telling Kafka and leaving the group.
const GOODBYE: Duration = Duration::from_millis(1500);
/// … of which for Kafka's answers: less than two seconds from SIGTERM to the end even when nobody answers.
const LEAVE: Duration = Duration::from_millis(1000);
/// Between two looks of the supervisor.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the sink until a bound is reached or a signal comes.
///
/// # Errors
/// What ends the process with exit code 1: no port to listen on, a fatal error of the Kafka client, a lost thread.
pub fn run(config: &Config, args: &RunArgs, shutdown: Shutdown) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let metrics = Arc::new(Metrics::new(&config.name));
    let health = Arc::new(Health::starting());
    let board = Arc::new(Board::default());
    let pulse = Arc::new(Pulse::default());
    let ring = Arc::clone(&pulse);
    shutdown.on_request(move || ring.ring());

    let writers = config.postgres.writers;
    let postgres = postgres_config(config)?;
    let size = u32::try_from(writers + 1).context("too many writers")?;
    let connections = Connections::new(&postgres.0, postgres.1.clone(), size);
    let plans = Arc::new(Plans::new(targets(config)?, target_of(config), Arc::clone(&health)));
    let offsets_table = TableName::parse(&config.offsets.table);
    let policy = Arc::new(Policy::new(&config.errors));
    let parts = Arc::new(Shared {
        connections: connections.clone(),
        offsets: Offsets::new(&offsets_table, &config.name),
        dead_letters: dead_letters(config, &shutdown),
        policy: Arc::clone(&policy),
        plans: Arc::clone(&plans),
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
        pulse,
        shutdown: shutdown.clone(),
    });

    let heartbeats = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let status = Status {
        connector: config.name.clone(),
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        board: Arc::clone(&board),
        connections,
        started,
        heartbeats: [("poll loop", Arc::clone(&heartbeats[0])), ("supervisor", Arc::clone(&heartbeats[1]))],
    };
    let address = || format!("http.listen: {}", config.http.listen);
    let mut addresses = config.http.listen.to_socket_addrs().with_context(address)?;
    let listen = addresses.next().with_context(address)?;
    let server = shared::http::serve(listen, Arc::new(status))?;
    tracing::info!(connector = config.name, http = %server.local_addr(), "started");

    let properties = || config.kafka.librdkafka().map(|(k, v)| (k.to_owned(), v.to_owned()));
    let client_id = format!("kafka-sink-{}", config.name);
    let consumer = consumer::create(
        &config.kafka.bootstrap_servers,
        &config.kafka.group_id,
        &client_id,
        properties(),
        Arc::clone(&metrics),
    )
    .context("kafka.properties")?;
    let topics = config.kafka.subscribed().context("kafka.topics_regex")?;
    rdkafka::consumer::Consumer::subscribe(&*consumer, &topics.subscription()).context("cannot subscribe")?;

    let bounds = Bounds {
        max_records: args.max_records,
        until_end: args.until_end,
        idle_timeout: args.idle_timeout,
        deadline: args.deadline,
    };
    let (events_in, events) = unbounded();
    let watches: Watches = Arc::new(Mutex::new(Vec::new()));
    let pool = move || Connections::new(&postgres.0, postgres.1.clone(), 2);
    let mut supervisor = Supervisor::new(
        Arc::clone(&parts),
        events_in.clone(),
        Arc::clone(&watches),
        Box::new(pool),
        config.postgres.deadline,
    );
    let batches = supervisor.start(writers)?;

    let own_watch = Arc::new(Watch::default());
    watches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Arc::clone(&own_watch));
    let (keeper_in, keeper_requests) = unbounded();
    let identity = Identity {
        connector: config.name.clone(),
        group_id: config.kafka.group_id.clone(),
        auto_offset_reset: config.kafka.auto_offset_reset,
    };
    let keeper = Keeper::new(identity, parts, Arc::clone(&consumer), events_in.clone(), watches, own_watch);
    spawn("keeper", move || keeper.run(&keeper_requests))?;

    let (identities_in, identities_requests) = unbounded();
    let asker = consumer::asker(
        &config.kafka.bootstrap_servers,
        &config.kafka.group_id,
        &format!("{client_id}-topics"),
        properties(),
        Arc::clone(&metrics),
    )
    .context("kafka.properties")?;
    let identities = Identities::new(asker, events_in.clone());
    spawn("identities", move || identities.run(&identities_requests))?;

    let watched = Watched::default();
    let (watcher_in, watcher_requests) = bounded(1);
    let watcher = Watcher {
        consumer: Arc::clone(&consumer),
        events: events_in,
        identities: identities_in.clone(),
        health: Arc::clone(&health),
        topics,
        watched: Arc::clone(&watched),
        interval: Duration::from_secs(if bounds.bounded() { 1 } else { 5 }),
        wants_goal: bounds.until_end,
    };
    spawn("watcher", move || watcher.run(&watcher_requests))?;

    let source = Source::new(Parts {
        consumer: Arc::clone(&consumer),
        writers: batches,
        events,
        keeper: keeper_in,
        watcher: watcher_in,
        identities: identities_in,
        watched,
        plans,
        policy,
        breaker_retry: config.errors.breaker_retry,
        metrics,
        health,
        board,
        shutdown,
        limits: Limits {
            max_rows: config.batch.max_rows,
            max_bytes: config.batch.max_bytes,
            linger: config.batch.linger,
        },
        bounds,
        drain_timeout: config.shutdown_timeout.saturating_sub(GOODBYE),
        commit_metadata: commit_metadata(&config.name),
        heartbeat: Arc::clone(&heartbeats[0]),
    });
    let (done_in, done) = bounded(1);
    spawn("source", move || {
        if done_in.send(source.run()).is_err() {
            tracing::debug!("nobody waits for the source");
        }
    })?;

    let outcome = loop {
        match done.recv_timeout(LOOK) {
            Ok(outcome) => break outcome,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the source thread is gone"),
        }
        let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        heartbeats[1].store(elapsed, Ordering::Relaxed);
        anyhow::ensure!(supervisor.look(), "PostgreSQL does not answer");
    };
    close(consumer);
    let (stopped_by, totals) = outcome.context("Kafka")?;
    server.stop();
    Ok(finish(args, stopped_by, &totals, started.elapsed()))
}

fn finish(args: &RunArgs, stopped_by: StoppedBy, totals: &Totals, took: Duration) -> ExitCode {
    tracing::info!(
        stopped_by = stopped_by.as_str(),
        records = totals.records,
        rows_written = totals.rows_written,
        rows_deleted = totals.rows_deleted,
        dead_letters = totals.dead_letters,
        "stopped"
    );
    if args.summary == Some(SummaryFormat::Json) {
        println!("{}", summary(totals, stopped_by, took));
    }
    if stopped_by == StoppedBy::Deadline {
        return ExitCode::from(5);
    }
    // A signal may have come first; that a record was not tolerated is to be known all the same.
    if stopped_by == StoppedBy::ErrorPolicy || !totals.refused.is_empty() {
        say_why(totals);
        return ExitCode::from(4);
    }
    // A signal ends a run wherever it stands; a bound that was reached without these was not.
    if stopped_by != StoppedBy::Signal && !totals.stopped.is_empty() {
        for (partition, why) in &totals.stopped {
            tracing::error!(%partition, reason = why.as_str(), "not read to the end: {why}");
        }
        return ExitCode::FAILURE;
    }
    if args.fail_on_dead_letters && totals.dead_letters > 0 {
        return ExitCode::from(3);
    }
    ExitCode::SUCCESS
}

/// What the error policy stopped at, and what to do about it.
fn say_why(totals: &Totals) {
    for refusal in &totals.refused {
        tracing::error!(
            topic = &*refusal.partition.topic,
            partition = refusal.partition.partition.0,
            offset = refusal.offset.0,
            "stopped before a rejected record, as errors.tolerance = \"none\" says: {} at offset {}: {}. What is before \
             it is written. Mend the table or the configuration; or go on past it, with tolerance = \"all\" (it becomes a \
             dead letter) or with `sink-connector offsets reset --topic {} --partition {} --to-offset {}`",
            refusal.partition,
            refusal.offset,
            refusal.reason,
            refusal.partition.topic,
            refusal.partition.partition,
            refusal.offset.0 + 1,
        );
    }
    if let Some(reason) = &totals.stays_open {
        tracing::error!(
            "stopped, because a breaker stays open: {reason}. Nothing of the refused batch is written"
        );
    }
}

/// Where dead letters go.
fn dead_letters(config: &Config, shutdown: &Shutdown) -> DeadLetters {
    let table = TableName::parse(&config.errors.dead_letter_table);
    let letters = DeadLetters::new(&table, &config.name);
    match (&config.errors.dead_letters, &config.errors.dead_letter_topic) {
        (config::DeadLetters::Topic, Some(topic)) => {
            let properties = config.kafka.librdkafka().map(|(k, v)| (k.to_owned(), v.to_owned()));
            let servers = &config.kafka.bootstrap_servers;
            letters.to_topic(DeadLetterTopic::new(topic, &config.name, servers, properties, shutdown.clone()))
        }
        (config::DeadLetters::Topic | config::DeadLetters::Table, _) => letters,
    }
}

/// Leaves the group, on a thread of its own: closing a consumer can hang, and the process must not.
///
/// The keeper and the watcher may still hold the consumer, so that dropping it here would not close it; and a member
/// that does not leave keeps its partitions from others until its session times out.
fn close(consumer: consumer::Consumer) {
    let (done_in, done) = bounded(1);
    let leave = move || {
        if let Err(error) = consumer::leave(&consumer) {
            tracing::warn!(%error, "cannot leave the group; its session will time out");
        }
        if done_in.send(()).is_err() {
            tracing::debug!("nobody waits for the consumer any more");
        }
    };
    match spawn("close", leave) {
        Ok(()) => {
            if done.recv_timeout(LEAVE).is_err() {
                tracing::warn!("the consumer has not been closed in time; its session will time out");
            }
        }
        Err(error) => tracing::error!(%error, "cannot close the consumer"),
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .with_context(|| format!("cannot start the thread {name}"))?;
    Ok(())
}

/// How to connect to PostgreSQL, as the configuration says.
///
/// # Errors
/// What of the URL libpq would refuse.
pub fn postgres_config(
    config: &Config,
) -> anyhow::Result<(postgres::Config, postgres_openssl::MakeTlsConnector)> {
    let (mut postgres, tls) = crate::tls::parse(config.postgres.url.expose())?;
    if let Some(password) = &config.postgres.password {
        postgres.password(password.expose());
    }
    postgres.application_name(&format!("kafka-sink:{}", config.name));
    if postgres.get_connect_timeout().is_none() {
        postgres.connect_timeout(Duration::from_secs(5));
    }
    postgres.keepalives(true).keepalives_idle(Duration::from_secs(30));
    if postgres.get_tcp_user_timeout().is_none() {
        // Keepalives say nothing while something is unacknowledged: the kernel alone would try for a quarter of an hour.
        postgres.tcp_user_timeout(Duration::from_secs(60));
    }
    Ok((postgres, tls))
}

/// The targets of the configured topics, by topic.
///
/// # Errors
/// A DDL file that cannot be read.
pub fn targets(config: &Config) -> anyhow::Result<HashMap<String, Target>> {
    config.tables().into_iter().map(|(topic, table)| Ok((topic, target(&table)?))).collect()
}

/// Makes the targets of topics that match the pattern, when there is one.
pub fn target_of(config: &Config) -> Option<TargetOf> {
    config.kafka.topics_regex.as_ref()?;
    let config = config.clone();
    Some(Box::new(move |topic| target(&config.topic(topic)).map_err(|error| format!("{error:#}"))))
}

/// What values of a format wrap their rows in.
pub fn envelope(format: ValueFormat) -> Option<Envelope> {
    match format {
        ValueFormat::Json => None,
        ValueFormat::JsonSchema => Some(Envelope::Connect),
        ValueFormat::Debezium => Some(Envelope::Debezium),
    }
}

fn target(table: &TableConfig) -> anyhow::Result<Target> {
    let ddl = table.ddl()?.map(|sql| Ddl {
        origin: table.ddl_file.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        sql,
    });
    let wanted = Wanted {
        table: TableName::parse(&table.table),
        mode: match table.insert_mode {
            InsertMode::Insert => Mode::Insert,
            InsertMode::InsertIgnore => Mode::InsertIgnore,
            InsertMode::Upsert => Mode::Upsert,
        },
        key: if table.pk_mode == PkMode::None { Vec::new() } else { table.pk_fields.clone() },
        record_key: table.pk_mode == PkMode::RecordKey,
        deletes: table.delete_enabled,
        allow_unlogged: table.allow_unlogged,
        version_field: table.version_field.clone(),
        metadata: metadata(table),
        rename: table.rename.iter().map(|(field, column)| (field.clone(), column.clone())).collect(),
        options: Options {
            envelope: envelope(table.value_format),
            reject_unknown_fields: table.unknown_fields == UnknownFields::Reject,
            unwrap_single_element_arrays: table.unwrap_single_element_arrays,
            null_bytes: match table.null_bytes {
                crate::config::NullBytes::Reject => NullBytes::Reject,
                crate::config::NullBytes::Strip => NullBytes::Strip,
                crate::config::NullBytes::Replace => NullBytes::Replace,
            },
        },
    };
    Ok(Target { wanted, ddl })
}

/// The columns that are filled with what Kafka knows of a record: those of the metadata, and of such a key.
fn metadata(table: &TableConfig) -> Vec<(Origin, String)> {
    let of_key = [Origin::Topic, Origin::Partition, Origin::Offset].into_iter().zip(table.pk_fields.clone());
    let key = of_key.filter(|_| table.pk_mode == PkMode::Kafka);
    let named = table.metadata.iter();
    named.filter_map(|(name, column)| Some((Origin::named(name)?, column.clone()))).chain(key).collect()
}
