//! Code that both binaries share: the live score, and what every long-running process needs.
//!
//! - [`live_score`]: the record, its topic, its table and its columns
//! - [`settings`]: TOML files, environment variables and flags, merged
//! - [`signal`]: SIGTERM and SIGINT as one request to stop
//! - [`lines`]: JSON lines, and the keys of their records
//! - [`log`]: text or JSON on standard error
//! - [`http`]: `/metrics`, `/livez`, `/readyz`, `/status`, and the page of `page.html` at `/`
//! - [`fields`]: the fields of a JSON document, for the reference
//! - [`health`]: the client of the probes
//! - [`kafka`]: why a Kafka client fails, and which properties it refuses
//! - [`manual`]: completions for shells, and manual pages
//! - [`metrics`]: a struct of metrics whose doc comments are the help texts
//! - [`output`]: what commands print
//! - [`repeated`]: which lines of failures that repeat are logged
//! - [`time`]: times as text

// `println!` panics on a write error; `shared::output` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod fields;
pub mod health;
pub mod http;
pub mod kafka;
pub mod lines;
pub mod live_score;
pub mod log;
pub mod manual;
pub mod metrics;
pub mod output;
mod page;
pub mod repeated;
pub mod settings;
pub mod signal;
pub mod time;
