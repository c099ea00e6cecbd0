//! Writes the rows of one plan inside the batch's transaction, on the rung that the ladder chose.

use std::collections::HashSet;

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::batch::Skip;
use crate::batch::rows::{Row, Rows, Tuple};
use crate::decode::Rejection;
use crate::encode::{Kind, oid, write_text};
use crate::postgres::failure::Failure;
use crate::table::catalog::Column;
use crate::table::plan::{Mode, Plan};
use crate::writer::connection::WriterConnection;
use crate::writer::deletes::delete;
use crate::writer::keyed::{self, Fates};
use crate::writer::ladder::Rung;
use crate::writer::rounds::{Round, rounds};
use crate::writer::{copy, statements};

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
}

const EQUAL_KEYS: &str = "keys that differ in their bytes are equal for the server";
const ALTERED: &str = "a trigger gives rows other keys";
const RELEASED: &str = "an update gives up what keeps another row out of a unique index";

/// Whether the rung works through a staging table, which must then exist before the transaction begins.
pub(crate) fn needs_stage(plan: &Plan, rung: Rung) -> bool {
    plan.insert_only
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
    let existing = lookup(connection, plan, rows, numbers)?;
    let mut fates = keyed::decide(plan, rows, numbers, |n| existing.contains(&n));
    let Some(updated) = update(connection, plan, rows, &fates)? else { return Ok(Some(RELEASED)) };
    let inserted = if rung == Rung::Stage {
        insert_staged(connection, plan, rows, &mut fates)?
    } else {
        Some(insert(connection, plan, rows, &fates.insert)?)
    };
    let Some(inserted) = inserted else { return Ok(Some(ALTERED)) };
    applied.written += updated + inserted;
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
    let statement = connection.prepared(&statements::lookup(plan))?;
    let arrays = key_parameters(plan, rows, numbers);
    let found = connection.client().query(&statement, &arrays.as_parameters())?;
    // Ordinals count from 1.
    let number =
        |row: &postgres::Row| usize::try_from(row.get::<_, i32>(0) - 1).expect("ordinals are positive");
    Ok(found.iter().map(|row| numbers[number(row)]).collect())
}

/// Tuples of one shape go together, in the order in which their shapes first appear.
fn by_shape(tuples: &[(u32, Tuple)]) -> Vec<(u32, Vec<(u32, Tuple)>)> {
    let mut groups: Vec<(u32, Vec<(u32, Tuple)>)> = Vec::new();
    for &(number, tuple) in tuples {
        match groups.iter_mut().find(|(shape, _)| *shape == tuple.shape) {
            Some((_, group)) => group.push((number, tuple)),
            None => groups.push((tuple.shape, vec![(number, tuple)])),
        }
    }
    groups
}

/// Inserts rows, and returns how many; the unique index refuses keys that exist.
fn insert(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    tuples: &[(u32, Tuple)],
) -> Result<u64, Failure> {
    let mut written = 0;
    for (shape, group) in by_shape(tuples) {
        let shape = rows.shapes().get(shape);
        if shape.columns.is_empty() {
            written += counted(plan, insert_defaults(connection, plan, group.len())?, &group);
        } else if plan.insert_only {
            let staged = connection.stage(plan, rows, &group)?;
            let sql = statements::insert_plainly(&staged.source, plan, shape);
            written += counted(plan, connection.client().execute(&sql, &staged.parameters())?, &group);
        } else {
            let sql = copy::statement(&plan.target, plan, &shape.columns, false);
            written += connection.copy(&sql, plan, rows, &group, false)?;
        }
    }
    Ok(written)
}

/// Inserts rows that carry no column at all, which COPY has no syntax for.
fn insert_defaults(connection: &mut WriterConnection, plan: &Plan, rows: usize) -> Result<u64, Failure> {
    let sql = format!("INSERT INTO {} SELECT FROM pg_catalog.generate_series(1, $1::int8)", plan.target);
    let statement = connection.prepared(&sql)?;
    let rows = i64::try_from(rows).expect("a batch has fewer than 2^63 rows");
    Ok(connection.client().execute(&statement, &[&rows])?)
}

/// How many rows of `group` a statement wrote, by the server's count of them.
fn counted(plan: &Plan, count: u64, group: &[(u32, Tuple)]) -> u64 {
    let all = group.len() as u64;
    if plan.rules { all } else { count.min(all) }
}

