//! The end of a run: its last log lines, its summary, its exit code.

use std::process::ExitCode;
use std::time::Duration;

use crate::run::args::{RunArgs, SummaryFormat};
use crate::run::summary::summary;
use crate::source::Totals;
use crate::source::bounds::StoppedBy;

const DEAD_LETTERS: u8 = 3;
const ERROR_POLICY: u8 = 4;
const DEADLINE: u8 = 5;

/// Logs and prints the result of a run, and returns its exit code.
pub(super) fn finish(args: &RunArgs, stopped_by: StoppedBy, totals: &Totals, took: Duration) -> ExitCode {
    tracing::info!(
        stopped_by = stopped_by.as_str(),
        records = totals.records,
        rows_written = totals.rows_written,
        rows_deleted = totals.rows_deleted,
        dead_letters = totals.dead_letters,
        "stopped"
    );
    if args.summary == Some(SummaryFormat::Json)
        && let Err(error) = shared::outln!("{}", summary(totals, stopped_by, took))
    {
        tracing::error!(%error, "the summary is lost; the records are written");
        return ExitCode::FAILURE;
    }
    if stopped_by == StoppedBy::Deadline {
        return ExitCode::from(DEADLINE);
    }
    // Before the signal: the operator must see a record that was not tolerated.
    if stopped_by == StoppedBy::ErrorPolicy || !totals.rejected.is_empty() {
        log_error_policy(totals);
        return ExitCode::from(ERROR_POLICY);
    }
    // A signal may end a run at any position, but a bound is not reached while a partition is stopped.
    if stopped_by != StoppedBy::Signal && !totals.stopped.is_empty() {
        for (partition, why) in &totals.stopped {
            tracing::error!(%partition, reason = why.as_str(), "partition not read to the end: {why}");
        }
        return ExitCode::FAILURE;
    }
    if args.fail_on_dead_letters && totals.dead_letters > 0 {
        return ExitCode::from(DEAD_LETTERS);
    }
    ExitCode::SUCCESS
}

/// Logs why the error policy ended the run, and how to continue.
fn log_error_policy(totals: &Totals) {
    for record in &totals.rejected {
        tracing::error!(
            topic = &*record.partition.topic,
            partition = record.partition.partition.0,
            offset = record.offset.0,
            "stopped before a rejected record (errors.tolerance = \"none\"): {} at offset {}: {}. All records before it \
             are written. Fix the table or the configuration. Or skip the record: set errors.tolerance = \"all\" to \
             store it as a dead letter, or run `sink-connector offsets reset --topic {} --partition {} --to-offset {}`",
            record.partition,
            record.offset,
            record.reason,
            record.partition.topic,
            record.partition.partition,
            record.offset.0 + 1,
        );
    }
    if let Some(reason) = &totals.open_breaker {
        tracing::error!(
            "stopped because a breaker stays open: {reason}. Nothing of the rejected batch is written"
        );
    }
}
