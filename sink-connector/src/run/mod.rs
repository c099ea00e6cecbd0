//! `run`: builds the sink, starts its threads, supervises them, and stops.

pub mod args;
mod build;
mod exit;
mod start;
pub mod status;
mod stop;
pub mod summary;
mod supervise;

use std::process::ExitCode;

use shared::signal::{Shutdown, SignalError};

use crate::config::Config;
use crate::postgres::contained::exit_on_panic;
use crate::run::args::RunArgs;

/// Prepares the process: a panic in any thread ends it, and signals stop the run.
///
/// # Errors
/// The system refuses the signal handlers.
pub fn prepare() -> Result<Shutdown, SignalError> {
    exit_on_panic();
    Shutdown::install()
}

/// Runs the sink until a bound is reached or a signal is received.
///
/// # Errors
/// The HTTP address is in use, the Kafka client has a fatal error, a thread cannot be started or has ended, or too many
/// writers hang in PostgreSQL. The process must exit with code 1.
pub fn run(config: &Config, args: &RunArgs, shutdown: Shutdown) -> anyhow::Result<ExitCode> {
    let sink = build::build(config, args, shutdown)?;
    let mut threads = start::start(&sink)?;
    let ended = supervise::supervise(&mut threads, &sink.heartbeats.supervisor);
    let started = sink.started;
    let (stopped_by, totals) = stop::stop(sink, ended)?;
    Ok(exit::finish(args, stopped_by, &totals, started.elapsed()))
}