/// Updates rows that exist, and returns how many; `None` when one gives up what may keep another row of these out:
/// applied one by one, that other row might be refused.
fn update(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    fates: &Fates,
) -> Result<Option<u64>, Failure> {
    let alone = fates.update.len() + fates.insert.len() == 1;
    let mut written = 0;
    for (shape, group) in by_shape(&fates.update) {
        let shape = rows.shapes().get(shape);
        if !statements::updates(plan, shape) {
            written += group.len() as u64;
            continue;
        }
        let staged = connection.stage(plan, rows, &group)?;
        let releases = statements::releases(&staged.source, plan, shape).filter(|_| !alone);
        if let Some(releases) = releases
            && connection.client().query_one(&releases, &staged.parameters())?.get(0)
        {
            return Ok(None);
        }
        let sql = statements::update(&staged.source, plan, shape);
        written += counted(plan, connection.client().execute(&sql, &staged.parameters())?, &group);
    }
    Ok(Some(written))
}

/// Inserts rows whose keys may appear meanwhile, and returns how many; `None` when they do not become what they are.
fn insert_staged(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    fates: &mut Fates,
) -> Result<Option<u64>, Failure> {
    let mut written = 0;
    for (shape, group) in by_shape(&fates.insert.clone()) {
        let staged = connection.stage(plan, rows, &group)?;
        let sql = statements::insert(&staged.source, plan, rows.shapes().get(shape));
        let alone = group.len() == 1;
        if plan.mode == Mode::Upsert {
            match connection.client().execute(&sql, &staged.parameters()).map_err(Failure::from) {
                Ok(count) => written += counted(plan, count, &group),
                Err(failure) if failure.cardinality_violation() && !alone => return Ok(None),
                Err(failure) => return Err(failure),
            }
            continue;
        }
        let (mut inserted, mut left_out) = (0, Vec::new());
        for row in connection.client().query(&sql, &staged.parameters())? {
            match row.get::<_, Option<i32>>(0) {
                Some(ordinal) => {
                    left_out.push(u32::try_from(ordinal).expect("the ordinal is the row's number"));
                }
                None => inserted = row.get::<_, i64>(1).unsigned_abs(),
            }
        }
        if alone && inserted == 1 {
            left_out.clear();
        } else if inserted + left_out.len() as u64 != group.len() as u64 {
            return Ok(None);
        }
        written += inserted;
        // Of a key that is not there now, a trigger has refused the row.
        let there = lookup(connection, plan, rows, &left_out)?;
        left_out.iter().filter(|n| there.contains(n)).for_each(|n| keyed::overtaken(plan, rows, *n, fates));
    }
    Ok(Some(written))
}

/// The keys of the rows with these numbers, as parameters of a statement that unnests them.
pub(crate) fn key_parameters(plan: &Plan, rows: &Rows, numbers: &[u32]) -> KeyParameters {
    KeyParameters(key_arrays(plan, rows, numbers.iter().map(|&n| &rows.rows()[n as usize])))
}

/// One array for each key column.
pub(crate) struct KeyParameters(Vec<BinaryArray>);

impl KeyParameters {
    /// As the client wants them.
    pub(crate) fn as_parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|array| array as &(dyn ToSql + Sync)).collect()
    }
}

/// The keys of `wanted` as one binary array for each key column.
fn key_arrays<'a>(
    plan: &Plan,
    rows: &Rows,
    wanted: impl ExactSizeIterator<Item = &'a Row>,
) -> Vec<BinaryArray> {
    let count = i32::try_from(wanted.len()).expect("a batch has fewer than 2^31 rows");
    let element =
        |column: &Column| if statements::looks_up_text(column) { oid::TEXT } else { column.type_oid };
    let mut arrays: Vec<BinaryArray> =
        plan.key_columns().map(|column| BinaryArray::new(element(column), count)).collect();
    for row in wanted {
        let mut rest = rows.key(row);
        for (array, column) in arrays.iter_mut().zip(plan.key_columns()) {
            let (len, _) = rest.split_first_chunk::<4>().expect("a key has a length for each of its columns");
            let len = usize::try_from(i32::from_be_bytes(*len)).expect("a key has no nulls");
            let (field, tail) = rest.split_at(4 + len);
            if statements::looks_up_text(column) {
                array.push_text(&column.kind, &field[4..]);
            } else {
                array.0.extend_from_slice(field);
            }
            rest = tail;
        }
    }
    arrays
}

/// A one-dimensional array in PostgreSQL's binary format (`array_send`), made of elements that are encoded already.
#[derive(Debug)]
struct BinaryArray(Vec<u8>);

impl BinaryArray {
    fn new(element: u32, count: i32) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&1_i32.to_be_bytes()); // dimensions
        bytes.extend_from_slice(&0_i32.to_be_bytes()); // has no nulls
        bytes.extend_from_slice(&element.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&1_i32.to_be_bytes()); // lower bound
        Self(bytes)
    }

    fn push_text(&mut self, kind: &Kind, field: &[u8]) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        write_text(kind, field, &mut self.0);
        let len = i32::try_from(self.0.len() - start - 4).expect("a key is far below 2 GiB");
        self.0[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }
}

impl ToSql for BinaryArray {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
