//! One attempt to commit a batch: fence, check of the tables, rows, dead letters, COMMIT.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use postgres::error::Severity;

use super::apply::needs_stage;
use super::bisect::{self, LastWritten, RecordOutcomes, RowsOutcome};
use super::connection::WriterConnection;
use super::ladder::{Ladder, Rung};
use super::lost_sessions::{Candidates, InFlight};
use super::prefix::{self, Begun};
use super::strategy::Strategy;
use super::timeouts;
use crate::batch::{Batch, TableRows};
use crate::decode::Reason;
use crate::messages::progress::Phase;
use crate::messages::report::BatchCounts;
use crate::observe::rejections::{LATEST, LatestRejection};
use crate::postgres::failure::Failure;
use crate::postgres::settings;
use crate::rejects::dead_letters::{DeadLetter, DeadLetters};
use crate::rejects::policy::{Decision, RejectedRecord};
use crate::types::Offset;

pub(crate) use super::prefix::BEGIN;

/// Why a transaction was rolled back, short of a failure.
#[derive(Debug)]
pub(crate) enum RolledBack {
    /// A stored position was not the expected one: another sink has moved it.
    Fenced,
    /// A table is not what the batch was encoded for.
    TableChanged,
    /// The server refuses a record, or records must be applied in smaller parts.
    Refused {
        /// Why, for the log.
        why: String,
    },
    /// A key exists, and this rung cannot write a table with such keys.
    Conflict {
        /// The table's label.
        label: String,
    },
    /// Functions of a table changed how text is read before all rows were read. They are read first from now on.
    Misread,
    /// The error policy does not tolerate these records, the first of their partitions. What is before them is to be
    /// committed.
    Intolerable(Vec<RejectedRecord>),
    /// The breakers of these topics are open, and why. Nothing of the batch is committed.
    Tripped(BTreeMap<Arc<str>, String>),
}

/// How an attempt ended, short of a failure that is certain to have rolled it back.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// Everything is committed.
    Committed(BatchCounts),
    /// Nothing is committed.
    RolledBack(RolledBack),
    /// COMMIT was sent, and the connection broke before it was answered.
    Unanswered {
        /// How it broke.
        failure: Failure,
        /// What the batch comes to if it is committed.
        counts: BatchCounts,
    },
}

/// How everything of the transaction but its COMMIT ended, short of a failure.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    /// It is ready for COMMIT.
    Ready(Written),
    RolledBack(RolledBack),
}

/// What an attempt needs beside the connection and the batch.
pub(crate) struct AttemptContext<'a> {
    /// Where dead letters go.
    pub dead_letters: &'a DeadLetters,
    /// Called when a step begins.
    pub enter: &'a dyn Fn(Phase),
    /// Decides whether a batch with these dead letters may be committed.
    pub decide: &'a dyn Fn(&Batch, &[DeadLetter<'_>]) -> Decision,
    /// So many records at the end of a probe decide on it.
    pub probe_window: usize,
    /// The last record of each table that was written.
    pub last_written: &'a LastWritten,
    /// A code of the surroundings' that a function has raised for this batch too often: a record may be at fault.
    pub persistent: Option<&'a str>,
    /// Sessions have ended while this batch was written.
    pub candidates: Option<&'a Candidates>,
    /// The records that are being written, for the case that the session ends.
    pub in_flight: &'a Cell<Option<InFlight>>,
    /// The longest that the transaction may take.
    pub deadline: Duration,
    /// The records are dead letters themselves: these are removed, and no position is moved.
    pub replay: bool,
    /// The transaction is open already, and the caller ends it: a dry run.
    pub open: bool,
}

/// A batch whose transaction is ready for COMMIT.
#[derive(Debug)]
pub(crate) struct Written {
    /// What it comes to.
    pub counts: BatchCounts,
    /// The records that are dead letters, by number, and why.
    pub rejected: Vec<bisect::RejectedRecord>,
    /// For each table: its label, the rung that it was written on, whether keys existed.
    rungs: Vec<(String, Rung, bool)>,
}

/// The ladders of a writer by the table's label: two topics, or two plans of one topic, may have the same table.
pub(crate) type Ladders = HashMap<String, Ladder>;

