//! The harness: a real Apache Kafka and a real PostgreSQL under the test's control, our binaries as processes,
//! and an oracle that compares what was produced with what a table holds.
//!
//! A test usually needs only a [`World`] (topics, a database, the sink's configuration) and a [`Sink`]; one that breaks
//! things has a [`Kafka`] or a [`Postgres`] for itself. Helpers that tests call panic with what
//! they saw; the ones that start services return errors, because the `services` binary uses them too. Everything
//! that was started ends with the process that started it, however that process ends (see [`reaper`]).

pub mod background;
pub mod browser;
pub mod certificates;
pub mod config;
pub mod exporter;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod monitoring;
pub mod naive;
pub mod names;
pub mod oracle;
pub mod output;
pub mod paths;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod reaper;
pub mod record;
pub mod runner;
pub mod scratch;
pub mod services;
pub mod signals;
pub mod small_disk;
pub mod terminal;
pub mod wait;
pub mod world;

pub use config::{ProducerConfig, SinkConfig};
pub use kafka::{Heap, Kafka, KafkaOptions};
pub use metrics::Metrics;
pub use oracle::{Comparison, Expected};
pub use output::Output;
pub use postgres::{Postgres, PostgresOptions};
pub use prometheus::{Prometheus, Target};
pub use record::Record;
pub use runner::{Producer, Sink};
pub use services::Services;
pub use world::{Hold, World};
