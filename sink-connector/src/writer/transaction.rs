//! One attempt to commit a batch: fence, check of the tables, rows, dead letters, COMMIT.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use postgres::SimpleQueryMessage;
use postgres::error::Severity;

use crate::batch::{Batch, Skip, TableRows};
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::decode::Rejection;
use crate::failure::Failure;
use crate::offsets::Offsets;
use crate::plan::{Mode, Plan};
use crate::policy::{Refusal, Verdict};
use crate::types::TopicPartition;
use crate::writer::apply::needs_stage;
use crate::writer::connection::WriterConnection;
use crate::writer::ladder::{Ladder, Rung};
use crate::writer::pieces::{self, Care, Obstacle, Outcome};

/// What a committed batch came to.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rows written, by the table's label.
    pub written: Vec<(String, u64)>,
    /// Rows deleted by tombstones, by the table's label.
    pub deleted: Vec<(String, u64)>,
    /// Skipped records: topic, reason, how many.
    pub skipped: Vec<(TopicPartition, Skip, u64)>,
    /// Dead letters: topic, reason.
    pub dead_letters: Vec<(TopicPartition, &'static str)>,
}

/// What every transaction that writes begins with.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How an attempt ended, short of a failure.
#[derive(Debug)]
pub enum Attempt {
    /// Everything is committed.
    Committed(Counts),
    /// A stored position was not the expected one: the batch is not ours to write.
    Fenced,
    /// A table is not what the batch was encoded for.
    TableChanged,
    /// The server refuses a record, or records must be applied in smaller parts: to be written with more care.
    Refused {
        /// Why, for the log.
        why: String,
    },
    /// A key exists that this rung cannot cope with.
    Conflict {
        /// The table's label.
        label: String,
    },
    /// The error policy does not tolerate these records, the first of their partitions: what is before them is to be
    /// committed.
    Intolerable(Vec<Refusal>),
    /// The breakers of these topics are open, and why: nothing of the batch is committed.
    Tripped(BTreeMap<Arc<str>, String>),
    /// COMMIT was sent, and the connection broke before it was answered.
    Unknown {
        /// How it broke.
        failure: Failure,
        /// What the batch came to if the answer would have been yes.
        counts: Counts,
    },
}

/// What an attempt needs beside the connection and the batch.
pub struct Tools<'a> {
    /// Where dead letters go.
    pub dead_letters: &'a DeadLetters,
    /// Told which step is under way.
    pub enter: &'a dyn Fn(Phase),
    /// Asked whether a batch with these dead letters may be committed.
    pub judge: &'a dyn Fn(&Batch, &[DeadLetter<'_>]) -> Verdict,
    /// The records are dead letters themselves: these are removed, and no position is moved.
    pub replay: bool,
    /// The transaction is open already, and is somebody else's to end: a rehearsal.
    pub open: bool,
}

/// A batch whose transaction is ready for COMMIT.
#[derive(Debug)]
pub struct Written {
    /// What it comes to.
    pub counts: Counts,
    /// The records that are dead letters, by number, and why.
    pub rejected: Vec<(u32, Rejection)>,
    /// For each table: its label, the rung that it was written on, whether keys existed.
    rungs: Vec<(String, Rung, bool)>,
}

/// A step of the transaction, for whoever watches over a writer that hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No transaction is open.
    Idle,
    /// Waiting for the positions' rows.
    Fence,
    /// Writing rows.
    Rows,
    /// Waiting for COMMIT.
    Commit,
}

/// The ladders of a writer by the table's label: two topics, or two plans of one topic, may have the same table.
pub type Ladders = HashMap<String, Ladder>;

