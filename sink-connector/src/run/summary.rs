//! What `run --summary` prints, also when the run fails: a JSON object, or lines for people.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::HumanCount;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::observe::problem::ProblemStatus;
use crate::source::Totals;
use crate::source::bounds::StoppedBy;

/// `stopped_by` of a run that failed.
const ERROR: &str = "error";
/// How many partitions the text names.
const PARTITIONS: usize = 16;

/// What `run --summary json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Summary<'a> {
    /// Records that were committed. Null: the run failed after its start, and nobody knows how many.
    pub records: Option<u64>,
    /// Rows inserted or updated.
    pub rows_written: Option<u64>,
    /// Rows deleted.
    pub rows_deleted: Option<u64>,
    /// Records without a row, by a rule: `sink_records_skipped_total` has the reasons.
    pub skipped: Option<u64>,
    /// Rejected records.
    pub dead_letters: Option<u64>,
    /// How long the run took.
    pub duration_ms: u64,
    /// Why it ended: `max_records`, `end`, `idle`, `signal`, `deadline`, `error_policy` or `error`.
    pub stopped_by: &'static str,
    /// The exit code of the process.
    pub exit_code: u8,
    /// What failed when it ended.
    #[schemars(with = "Vec<ProblemStatus>")]
    pub problems: &'a [Value],
    /// The partitions that were assigned to it, with or without new records.
    pub partitions: Vec<PositionSummary>,
}

/// A partition in the summary.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PositionSummary {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Its stored position: the next offset to read.
    pub next_offset: i64,
}

/// The summary of a run that ended. `problems` are those that it had at its end.
pub fn summary(
    totals: &Totals,
    stopped_by: StoppedBy,
    took: Duration,
    exit_code: u8,
    problems: &[Value],
) -> Value {
    let mut positions: Vec<_> = totals.positions.iter().collect();
    positions.sort_unstable();
    let partitions = positions.into_iter().map(|(p, next)| PositionSummary {
        topic: p.topic.to_string(),
        partition: p.partition.0,
        next_offset: next.0,
    });
    json!(Summary {
        records: Some(totals.records),
        rows_written: Some(totals.rows_written),
        rows_deleted: Some(totals.rows_deleted),
        skipped: Some(totals.skipped),
        dead_letters: Some(totals.dead_letters),
        duration_ms: millis(took),
        stopped_by: stopped_by.as_str(),
        exit_code,
        problems,
        partitions: partitions.collect(),
    })
}

/// The same for people. `problems` are those of [`summary`].
pub(super) fn text(totals: &Totals, stopped_by: StoppedBy, took: Duration, problems: &[Value]) -> String {
    let why = match stopped_by {
        StoppedBy::MaxRecords => "as many records as --max-records allows",
        StoppedBy::End => "the end of the topics is reached",
        StoppedBy::Idle => "no more records have arrived",
        StoppedBy::Signal => "a signal asked it to stop",
        StoppedBy::Deadline => "the deadline has passed",
        StoppedBy::ErrorPolicy => "the error policy ended it",
    };
    let seconds = took.as_secs_f64();
    let per_second = (totals.records as f64 / seconds.max(0.001)).round() as u64;
    let mut text = format!(
        "{} {} in {} s, {} a second: {why}.\n",
        HumanCount(totals.records),
        if totals.records == 1 { "record" } else { "records" },
        shared::time::seconds(took),
        HumanCount(per_second)
    );
    let mut line = |name: &str, value: u64, hint: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<13}{:>12}{hint}", HumanCount(value).to_string());
    };
    line("rows written", totals.rows_written, "");
    line("rows deleted", totals.rows_deleted, "");
    line("skipped", totals.skipped, "");
    let hint = if totals.dead_letters > 0 { "  see `sink-connector dead-letters list`" } else { "" };
    line("dead letters", totals.dead_letters, hint);
    let mut positions: Vec<_> = totals.positions.iter().collect();
    positions.sort_unstable();
    for (partition, next) in positions.iter().take(PARTITIONS) {
        let _ = writeln!(text, "  {partition}: position {next}");
    }
    if positions.len() > PARTITIONS {
        let _ = writeln!(text, "  and {} more partitions", positions.len() - PARTITIONS);
    }
    for problem in problems {
        let part = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(text, "  problem: {}: {}", part("component"), part("reason"));
    }
    text
}

/// The text for a run that failed; what failed is on standard error.
pub(super) fn failed_text(began: bool, took: Duration) -> String {
    let written = if began { "some records may have been written" } else { "nothing was written" };
    format!("failed after {} s: {written}.\n", shared::time::seconds(took))
}

/// The summary of a run that failed. `began`: it may have written records, and nobody knows how many.
pub fn failure(began: bool, took: Duration, exit_code: u8, problems: &[Value]) -> Value {
    let count = (!began).then_some(0);
    json!(Summary {
        records: count,
        rows_written: count,
        rows_deleted: count,
        skipped: count,
        dead_letters: count,
        duration_ms: millis(took),
        stopped_by: ERROR,
        exit_code,
        problems,
        partitions: Vec::new(),
    })
}

/// One of the `problems`.
pub fn problem(component: &str, reason: impl std::fmt::Display) -> Value {
    json!(ProblemStatus { component: component.to_owned(), reason: reason.to_string(), since: None })
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Offset, TopicPartition};

    #[test]
    fn the_text_names_what_became_of_the_records_and_some_partitions() {
        let positions = (0..20).map(|n| (TopicPartition::new("t", n), Offset(5))).collect();
        let totals =
            Totals { records: 12_345, rows_written: 12_340, dead_letters: 5, positions, ..Totals::default() };
        let problems = [problem("kafka", "h:9092: Connection refused")];
        let text = text(&totals, StoppedBy::End, Duration::from_millis(2_040), &problems);
        assert!(text.ends_with("  problem: kafka: h:9092: Connection refused\n"), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "12,345 records in 2 s, 6,051 a second: the end of the topics is reached.");
        assert_eq!(lines[1], "  rows written       12,340");
        assert_eq!(lines[4], "  dead letters            5  see `sink-connector dead-letters list`");
        assert_eq!((lines[5], lines[21]), ("  t[0]: position 5", "  and 4 more partitions"));
    }
}
