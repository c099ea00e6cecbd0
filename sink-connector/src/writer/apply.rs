//! Writes the rows of one plan inside the batch's transaction, on the rung that the ladder chose.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::batch::Skip;
use crate::batch::rows::{Rows, Tuple};
use crate::batch::shape::Shape;
use crate::decode::Rejection;
use crate::postgres::failure::Failure;
use crate::table::plan::{Mode, Plan};
use crate::writer::connection::WriterConnection;
use crate::writer::deletes::delete;
use crate::writer::inserts::{insert, insert_needs_stage};
use crate::writer::key_parameters::key_parameters;
use crate::writer::keyed;
use crate::writer::ladder::Rung;
use crate::writer::rounds::{Round, rounds};
use crate::writer::updates::update;
use crate::writer::upserts::insert_staged;
use crate::writer::{stage_statements, statements};

/// What a plan's rows came to; true once the transaction commits.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Rows inserted or updated.
    pub written: u64,
    /// Rows deleted by tombstones.
    pub deleted: u64,
    /// Records skipped, by number.
    pub skipped: Vec<(u32, Skip)>,
    /// Records rejected, by number.
    pub rejected: Vec<(u32, Rejection)>,
    /// Keys existed: the rung was needed.
    pub conflicts: bool,
}

/// How applying rows ended, short of a failure.
#[derive(Debug)]
pub(crate) enum ApplyOutcome {
    /// They are written.
    Applied(Applied),
    /// Records depend on each other in a way that only their order gets right; they must be applied in smaller parts.
    Divide(&'static str),
    /// Functions of the table changed how text is read while some of the rows were still to be read. Rolled back and applied
    /// again, they are read before.
    Misread,
}

const EQUAL_KEYS: &str = "keys that differ in their bytes are equal for the server";
const ALTERED: &str = "a trigger gives rows other keys";
const RELEASED: &str = "an update gives up what keeps another row out of a unique index";

/// Whether writing the rows may take a staging table, which must then exist before the transaction begins.
pub(crate) fn needs_stage(connection: &WriterConnection, plan: &Plan, rows: &Rows, rung: Rung) -> bool {
    insert_needs_stage(connection, plan, rows)
        || plan.key.is_some() && (rung == Rung::Stage || (rung == Rung::Lookup && plan.mode == Mode::Upsert))
}

/// Writes `rows`.
pub(crate) fn apply(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    rung: Rung,
) -> Result<ApplyOutcome, Failure> {
    let rounds = rounds(plan, rows);
    // Where nothing is looked up and nothing deleted, the unique index refuses equal keys.
    if (rung > Rung::Plain || rows.deletes()) && has_equal_keys(connection, plan, rows, &rounds)? {
        return Ok(ApplyOutcome::Divide(EQUAL_KEYS));
    }
    let mut applied = Applied { deleted: rows.deleted(), ..Applied::default() };
    for round in &rounds {
        delete(connection, plan, rows, &round.deletes, &mut applied)?;
        if let Some(why) = write(connection, plan, rows, rung, &round.writes, &mut applied)? {
            return Ok(ApplyOutcome::Divide(why));
        }
        if connection.take_misread() {
            return Ok(ApplyOutcome::Misread);
        }
    }
    Ok(ApplyOutcome::Applied(applied))
}

/// Whether keys of the batch that differ in their bytes are equal for the server.
fn has_equal_keys(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    rounds: &[Round],
) -> Result<bool, Failure> {
    // The first round has every key once.
    let Some(first) = rounds.first() else { return Ok(false) };
    let numbers = [&first.deletes[..], &first.writes[..]].concat();
    if numbers.len() < 2 || plan.key.as_ref().is_none_or(|key| !key.loose) {
        return Ok(false);
    }
    connection.restore_settings()?;
    let statement = connection.prepared(&statements::count_keys(plan))?;
    let arrays = key_parameters(plan, rows, &numbers);
    let keys: i64 = connection.client().query_one(&statement, &arrays.as_parameters())?.get(0);
    Ok(keys.unsigned_abs() < numbers.len() as u64)
}

/// Writes the rows with these numbers, which are of different keys and in their order; or returns why they must
/// be divided.
fn write(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    rung: Rung,
    numbers: &[u32],
    applied: &mut Applied,
) -> Result<Option<&'static str>, Failure> {
    if numbers.is_empty() {
        return Ok(None);
    }
    if rung == Rung::Plain {
        let tuples: Vec<(u32, Tuple)> = numbers.iter().map(|&n| (n, rows.rows()[n as usize].tuple)).collect();
        let written = insert(connection, plan, rows, &tuples)?;
        applied.written += written;
        skip_some(rows, tuples.len() as u64 - written, Skip::Trigger, applied);
        return Ok(None);
    }
    let first = update_first(connection, plan, rows, rung, numbers)?;
    let others: Vec<u32> = numbers.iter().copied().filter(|n| !first.contains(n)).collect();
    let found = if plan.on_conflict_only { HashSet::new() } else { lookup(connection, plan, rows, &others)? };
    let mut fates = keyed::decide(plan, rows, numbers, |n| first.contains(&n) || found.contains(&n));
    fates.update.retain(|(n, _)| !first.contains(n));
    let Some(updated) = update(connection, plan, rows, &fates)? else { return Ok(Some(RELEASED)) };
    connection.note_updated(plan, first.len() as u64 + updated, numbers.len() as u64)?;
    let inserted = if rung == Rung::Stage {
        insert_staged(connection, plan, rows, &mut fates)?
    } else {
        Some(insert(connection, plan, rows, &fates.insert)?)
    };
    let Some(inserted) = inserted else { return Ok(Some(ALTERED)) };
    applied.written += first.len() as u64 + updated + inserted;
    applied.skipped.append(&mut fates.skipped);
    applied.rejected.append(&mut fates.rejected);
    applied.conflicts |= fates.conflicts;
    // An existing row is unchanged if it is newer, or if a trigger dropped the update; the count does not show which.
    let left_alone = if plan.version.is_some() { Skip::Stale } else { Skip::Trigger };
    skip_some(rows, fates.update.len() as u64 - updated, left_alone, applied);
    let not_inserted = if rung == Rung::Stage { left_alone } else { Skip::Trigger };
    skip_some(rows, fates.insert.len() as u64 - inserted, not_inserted, applied);
    Ok(None)
}

