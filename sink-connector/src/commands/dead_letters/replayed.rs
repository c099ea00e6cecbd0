//! What a replay came to: its counts, and the dead letters that still fail, by cause.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::process::ExitCode;

use serde_json::json;
use shared::output::counted;

use super::causes;
use super::list::{DETAIL_CHARS, excerpt};
use crate::batch::Batch;
use crate::commands::{Output, print_json};
use crate::config::Config;
use crate::decode::{Reason, Rejection, Wider};
use crate::messages::report::BatchCounts;
use crate::postgres::failure::Failure;
use crate::rejects::cause::Cause;
use crate::rejects::dead_letters::{DeadLetter, StoredDeadLetter};
use crate::types::TopicPartition;

/// The exit code of a replay that has left dead letters.
const DEAD_LETTERS_LEFT: u8 = 3;

/// The outcome of a replay.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub rows_written: u64,
    rows_deleted: u64,
    skipped: u64,
    failed: u64,
    failures: Failures,
    /// Topics that this configuration does not read.
    pub not_configured: BTreeSet<String>,
    /// Topics whose dead letters were left, or some of them, because their tables cannot be written; and why.
    pub not_replayed: BTreeMap<String, String>,
    /// What to do about each of the failures.
    hints: BTreeMap<(String, Cause), String>,
}

/// Those that still fail, by topic and cause: how many, the wider type that would take their values, and the first.
pub(super) type Failures = BTreeMap<(String, Cause), Failed>;

/// The dead letters of one cause.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    count: u64,
    wider: Option<Wider>,
    first: (TopicPartition, i64),
    detail: String,
}

/// How many dead letters are left.
pub(super) fn still_fail(dead_letters: u64) -> String {
    let verb = if dead_letters == 1 { "fails" } else { "fail" };
    format!("{} still {verb}", counted(dead_letters, "dead letter"))
}

impl Replayed {
    fn hint(&self, topic: &str, cause: &Cause) -> String {
        self.hints.get(&(topic.to_owned(), cause.clone())).cloned().unwrap_or_default()
    }

    /// The exit code: 1 if the table of a topic cannot be written, 3 if dead letters still fail or their topic is not read.
    pub(super) fn exit_code(&self) -> ExitCode {
        if !self.not_replayed.is_empty() {
            ExitCode::FAILURE
        } else if self.failed > 0 || !self.not_configured.is_empty() {
            ExitCode::from(DEAD_LETTERS_LEFT)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// How many dead letters still fail.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// Counts a batch that is committed.
    pub(super) fn committed(&mut self, counts: &BatchCounts, failures: Failures) {
        self.rows_written += counts.written.iter().map(|(_, n)| n).sum::<u64>();
        self.rows_deleted += counts.deleted.iter().map(|(_, n)| n).sum::<u64>();
        self.skipped += counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>();
        self.failed += counts.dead_letters.len() as u64;
        self.add_failures(failures);
    }

    /// Counts a dead letter that could not be tried to its end.
    pub(super) fn given_up(&mut self, dead_letter: &StoredDeadLetter, failure: &Failure) {
        self.failed += 1;
        self.add_failures(failed(dead_letter, failure));
    }

    /// Adds what to do about the failures.
    pub(super) fn end(&mut self, config: &Config) {
        let hint = |(of, failed): (&(String, Cause), &Failed)| {
            let (topic, cause) = of;
            (of.clone(), causes::hint(config, topic, cause, failed.wider))
        };
        self.hints = self.failures.iter().map(hint).collect();
    }

    fn add_failures(&mut self, failures: Failures) {
        for (cause, failed) in failures {
            match self.failures.entry(cause) {
                Entry::Vacant(entry) => drop(entry.insert(failed)),
                Entry::Occupied(mut entry) => {
                    let sum = entry.get_mut();
                    sum.count += failed.count;
                    sum.wider = sum.wider.max(failed.wider);
                }
            }
        }
    }

    pub(super) fn print(&self, output: Output) -> anyhow::Result<()> {
        for (topic, reason) in &self.not_replayed {
            shared::errln!(
                "error: topic {topic}: {reason}. Its other dead letters are unchanged. Run it again to continue"
            );
        }
        if output == Output::Json {
            return print_json(&json!({
                "rows_written": self.rows_written,
                "rows_deleted": self.rows_deleted,
                "skipped": self.skipped,
                "failed": self.failed,
                "failures": self.failures.iter().map(|((topic, cause), failed)| json!({
                    "topic": topic,
                    "reason": cause.reason.as_str(),
                    "sqlstate": cause.sqlstate,
                    "constraint": cause.constraint,
                    "count": failed.count,
                    "first": {"partition": failed.first.0.partition.0, "offset": failed.first.1},
                    "detail": failed.detail,
                    "action": self.hint(topic, cause),
                })).collect::<Vec<_>>(),
                "not_replayed": self.not_replayed.iter().map(|(topic, reason)| json!({
                    "topic": topic,
                    "reason": reason,
                })).collect::<Vec<_>>(),
                "not_configured": self.not_configured,
            }));
        }
        shared::outln!(
            "{} written, {} deleted, {} skipped, {}",
            counted(self.rows_written, "row"),
            self.rows_deleted,
            counted(self.skipped, "record"),
            still_fail(self.failed)
        )?;
        for ((topic, cause), failed) in &self.failures {
            shared::outln!(
                "{}: {}, the first {} at offset {}: {} -> {}",
                cause.title(),
                failed.count,
                failed.first.0,
                failed.first.1,
                excerpt(&failed.detail, DETAIL_CHARS),
                self.hint(topic, cause)
            )?;
        }
        for topic in &self.not_configured {
            shared::outln!(
                "not replayed: dead letters of topic {topic}, which this configuration does not read"
            )?;
        }
        Ok(())
    }
}

/// The rejected records of a batch, by cause.
pub(super) fn failures(batch: &Batch, rejected: &[DeadLetter<'_>]) -> Failures {
    let mut failures = Failures::new();
    for dead_letter in rejected {
        let (partition, record) = dead_letter.place(batch);
        let cause = Cause::of(dead_letter.rejection, dead_letter.failure);
        let failed = failures.entry((partition.topic.to_string(), cause)).or_insert_with(|| Failed {
            count: 0,
            wider: None,
            first: (partition.clone(), record.offset),
            detail: dead_letter.rejection.detail.clone(),
        });
        failed.count += 1;
        failed.wider = failed.wider.max(dead_letter.rejection.wider);
    }
    failures
}

/// A dead letter that could not be tried to its end.
fn failed(dead_letter: &StoredDeadLetter, failure: &Failure) -> Failures {
    let detail = failure.report().to_owned();
    let rejection = Rejection { reason: Reason::Refused, column: None, wider: None, detail: detail.clone() };
    let topic = dead_letter.partition.topic.to_string();
    let first = (dead_letter.partition.clone(), dead_letter.offset);
    let cause = Cause::of(&rejection, Some(failure));
    Failures::from([((topic, cause), Failed { count: 1, wider: None, first, detail })])
}
