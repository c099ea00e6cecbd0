//! One attempt to commit a batch: fence, check of the tables, rows, dead letters, COMMIT.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use postgres::SimpleQueryMessage;

use crate::batch::{Batch, Skip, TableRows};
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::decode::Rejection;
use crate::failure::Failure;
use crate::offsets::Offsets;
use crate::policy::{Refusal, Verdict};
use crate::types::TopicPartition;
use crate::writer::apply::{Applied, apply, needs_stage};
use crate::writer::connection::WriterConnection;
use crate::writer::keyed::independent_of_existing;
use crate::writer::ladder::{Ladder, Rung};

/// What a committed batch came to.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rows written, by the table's label.
    pub written: Vec<(String, u64)>,
    /// Skipped records: topic, reason, how many.
    pub skipped: Vec<(TopicPartition, Skip, u64)>,
    /// Dead letters: topic, reason.
    pub dead_letters: Vec<(TopicPartition, &'static str)>,
}

/// How an attempt ended, short of a failure.
#[derive(Debug)]
pub enum Attempt {
    /// Everything is committed.
    Committed(Counts),
    /// A stored position was not the expected one: the batch is not ours to write.
    Fenced,
    /// A table is not what the batch was encoded for.
    TableChanged,
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
    tools: &Tools<'_>,
) -> Result<Attempt, Failure> {
    let tables: Vec<&TableRows> = batch.tables().collect();
    let rungs: Vec<Rung> = tables
        .iter()
        .map(|table| {
            let taken = ladders.get(&table.plan.label).map_or(Rung::Plain, Ladder::rung);
            let least = if independent_of_existing(&table.rows) { Rung::Plain } else { Rung::Lookup };
            if table.plan.key.is_some() { taken.max(least) } else { Rung::Plain }
        })
        .collect();
    for (table, rung) in tables.iter().zip(&rungs) {
        if needs_stage(&table.plan, *rung) {
            connection.create_stage(&table.plan)?;
        }
    }
    (tools.enter)(Phase::Fence);
    if let Some(ended) = begin(connection, batch, &tables, tools)? {
        connection.client().batch_execute("ROLLBACK")?;
        return Ok(ended);
    }
    (tools.enter)(Phase::Rows);
    let mut applied = Vec::with_capacity(rungs.len());
    for (table, rung) in tables.iter().zip(&rungs) {
        match apply(connection, &table.plan, &table.rows, *rung) {
            Ok(rows) => applied.push(rows),
            Err(failure) => {
                let own_index = table.plan.key.as_ref().map(|key| key.index.as_str());
                if own_index.is_some() && failure.unique_violation() == own_index && *rung < Rung::Stage {
                    connection.client().batch_execute("ROLLBACK")?;
                    return Ok(Attempt::Conflict { label: table.plan.label.clone() });
                }
                return Err(failure);
            }
        }
    }
    let letters = dead_letters(batch, &applied);
    let refused = match (tools.judge)(batch, &letters) {
        Verdict::Commit => None,
        Verdict::Stop(refusals) => Some(Attempt::Intolerable(refusals)),
        Verdict::Trip(topics) => Some(Attempt::Tripped(topics)),
    };
    if let Some(refused) = refused {
        connection.client().batch_execute("ROLLBACK")?;
        return Ok(refused);
    }
    if !letters.is_empty() {
        tools.dead_letters.write(connection.client(), batch, &letters)?;
    }
    let counts = count(batch, &tables, &applied, &letters);
    (tools.enter)(Phase::Commit);
    // Nothing has failed in this transaction: every failure returned above, and so COMMIT cannot mean ROLLBACK.
    match connection.client().batch_execute("COMMIT") {
        Ok(()) => {
            for ((table, rows), rung) in tables.iter().zip(&applied).zip(&rungs) {
                // A rung that only this batch's records asked for says nothing about the next.
                if let Some(ladder) = ladders.get_mut(&table.plan.label).filter(|l| l.rung() == *rung) {
                    ladder.written(rows.conflicts);
                }
            }
            Ok(Attempt::Committed(counts))
        }
        Err(error) if error.as_db_error().is_none() => {
            Ok(Attempt::Unknown { failure: Failure::from(error), counts })
        }
        Err(error) => Err(Failure::from(error)),
    }
}

/// Opens the transaction in one round trip: fence, lock on each target against ALTER, fingerprint of each.
fn begin(
    connection: &mut WriterConnection,
    batch: &Batch,
    tables: &[&TableRows],
    tools: &Tools<'_>,
) -> Result<Option<Attempt>, Failure> {
    connection.begin();
    // Both are two statements, of which the second says how many rows were as expected.
    let (fence, expected) = if tools.replay {
        (tools.dead_letters.removal(batch), batch.records().count())
    } else {
        (Offsets::fence(batch.spans()), batch.spans().len())
    };
    let mut sql = format!("BEGIN ISOLATION LEVEL READ COMMITTED; {fence}");
    for table in tables {
        let fingerprint = connection.fingerprint_statement(&table.plan.name)?;
        sql.push_str(&format!("; LOCK TABLE {} IN ROW EXCLUSIVE MODE; {fingerprint}", table.plan.target));
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
    let unchanged = tables.len() == fingerprints.len()
        && tables.iter().zip(&fingerprints).all(|(table, now)| table.plan.fingerprint == *now);
    Ok((!unchanged).then_some(Attempt::TableChanged))
}

fn dead_letters<'a>(batch: &'a Batch, applied: &'a [Applied]) -> Vec<DeadLetter<'a>> {
    let decoded = batch.rejected().iter().map(|r| (r.record, &r.rejection));
    let written =
        applied.iter().flat_map(|a| a.rejected.iter().map(|(record, rejection)| (*record, rejection)));
    decoded.chain(written).map(|(record, rejection)| DeadLetter { record, rejection }).collect()
}

fn count(batch: &Batch, tables: &[&TableRows], applied: &[Applied], letters: &[DeadLetter<'_>]) -> Counts {
    let partition_of = |record: u32| {
        let span = batch.records().get(record).span;
        batch.spans()[usize::from(span)].partition.clone()
    };
    let counts = Counts {
        written: tables.iter().zip(applied).map(|(t, a)| (t.plan.label.clone(), a.written)).collect(),
        skipped: batch
            .skipped()
            .map(|(partition, reason, n)| (partition.clone(), reason, n))
            .chain(
                applied
                    .iter()
                    .flat_map(|a| &a.skipped)
                    .map(|(record, reason)| (partition_of(*record), *reason, 1)),
            )
            .collect(),
        dead_letters: letters
            .iter()
            .map(|letter| (partition_of(letter.record), rejection_label(letter.rejection)))
            .collect(),
    };
    let accounted = counts.written.iter().map(|(_, n)| n).sum::<u64>()
        + counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>()
        + counts.dead_letters.len() as u64;
    assert_eq!(accounted, batch.records().count() as u64, "every record ends as exactly one outcome");
    counts
}

fn rejection_label(rejection: &Rejection) -> &'static str {
    rejection.reason.as_str()
}