/// Updates those of the rows whose keys exist before anything is looked up, and returns their numbers. None, if most rows
/// are not expected to be updates, or if one statement cannot do it.
///
/// This spares most of the look-up, which locks each row. The UPDATE locks them in the same order, that of the keys. A row
/// that it does not return is looked up as always: its key is new, its version is older, or it has appeared meanwhile.
fn update_first(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    rung: Rung,
    numbers: &[u32],
) -> Result<HashSet<u32>, Failure> {
    if rung != Rung::Lookup || !connection.updates_first(plan) {
        return Ok(HashSet::new());
    }
    let if_exists = |number: u32| {
        let row = &rows.rows()[number as usize];
        (number, row.if_exists.unwrap_or(row.tuple))
    };
    let tuples: Vec<(u32, Tuple)> = numbers.iter().map(|&n| if_exists(n)).collect();
    let groups = grouped(rows, &tuples, |shape| {
        (changes(plan, shape), shape.present.intersection(&plan.named_if_carried))
    });
    if groups.len() > 1 || !tuples.iter().all(|(_, tuple)| changes(plan, rows.shapes().get(tuple.shape))) {
        return Ok(HashSet::new());
    }
    let staged = connection.stage(plan, rows, &tuples)?;
    let sql = stage_statements::update_returning(&staged, plan);
    connection.note_functions(plan);
    let updated = connection.client().query(&sql, &staged.parameters())?;
    let number = |row: &postgres::Row| u32::try_from(row.get::<_, i32>(0)).expect("`o` is the row's number");
    Ok(updated.iter().map(number).collect())
}

/// Whether a record changes a row that exists: one that carries only the key does not.
pub(super) fn changes(plan: &Plan, shape: &Shape) -> bool {
    shape.present.iter().any(|column| !plan.is_key(column))
}

/// Some of the rows were dropped without an error; COPY and UPDATE do not report which ones.
fn skip_some(rows: &Rows, records: u64, reason: Skip, applied: &mut Applied) {
    if let Some(row) = rows.rows().first() {
        applied.skipped.extend((0..records).map(|_| (row.record, reason)));
    }
}

/// Which of the rows' keys exist.
pub(crate) fn lookup(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    numbers: &[u32],
) -> Result<HashSet<u32>, Failure> {
    if numbers.is_empty() {
        return Ok(HashSet::new());
    }
    connection.restore_settings()?;
    let statement = connection.prepared(&statements::lookup(plan))?;
    let arrays = key_parameters(plan, rows, numbers);
    let found = connection.client().query(&statement, &arrays.as_parameters())?;
    // Ordinals count from 1.
    let number =
        |row: &postgres::Row| usize::try_from(row.get::<_, i32>(0) - 1).expect("ordinals are positive");
    Ok(found.iter().map(|row| numbers[number(row)]).collect())
}

/// The most statements that write rows of one table from the stage. Each costs several round trips, so rows that differ more
/// in what they carry are written by a statement for each of them, many in one round trip.
pub(super) const MAX_GROUPS: usize = 8;

/// The tuples in groups of equal `key`, in the order in which each group first appears.
pub(super) fn grouped<'a, K: Eq + Hash>(
    rows: &'a Rows,
    tuples: &[(u32, Tuple)],
    key: impl Fn(&'a Shape) -> K,
) -> Vec<Vec<(u32, Tuple)>> {
    let mut groups: Vec<Vec<(u32, Tuple)>> = Vec::new();
    let mut by_key: HashMap<K, usize> = HashMap::new();
    let mut last = None;
    for &(number, tuple) in tuples {
        let group = match last {
            Some((shape, group)) if shape == tuple.shape => group,
            _ => *by_key.entry(key(rows.shapes().get(tuple.shape))).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            }),
        };
        last = Some((tuple.shape, group));
        groups[group].push((number, tuple));
    }
    groups
}

/// How many rows of `group` a statement wrote, by the server's count of them.
pub(super) fn counted(plan: &Plan, count: u64, group: &[(u32, Tuple)]) -> u64 {
    let all = group.len() as u64;
    if plan.rules { all } else { count.min(all) }
}