/// Tries to commit `batch`.
pub fn attempt(
    connection: &mut WriterConnection,
    batch: &Batch,
    ladders: &mut Ladders,
    care: Care,
    tools: &Tools<'_>,
) -> Result<Attempt, Failure> {
    let Written { counts, rungs, .. } = match write(connection, batch, ladders, care, tools)? {
        Ok(written) => written,
        Err(ended) => return Ok(ended),
    };
    (tools.enter)(Phase::Commit);
    // Nothing has failed in this transaction that was not rolled back to a savepoint: every failure returned above, and
    // so COMMIT cannot mean ROLLBACK.
    match connection.client().batch_execute("COMMIT") {
        Ok(()) => {
            for (label, rung, conflicts) in rungs {
                // A rung that only this batch's records asked for says nothing about the next.
                if let Some(ladder) = ladders.get_mut(&label).filter(|l| l.rung() == rung) {
                    ladder.written(conflicts);
                }
            }
            Ok(Attempt::Committed(counts))
        }
        Err(error) if breaks_off(&error) => Ok(Attempt::Unknown { failure: Failure::from(error), counts }),
        Err(error) => {
            let failure = Failure::from(error);
            match (failure.is_the_records(), care) {
                // A deferred constraint; with halves it would have spoken before.
                (true, Care::Whole | Care::Runs) => Ok(Attempt::Refused { why: failure.message }),
                (true, Care::Halves | Care::Suspects) => Err(failure.into_configuration()),
                (false, _) => Err(failure),
            }
        }
    }
}

/// Does everything of the transaction but its COMMIT. The inner error is how it ended before that; it is rolled back
/// then.
pub fn write(
    connection: &mut WriterConnection,
    batch: &Batch,
    ladders: &Ladders,
    care: Care,
    tools: &Tools<'_>,
) -> Result<Result<Written, Attempt>, Failure> {
    let tables: Vec<&TableRows> = batch.tables().collect();
    let taken = |table: &TableRows| ladders.get(&table.plan.label).map_or(Rung::Plain, Ladder::rung);
    let rungs: Vec<Rung> =
        tables.iter().map(|table| pieces::rung(&table.plan, &table.rows, taken(table), care)).collect();
    for (table, rung) in tables.iter().zip(&rungs) {
        // Halves may climb, and a staging table cannot be made then.
        let highest = if care >= Care::Halves { Rung::Stage } else { *rung };
        if needs_stage(&table.plan, highest) {
            connection.create_stage(&table.plan)?;
        }
    }
    (tools.enter)(Phase::Fence);
    let on_partitions: Vec<&Arc<Plan>> = tables
        .iter()
        .zip(&rungs)
        .filter(|(table, rung)| relies_on_partitions(table, **rung, care))
        .map(|(table, _)| &table.plan)
        .collect();
    if let Some(ended) = begin(connection, batch, &on_partitions, tools)? {
        connection.client().batch_execute("ROLLBACK")?;
        return Ok(Err(ended));
    }
    (tools.enter)(Phase::Rows);
    let begun = tables.iter().map(|table| (table.plan.label.clone(), taken(table))).collect();
    let mut outcome = match pieces::write(connection, batch, begun, care, tools.judge, tools.replay)? {
        Ok(outcome) => outcome,
        Err(Obstacle::Conflict(label)) => return Ok(Err(Attempt::Conflict { label })),
        Err(Obstacle::Refused(failure)) => return Ok(Err(Attempt::Refused { why: failure.message })),
        Err(Obstacle::Divide(why)) => return Ok(Err(Attempt::Refused { why: why.to_owned() })),
    };
    let refused = match std::mem::take(&mut outcome.verdict) {
        Verdict::Commit => None,
        Verdict::Stop(refusals) => Some(Attempt::Intolerable(refusals)),
        Verdict::Trip(topics) => Some(Attempt::Tripped(topics)),
    };
    if let Some(refused) = refused {
        connection.client().batch_execute("ROLLBACK")?;
        return Ok(Err(refused));
    }
    let letters = outcome.letters();
    if !letters.is_empty() {
        tools.dead_letters.write(connection.client(), batch, &letters)?;
    }
    let counts = count(batch, &outcome);
    // Of a batch in pieces the ladder learns nothing.
    let whole = |_: &(&&TableRows, &Rung)| care == Care::Whole;
    let rungs = tables
        .iter()
        .zip(&rungs)
        .filter(whole)
        .map(|(table, rung)| {
            let label = table.plan.label.clone();
            let conflicts = outcome.conflicts.contains(&label);
            (label, *rung, conflicts)
        })
        .collect();
    let rejected = outcome.refused.into_iter().map(|refused| (refused.record, refused.rejection)).collect();
    Ok(Ok(Written { counts, rejected, rungs }))
}

/// The connection ended instead of an answer. A session that is ended just after its COMMIT says so in place of the
/// answer, and that is no word about the transaction.
fn breaks_off(error: &postgres::Error) -> bool {
    error
        .as_db_error()
        .is_none_or(|db| matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic)))
}

