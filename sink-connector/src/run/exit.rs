//! The end of a run: its last log lines, its summary, its exit code.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::observe::health::Component;
use crate::run::args::{RunArgs, SummaryFormat};
use crate::run::overview::NO_PARTITION;
use crate::run::summary::{failed_text, failure, problem, summary, text};
use crate::source::Totals;
use crate::source::bounds::StoppedBy;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const DEAD_LETTERS: u8 = 3;
const ERROR_POLICY: u8 = 4;
const DEADLINE: u8 = 5;

/// Logs and prints the result of a run, and returns its exit code. `problems` are those of its components at its end.
/// `watched`: somebody has seen its progress on a terminal.
pub(super) fn finish(
    args: &RunArgs,
    stopped_by: StoppedBy,
    totals: &Totals,
    problems: Vec<Value>,
    took: Duration,
    watched: bool,
) -> ExitCode {
    tracing::info!(
        stopped_by = stopped_by.as_str(),
        records = totals.records,
        rows_written = totals.rows_written,
        rows_deleted = totals.rows_deleted,
        dead_letters = totals.dead_letters,
        "stopped"
    );
    let code = exit_code(args, stopped_by, totals);
    match code {
        ERROR_POLICY => log_error_policy(totals),
        FAILED => {
            for (partition, why) in &totals.stopped {
                tracing::error!(%partition, reason = why.as_str(), "partition not read to the end: {why}");
            }
        }
        _ => {}
    }
    let mut problems = with_totals(problems, totals);
    if stopped_by == StoppedBy::Deadline && problems.is_empty() && totals.positions.is_empty() {
        problems
            .push(problem(&Component::Group.name(), format!("no partition was assigned: {NO_PARTITION}")));
    }
    if watched && args.summary.is_none() {
        shared::errln!("{}", text(totals, stopped_by, took, &problems).trim_end());
    }
    // After the last line of the log: readers of both outputs together take the last line.
    let printed = print(
        args,
        || summary(totals, stopped_by, took, code, &problems),
        || text(totals, stopped_by, took, &problems),
    );
    if printed { ExitCode::from(code) } else { ExitCode::FAILURE }
}

/// Prints the summary of a run that failed with these problems. `began`: it may have written records.
pub(super) fn print_failure(args: &RunArgs, began: bool, took: Duration, code: u8, problems: &[Value]) {
    // A lost summary changes nothing: the run has failed.
    print(args, || failure(began, took, code, problems), || failed_text(began, took));
}

/// Prints a summary, and writes it to a file, where wanted. Returns whether it is not lost.
fn print(args: &RunArgs, summary: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> bool {
    if args.summary.is_none() && args.summary_file.is_none() {
        return true;
    }
    let summary = summary().to_string();
    let mut kept = true;
    if let Some(path) = &args.summary_file
        && let Err(error) = std::fs::write(path, &summary)
    {
        tracing::error!(%error, path = %path.display(), "cannot write the summary to the file");
        kept = false;
    }
    let printed = match args.summary {
        Some(SummaryFormat::Json) => shared::outln!("{summary}"),
        Some(SummaryFormat::Text) => shared::out!("{}", text()),
        None => Ok(()),
    };
    if let Err(error) = printed {
        tracing::error!(%error, "the summary is lost; the records are written");
        kept = false;
    }
    kept
}

fn exit_code(args: &RunArgs, stopped_by: StoppedBy, totals: &Totals) -> u8 {
    if stopped_by == StoppedBy::Deadline {
        return DEADLINE;
    }
    // Before the signal: the operator must see a record that was not tolerated.
    if stopped_by == StoppedBy::ErrorPolicy || !totals.rejected.is_empty() {
        return ERROR_POLICY;
    }
    // A signal may end a run at any position, but a bound is not reached while a partition is stopped.
    if stopped_by != StoppedBy::Signal && !totals.stopped.is_empty() {
        return FAILED;
    }
    if args.fail_on_dead_letters && totals.dead_letters > 0 { DEAD_LETTERS } else { DONE }
}

/// Adds what the totals know to the problems of components, which end with the assignment of partitions.
fn with_totals(mut problems: Vec<Value>, totals: &Totals) -> Vec<Value> {
    for (partition, why) in &totals.stopped {
        let component = Component::Stopped(partition.clone()).name();
        if problems.iter().all(|problem| problem["component"] != component) {
            problems.push(problem(&component, why));
        }
    }
    for record in &totals.rejected {
        let rejected = format!("{} at offset {}: {}", record.partition, record.offset, record.reason);
        problems.push(problem("error policy", rejected));
    }
    let breaker = Component::Breaker.name();
    if let Some(reason) = &totals.open_breaker
        && problems.iter().all(|problem| problem["component"] != breaker)
    {
        problems.push(problem(&breaker, reason));
    }
    problems
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
