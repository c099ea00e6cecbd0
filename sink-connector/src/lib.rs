//! The sink: JSON records of Kafka topics become rows of PostgreSQL tables, exactly once in effect.
//!
//! `source` takes records and fills batches, `writer` commits them; `decode`, `encode`, `batch`, `ledger` and
//! `sqlstate` are pure. ARCHITECTURE.md is the map.

pub mod batch;
pub mod breaker;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod config;
pub mod dead_letter_topic;
pub mod dead_letters;
pub mod decode;
pub mod encode;
pub mod events;
pub mod failure;
pub mod health;
pub mod identities;
pub mod keeper;
pub mod ledger;
pub mod metrics;
pub mod offsets;
pub mod pattern;
pub mod plan;
pub mod plans;
pub mod policy;
pub mod positions;
pub mod pulse;
pub mod run;
pub mod session;
pub mod source;
pub mod sql;
pub mod sqlstate;
pub mod status;
pub mod summary;
pub mod supervisor;
pub mod tls;
pub mod topics;
pub mod types;
pub mod watcher;
pub mod writer;
