//! The producer: generates IPL live scores and publishes them to a Kafka topic.
//!
//! The pure part knows no I/O and no clock: [`generate`] makes records of [`teams`], [`seasons`], the people
//! of [`cast`], the figures of [`innings`] and the ids of [`match_ids`]; [`pace`] spreads them over time.
//! Around it, [`source`] brings seed and clock, [`publish`] hands records to Kafka and counts what becomes
//! of them, [`produce`] and [`print`] are the commands, and [`cli`], [`config`], [`metrics`] and [`status`]
//! are what a user sees.

// They panic when they cannot write; `shared::output` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod cast;
pub mod cli;
pub mod config;
pub mod generate;
pub mod innings;
pub mod match_ids;
pub mod metrics;
pub mod pace;
pub mod print;
pub mod produce;
pub mod publish;
pub mod reference;
pub mod seasons;
pub mod source;
pub mod status;
pub mod teams;