/// Opens the transaction in one round trip: fence, lock on each target against ALTER, fingerprint of each.
fn begin(
    connection: &mut WriterConnection,
    batch: &Batch,
    on_partitions: &[&Arc<Plan>],
    tools: &Tools<'_>,
) -> Result<Option<Attempt>, Failure> {
    connection.begin();
    let begin = if tools.open { "SELECT 1" } else { BEGIN };
    // Both are two statements, of which the second says how many rows were as expected.
    let (fence, expected) = if tools.replay {
        (tools.dead_letters.removal(batch), batch.records().count())
    } else {
        (Offsets::fence(batch.spans()), batch.spans().len())
    };
    let mut sql = format!("{begin}; {fence}");
    let plans = plans_in_use(batch);
    let mut expected_fingerprints: Vec<&String> = Vec::new();
    for plan in &plans {
        let fingerprint = connection.fingerprint_statement(&plan.name)?;
        if plan.lockable {
            sql.push_str(&format!("; LOCK TABLE {} IN ROW EXCLUSIVE MODE", plan.target));
        }
        sql.push_str(&format!("; {fingerprint}"));
        expected_fingerprints.push(&plan.fingerprint);
        if let Some(partitions) =
            plan.partitions.as_ref().filter(|_| on_partitions.iter().any(|p| Arc::ptr_eq(p, plan)))
        {
            sql.push_str(&format!("; {}", connection.partitions_statement(&plan.name)?));
            expected_fingerprints.push(partitions);
        }
    }
    let mut commands = Vec::new();
    let mut fingerprints = Vec::new();
    for message in connection.client().simple_query(&sql)? {
        match message {
            SimpleQueryMessage::CommandComplete(rows) => commands.push(rows),
            SimpleQueryMessage::Row(row) if commands.len() > 2 => {
                fingerprints.push(row.get(0).unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
    // BEGIN, the lock of the positions or letters, and then the move or removal.
    let moved = commands.get(2).copied().unwrap_or_default();
    if moved != expected as u64 {
        return Ok(Some(Attempt::Fenced));
    }
    let unchanged = expected_fingerprints.into_iter().eq(&fingerprints);
    Ok((!unchanged).then_some(Attempt::TableChanged))
}

/// Whether it matters to these rows what the table's partitions judge rows by: where records are merged or deleted
/// beside others, or updates may make room for other rows.
fn relies_on_partitions(table: &TableRows, rung: Rung, care: Care) -> bool {
    let updates = rung > Rung::Plain && table.plan.mode == Mode::Upsert;
    let several = table.rows.rows().len() > 1;
    table.plan.partitions.is_some() && (table.rows.hides() || several && (updates || care > Care::Whole))
}

/// The plans that the batch's rows are encoded for, and those that refused a record: what an older table refused, the
/// table of today may take.
fn plans_in_use(batch: &Batch) -> Vec<&Arc<Plan>> {
    let mut plans: Vec<&Arc<Plan>> = batch.tables().map(|table| &table.plan).collect();
    if !batch.rejected().is_empty() {
        let mut others: Vec<_> = batch.plans().iter().collect();
        others.sort_unstable_by_key(|(topic, _)| *topic);
        for (_, plan) in others {
            if !plans.iter().any(|known| Arc::ptr_eq(known, plan)) {
                plans.push(plan);
            }
        }
    }
    plans
}

fn count(batch: &Batch, outcome: &Outcome) -> Counts {
    let partition_of = |record: u32| {
        let span = batch.records().get(record).span;
        batch.spans()[usize::from(span)].partition.clone()
    };
    let counts = Counts {
        written: outcome.written.iter().map(|(label, rows)| (label.clone(), *rows)).collect(),
        deleted: outcome.deleted.iter().map(|(label, rows)| (label.clone(), *rows)).collect(),
        skipped: outcome.skipped.clone(),
        dead_letters: outcome
            .refused
            .iter()
            .map(|refused| (partition_of(refused.record), refused.rejection.reason.as_str()))
            .collect(),
    };
    let accounted = counts.written.iter().map(|(_, n)| n).sum::<u64>()
        + counts.deleted.iter().map(|(_, n)| n).sum::<u64>()
        + counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>()
        + counts.dead_letters.len() as u64;
    assert_eq!(accounted, batch.records().count() as u64, "every record ends as exactly one outcome");
    counts
}
