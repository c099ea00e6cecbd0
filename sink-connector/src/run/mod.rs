//! `run`: builds the sink, starts its threads, supervises them, and stops.

mod activity;
mod again;
pub(crate) mod answer;
pub mod args;
mod bar;
mod build;
mod exit;
mod minutes;
mod overview;
mod start;
mod status;
mod stop;
pub mod summary;
mod supervise;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::output::with_causes;
use shared::settings::SettingsErrors;
use shared::signal::{Shutdown, SignalError};

use crate::config::Config;
use crate::postgres::contained::exit_on_panic;
use crate::run::activity::Activity;
use crate::run::again::Again;
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
    let mut again = Again::new(config.kafka.start_files(), Instant::now());
    let sink = build::build(config, args, shutdown)?;
    let mut threads = start::start(&sink)?;
    let mut activity = Activity::new(&sink, Instant::now());
    let ended = supervise::supervise(&sink, &mut threads, &mut activity, &mut again);
    let watched = activity.end();
    let started = sink.started;
    let health = Arc::clone(&sink.writer_context.health);
    let (stopped_by, totals) = stop::stop(sink, ended).map_err(AfterStart)?;
    if again.is_wanted() {
        let failed = anyhow::Error::new(again::start_again());
        return Err(AfterStart(failed.context("cannot start the process again")).into());
    }
    Ok(exit::finish(args, stopped_by, &totals, health.problems(), started.elapsed(), watched))
}

/// An error after the threads had started: records may have been written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct AfterStart(anyhow::Error);

/// Prints the summary of a run that failed with this error, if one is wanted.
pub fn print_failure(args: &RunArgs, started: Instant, error: &anyhow::Error, exit_code: u8) {
    let began = error.is::<AfterStart>();
    let problems = [summary::problem("run", text(error))];
    exit::print_failure(args, began, started.elapsed(), exit_code, &problems);
}

/// Prints the summary of a run that did not begin because of its configuration, if one is wanted.
pub fn print_invalid_configuration(args: &RunArgs, errors: &SettingsErrors, exit_code: u8) {
    let problems: Vec<_> = errors.0.iter().map(|error| summary::problem("configuration", error)).collect();
    exit::print_failure(args, false, Duration::ZERO, exit_code, &problems);
}

/// An error with its causes. The client calls an error of the server `db error`: its own message stands in place of that.
pub fn text(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<::postgres::Error>()
            && let Some(server) = error.as_db_error()
        {
            parts.push(crate::postgres::redact::message(server));
            break;
        }
        parts.push(cause.to_string());
    }
    with_causes(parts)
}
