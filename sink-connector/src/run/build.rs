//! Builds what the threads share, and starts the HTTP server and the Kafka clients.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use rdkafka::consumer::Consumer as _;
use shared::http::{OFF, Server};
use shared::signal::Shutdown;

use crate::config::{self, Config};
use crate::kafka::consumer::{self, ClientSettings, Consumer};
use crate::kafka::topics::Topics;
use crate::messages::board::Board;
use crate::messages::heartbeat::Heartbeat;
use crate::messages::wakeup::WakeUp;
use crate::observe::health::Health;
use crate::observe::metrics::{LATENCY_SECONDS, Metrics};
use crate::observe::throughput::Throughput;
use crate::positions::stored::Offsets;
use crate::postgres::connect::Connector;
use crate::postgres::session::Connections;
use crate::postgres::sql::TableName;
use crate::rejects::dead_letter_topic::DeadLetterTopic;
use crate::rejects::dead_letters::DeadLetters;
use crate::rejects::policy::Policy;
use crate::run::args::RunArgs;
use crate::run::status::Status;
use crate::source::bounds::Bounds;
use crate::table::plan_cache::Plans;
use crate::table::targets::{target_of, targets};
use crate::writer::WriterContext;

/// A sink whose threads are not started.
pub(super) struct Sink<'a> {
    pub config: &'a Config,
    pub started: Instant,
    pub bounds: Bounds,
    pub postgres: Arc<Connector>,
    pub writer_context: Arc<WriterContext>,
    pub board: Arc<Board>,
    pub throughput: Arc<Throughput>,
    pub heartbeats: Heartbeats,
    pub kafka: KafkaClients,
    /// `None` if `http.listen` is `off`.
    pub server: Option<Server>,
}

pub(super) struct Heartbeats {
    pub poll_loop: Arc<Heartbeat>,
    pub supervisor: Arc<Heartbeat>,
}

pub(super) struct KafkaClients {
    /// Subscribed to `topics`.
    pub consumer: Consumer,
    /// For queries. On the consumer's connection, a query would wait behind a fetch.
    pub queries: Consumer,
    pub topics: Topics,
}

pub(super) fn build<'a>(config: &'a Config, args: &RunArgs, shutdown: Shutdown) -> anyhow::Result<Sink<'a>> {
    let started = Instant::now();
    let board = Arc::new(Board::default());
    let throughput = Arc::new(Throughput::new(LATENCY_SECONDS));
    let heartbeats = Heartbeats {
        poll_loop: Arc::new(Heartbeat::new(started)),
        supervisor: Arc::new(Heartbeat::new(started)),
    };
    let postgres = Arc::new(Connector::new(config, &format!("kafka-sink:{}", config.name))?);
    let writer_context = Arc::new(writer_context(config, &postgres, shutdown)?);
    let server = serve(config, &writer_context, &board, &throughput, &heartbeats)?;
    let http = server.as_ref().map_or_else(|| OFF.to_owned(), |server| server.local_addr().to_string());
    tracing::info!(connector = config.name, %http, "started");
    let kafka = kafka_clients(config, &writer_context.metrics)?;
    let bounds = Bounds {
        max_records: args.max_records,
        until_end: args.until_end,
        idle_timeout: args.idle_timeout,
        deadline: args.deadline,
    };
    Ok(Sink {
        config,
        started,
        bounds,
        postgres,
        writer_context,
        board,
        throughput,
        heartbeats,
        kafka,
        server,
    })
}

fn writer_context(
    config: &Config,
    postgres: &Arc<Connector>,
    shutdown: Shutdown,
) -> anyhow::Result<WriterContext> {
    let health = Arc::new(Health::starting());
    let wakeup = Arc::new(WakeUp::default());
    let waiting = Arc::clone(&wakeup);
    shutdown.on_request(move || waiting.notify());
    // One connection for each writer, and one for the PostgreSQL control thread.
    let size = u32::try_from(config.postgres.writers + 1).context("too many writers")?;
    Ok(WriterContext {
        connections: Connections::new(postgres, size),
        deadline: config.postgres.deadline,
        offsets: Offsets::new(&TableName::parse(&config.offsets.table), &config.name),
        dead_letters: dead_letters(config, &shutdown),
        policy: Arc::new(Policy::new(&config.errors)),
        plans: Arc::new(Plans::new(targets(config)?, target_of(config), Arc::clone(&health))),
        health,
        metrics: Arc::new(Metrics::new(&config.name)),
        rejections: Arc::default(),
        wakeup,
        shutdown,
    })
}

fn dead_letters(config: &Config, shutdown: &Shutdown) -> DeadLetters {
    let table = TableName::parse(&config.errors.dead_letter_table);
    let dead_letters = DeadLetters::new(&table, &config.name);
    match (&config.errors.dead_letters, &config.errors.dead_letter_topic) {
        (config::DeadLetters::Topic, Some(topic)) => {
            let servers = &config.kafka.bootstrap_servers;
            let topic = DeadLetterTopic::new(
                topic,
                &config.name,
                servers,
                properties(config),
                config.kafka.login(),
                shutdown.clone(),
            );
            dead_letters.into_topic(topic)
        }
        (config::DeadLetters::Topic | config::DeadLetters::Table, _) => dead_letters,
    }
}

fn serve(
    config: &Config,
    context: &WriterContext,
    board: &Arc<Board>,
    throughput: &Arc<Throughput>,
    heartbeats: &Heartbeats,
) -> anyhow::Result<Option<Server>> {
    if config.http.listen == OFF {
        return Ok(None);
    }
    let status = Status {
        connector: config.name.clone(),
        started: SystemTime::now(),
        metrics: Arc::clone(&context.metrics),
        health: Arc::clone(&context.health),
        rejections: Arc::clone(&context.rejections),
        throughput: Arc::clone(throughput),
        plans: Arc::clone(&context.plans),
        board: Arc::clone(board),
        connections: context.connections.clone(),
        shutdown: context.shutdown.clone(),
        heartbeats: [
            ("poll loop", Arc::clone(&heartbeats.poll_loop)),
            ("supervisor", Arc::clone(&heartbeats.supervisor)),
        ],
    };
    let address = || format!("http.listen: {}", config.http.listen);
    let mut addresses = config.http.listen.to_socket_addrs().with_context(address)?;
    let listen = addresses.next().with_context(address)?;
    Ok(Some(shared::http::serve(listen, Arc::new(status))?))
}

fn kafka_clients(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<KafkaClients> {
    let settings =
        |client_id| ClientSettings { kafka: &config.kafka, client_id, metrics: Arc::clone(metrics) };
    let client_id = format!("{}{}", consumer::CLIENT_ID, config.name);
    let queries = format!("{client_id}-topics");
    let consumer = settings(client_id).consumer().context("kafka.properties")?;
    let topics = Topics::of(&config.kafka).context("kafka.topics_regex")?;
    if !topics.by_name() {
        consumer.subscribe(&topics.subscription()).context("cannot subscribe")?;
    }
    let queries = settings(queries).query_client().context("kafka.properties")?;
    Ok(KafkaClients { consumer, queries, topics })
}

fn properties(config: &Config) -> impl Iterator<Item = (String, String)> + '_ {
    config.kafka.librdkafka().map(|(name, value)| (name.to_owned(), value.to_owned()))
}
