//! The producer: generates IPL live scores and publishes them to a Kafka topic.
//!
//! [`generate`] (every record is a match) and [`live`] (matches ball by ball) are pure: no I/O and no clock. [`source`] adds
//! seed, clock and pace, [`publish`] sends records to Kafka, and [`produce`], [`file`] and [`print`](mod@print) are the
//! commands.

// `println!` panics on a write error; `shared::output` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod cast;
pub mod cli;
pub mod config;
pub mod file;
pub mod generate;
mod innings;
pub mod live;
mod match_ids;
pub mod metrics;
mod pace;
pub mod print;
pub mod produce;
pub mod publish;
pub mod reference;
mod seasons;
pub mod source;
pub mod status;
pub mod teams;
pub mod topic;