/// Tries to commit `batch`.
pub(crate) fn attempt(
    connection: &mut WriterConnection,
    batch: &Batch,
    ladders: &mut Ladders,
    strategy: Strategy,
    context: &AttemptContext<'_>,
) -> Result<Attempt, Failure> {
    let Written { counts, rungs, .. } = match write(connection, batch, ladders, strategy, context)? {
        WriteOutcome::Ready(written) => written,
        WriteOutcome::RolledBack(why) => return Ok(Attempt::RolledBack(why)),
    };
    (context.enter)(Phase::Commit);
    // Every failure has returned above, save those that were rolled back to a savepoint: COMMIT cannot mean ROLLBACK.
    match connection.client().batch_execute("COMMIT") {
        Ok(()) => {
            // An advisory lock would keep others waiting until the next batch. A connection that fails is not used again.
            if let Err(failure) = connection.restore_session() {
                tracing::debug!(%failure, "cannot undo what functions of a table have set in the session");
            }
            for (label, rung, conflicts) in rungs {
                // A rung that only this batch's records needed has no bearing on the next.
                if let Some(ladder) = ladders.get_mut(&label).filter(|l| l.rung() == rung) {
                    ladder.written(conflicts);
                }
            }
            Ok(Attempt::Committed(counts))
        }
        Err(error) if breaks_off(&error) => Ok(Attempt::Unanswered { failure: Failure::from(error), counts }),
        Err(error) => {
            let failure = Failure::from(error);
            match (failure.is_the_records(), strategy) {
                // A deferred constraint. Bisecting checks those before COMMIT.
                (true, Strategy::Whole | Strategy::Runs) => {
                    Ok(Attempt::RolledBack(RolledBack::Refused { why: failure.message }))
                }
                (true, Strategy::Bisect | Strategy::Confirm | Strategy::Timed) => {
                    Err(failure.into_configuration())
                }
                (false, _) => Err(failure),
            }
        }
    }
}

/// Does everything of the transaction but its COMMIT.
pub(crate) fn write(
    connection: &mut WriterConnection,
    batch: &Batch,
    ladders: &Ladders,
    strategy: Strategy,
    context: &AttemptContext<'_>,
) -> Result<WriteOutcome, Failure> {
    let taken = |table: &TableRows| ladders.get(&table.plan.label).map_or(Rung::Plain, Ladder::rung);
    let tables: Vec<(&TableRows, Rung)> = batch
        .tables()
        .map(|table| (table, bisect::rung(&table.plan, &table.rows, taken(table), strategy)))
        .collect();
    (context.enter)(Phase::Session);
    create_stages(connection, batch, &tables, strategy)?;
    (context.enter)(Phase::Fence);
    let ended = match prefix::begin(connection, batch, &tables, strategy, context)? {
        Begun::Ready => None,
        Begun::Fenced => Some(RolledBack::Fenced),
        Begun::TableChanged => Some(RolledBack::TableChanged),
    };
    if let Some(why) = ended {
        return roll_back(connection, why);
    }
    (context.enter)(Phase::Rows);
    let rungs = tables.iter().map(|(table, _)| (table.plan.label.clone(), taken(table))).collect();
    let mut records = match bisect::write(connection, batch, rungs, strategy, context)? {
        RowsOutcome::Written(records) => records,
        RowsOutcome::RolledBack(obstacle) => return Ok(WriteOutcome::RolledBack(obstacle.into())),
    };
    match std::mem::take(&mut records.decision) {
        Decision::Commit => {}
        Decision::Stop(firsts) => return roll_back(connection, RolledBack::Intolerable(firsts)),
        Decision::Trip(topics) => return roll_back(connection, RolledBack::Tripped(topics)),
    }
    let dead_letters = records.dead_letters();
    if !dead_letters.is_empty() {
        if batch.retry().is_some() {
            connection.client().batch_execute(timeouts::RESTORE)?;
        }
        connection.client().batch_execute(&settings::restore())?;
        context.dead_letters.write(connection.client(), batch, &dead_letters)?;
    }
    let counts = count(batch, &records);
    // Only a batch that is written whole shows what its table needs.
    let whole = |_: &(&TableRows, Rung)| strategy == Strategy::Whole;
    let rungs = tables
        .into_iter()
        .filter(whole)
        .map(|(table, rung)| {
            let label = table.plan.label.clone();
            let conflicts = records.conflicts.contains(&label);
            (label, rung, conflicts)
        })
        .collect();
    Ok(WriteOutcome::Ready(Written { counts, rejected: records.rejected, rungs }))
}

