//! Code that both binaries share: the live score, and what every long-running process needs.
//!
//! - [`live_score`]: the record, its topic, its table and its columns
//! - [`settings`]: TOML files, environment variables and flags, merged
//! - [`signal`]: SIGTERM and SIGINT as one request to stop
//! - [`log`]: text or JSON on standard error
//! - [`http`]: `/metrics`, `/livez`, `/readyz`, `/status`
//! - [`health`]: the client of the probes
//! - [`kafka`]: why a Kafka client fails, and which properties it refuses
//! - [`metrics`]: a struct of metrics whose doc comments are the help texts
//! - [`output`]: what commands print

// `println!` panics on a write error; `shared::output` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod health;
pub mod http;
pub mod kafka;
pub mod live_score;
pub mod log;
pub mod metrics;
pub mod output;
pub mod settings;
pub mod signal;