/// Makes the staging tables that may be needed.
fn create_stages(
    connection: &mut WriterConnection,
    batch: &Batch,
    tables: &[(&TableRows, Rung)],
    strategy: Strategy,
) -> Result<(), Failure> {
    // Bisecting may climb, and a staging table cannot be made then.
    let highest = |rung: Rung| if strategy >= Strategy::Bisect { Rung::Stage } else { rung };
    let staged = |(table, rung): &&(&TableRows, Rung)| {
        needs_stage(connection, &table.plan, &table.rows, highest(*rung))
    };
    let plans: Vec<_> = tables.iter().filter(staged).collect();
    let Some(limits) = batch.retry() else {
        return plans
            .into_iter()
            .try_for_each(|(table, _)| connection.create_stage(&table.plan, &table.rows));
    };
    // That reads the table, which may be locked.
    let limit = timeouts::limit_locks(true, limits.lock_timeout);
    connection.client().batch_execute(&format!("BEGIN; {limit}"))?;
    for (table, _) in plans {
        connection.create_stage(&table.plan, &table.rows)?;
    }
    Ok(connection.client().batch_execute("COMMIT")?)
}

fn roll_back(connection: &mut WriterConnection, why: RolledBack) -> Result<WriteOutcome, Failure> {
    connection.client().batch_execute("ROLLBACK")?;
    Ok(WriteOutcome::RolledBack(why))
}

/// The connection ended instead of an answer. A session that is terminated just after its COMMIT gets the error of its
/// termination in place of the answer, which leaves open what became of the transaction.
fn breaks_off(error: &postgres::Error) -> bool {
    error
        .as_db_error()
        .is_none_or(|db| matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic)))
}

/// Rejections of a batch for people, in the order of its records: the last of each reason, and the last of all.
fn latest_rejections(batch: &Batch, rejected: &[bisect::RejectedRecord]) -> Vec<LatestRejection> {
    let mut reasons: BTreeSet<Reason> = BTreeSet::new();
    let mut latest = Vec::new();
    for (from_end, rejected) in rejected.iter().rev().enumerate() {
        if !reasons.insert(rejected.rejection.reason) && from_end >= LATEST {
            continue;
        }
        let record = batch.records().get(rejected.record);
        latest.push(LatestRejection {
            partition: batch.spans()[usize::from(record.span)].partition.clone(),
            offset: Offset(record.offset),
            reason: rejected.rejection.reason.as_str(),
            summary: rejected.summary(),
        });
    }
    latest.reverse();
    latest
}

fn count(batch: &Batch, records: &RecordOutcomes) -> BatchCounts {
    let partition_of = |record: u32| {
        let span = batch.records().get(record).span;
        batch.spans()[usize::from(span)].partition.clone()
    };
    let counts = BatchCounts {
        written: records.written.iter().map(|(label, rows)| (label.clone(), *rows)).collect(),
        deleted: records.deleted.iter().map(|(label, rows)| (label.clone(), *rows)).collect(),
        skipped: records.skipped.clone(),
        dead_letters: records
            .rejected
            .iter()
            .map(|rejected| (partition_of(rejected.record), rejected.rejection.reason.as_str()))
            .collect(),
        rejections: latest_rejections(batch, &records.rejected),
    };
    let accounted = counts.written.iter().map(|(_, n)| n).sum::<u64>()
        + counts.deleted.iter().map(|(_, n)| n).sum::<u64>()
        + counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>()
        + counts.dead_letters.len() as u64;
    assert_eq!(accounted, batch.records().count() as u64, "every record ends as exactly one outcome");
    counts
}
