//! Writes the rows of one plan inside the batch's transaction, on the rung that the ladder chose.

use std::collections::HashSet;

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::batch::Skip;
use crate::batch::rows::{Row, Rows, Tuple};
use crate::decode::Rejection;
use crate::failure::Failure;
use crate::plan::{Mode, Plan};
use crate::writer::connection::WriterConnection;
use crate::writer::deletes::delete;
use crate::writer::keyed::{self, Fates};
use crate::writer::ladder::Rung;
use crate::writer::waves::waves;
use crate::writer::{copy, statements};

/// What a plan's rows came to; true once the transaction commits.
#[derive(Debug, Default)]
pub struct Applied {
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

/// Whether the rung works through a staging table, which must then exist before the transaction begins.
pub fn needs_stage(plan: &Plan, rung: Rung) -> bool {
    plan.key.is_some() && (rung == Rung::Stage || (rung == Rung::Lookup && plan.mode == Mode::Upsert))
}

/// Writes `rows`.
pub fn apply(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    rung: Rung,
) -> Result<Applied, Failure> {
    let mut applied = Applied { deleted: rows.deleted(), ..Applied::default() };
    for wave in waves(connection, plan, rows)? {
        delete(connection, plan, rows, &wave.deletes, &mut applied)?;
        if !wave.writes.is_empty() {
            write(connection, plan, rows, rung, &wave.writes, &mut applied)?;
        }
    }
    Ok(applied)
}

/// Writes the rows with these numbers, which are of different keys and in their order.
fn write(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    rung: Rung,
    numbers: &[u32],
    applied: &mut Applied,
) -> Result<(), Failure> {
    if rung == Rung::Plain {
        let tuples: Vec<(u32, Tuple)> = numbers.iter().map(|&n| (n, rows.rows()[n as usize].tuple)).collect();
        let written = copy_rows(connection, plan, rows, &tuples)?;
        applied.written += written;
        skip_some(rows, tuples.len() as u64 - written, Skip::Trigger, applied);
        return Ok(());
    }
    let existing = lookup(connection, plan, rows, numbers)?;
    let mut fates = keyed::decide(plan, rows, numbers, |n| existing.contains(&n));
    let updated = update(connection, plan, rows, &fates)?;
    let inserted = if rung == Rung::Stage {
        insert_staged(connection, plan, rows, &mut fates)?
    } else {
        copy_rows(connection, plan, rows, &fates.insert)?
    };
    applied.written += updated + inserted;
    applied.skipped.append(&mut fates.skipped);
    applied.rejected.append(&mut fates.rejected);
    applied.conflicts |= fates.conflicts;
    // A row that exists is left alone if it is newer, or if a trigger says so; one of the two cannot be told from the
    // other.
    let left_alone = if plan.version.is_some() { Skip::Stale } else { Skip::Trigger };
    skip_some(rows, fates.update.len() as u64 - updated, left_alone, applied);
    let not_inserted = if rung == Rung::Stage { left_alone } else { Skip::Trigger };
    skip_some(rows, fates.insert.len() as u64 - inserted, not_inserted, applied);
    Ok(())
}

/// Some of the rows were passed over silently; which ones, COPY and UPDATE do not tell.
fn skip_some(rows: &Rows, records: u64, reason: Skip, applied: &mut Applied) {
    if let Some(row) = rows.rows().first() {
        applied.skipped.extend((0..records).map(|_| (row.record, reason)));
    }
}

fn lookup(
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
    Ok(found
        .iter()
        .map(|row| numbers[usize::try_from(row.get::<_, i32>(0) - 1).expect("ordinals are positive")])
        .collect())
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

fn copy_rows(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    tuples: &[(u32, Tuple)],
) -> Result<u64, Failure> {
    let mut written = 0;
    for (shape, group) in by_shape(tuples) {
        let sql = copy::statement(&plan.target, plan, &rows.shapes().get(shape).columns, false);
        written += connection.copy(&sql, rows, &group, false)?;
    }
    Ok(written)
}

fn stage_rows(
    connection: &mut WriterConnection,
    stage: &str,
    plan: &Plan,
    rows: &Rows,
    group: &[(u32, Tuple)],
) -> Result<(), Failure> {
    connection.empty_stage(stage)?;
    let sql = copy::statement(stage, plan, &rows.shapes().get(group[0].1.shape).columns, true);
    connection.copy(&sql, rows, group, true)?;
    Ok(())
}

/// Returns how many rows were updated.
fn update(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    fates: &Fates,
) -> Result<u64, Failure> {
    let mut updated = 0;
    for (shape, group) in by_shape(&fates.update) {
        let stage = connection.stage_of(plan);
        let Some(sql) = statements::update(&stage, plan, rows.shapes().get(shape)) else {
            // The record has nothing beside the key, and that is there.
            updated += group.len() as u64;
            continue;
        };
        stage_rows(connection, &stage, plan, rows, &group)?;
        updated += connection.client().execute(&sql, &[])?;
    }
    Ok(updated)
}

/// Returns how many rows were inserted or, in upsert mode, updated.
fn insert_staged(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    fates: &mut Fates,
) -> Result<u64, Failure> {
    let mut written = 0;
    for (shape, group) in by_shape(&fates.insert.clone()) {
        let stage = connection.stage_of(plan);
        stage_rows(connection, &stage, plan, rows, &group)?;
        let sql = statements::insert(&stage, plan, rows.shapes().get(shape));
        if plan.mode == Mode::Upsert {
            let affected = connection.client().execute(&sql, &[])?;
            // Without anything beside the key, a key that has appeared is as it should be.
            let nothing_to_update = statements::update(&stage, plan, rows.shapes().get(shape)).is_none();
            written += if nothing_to_update { group.len() as u64 } else { affected };
            continue;
        }
        let overtaken = connection.client().query(&sql, &[])?;
        written += (group.len() - overtaken.len()) as u64;
        for row in overtaken {
            let number = u32::try_from(row.get::<_, i32>(0)).expect("the ordinal is the row's number");
            keyed::overtaken(plan, rows, number, fates);
        }
    }
    Ok(written)
}

/// The keys of the rows with these numbers, as parameters of a statement that unnests them.
pub fn key_parameters(plan: &Plan, rows: &Rows, numbers: &[u32]) -> KeyParameters {
    KeyParameters(key_arrays(plan, rows, numbers.iter().map(|&n| &rows.rows()[n as usize])))
}

/// One array for each key column.
pub struct KeyParameters(Vec<BinaryArray>);

impl KeyParameters {
    /// As the client wants them.
    pub fn as_parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
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
    let mut arrays: Vec<BinaryArray> =
        plan.key_columns().map(|column| BinaryArray::new(column.type_oid, count)).collect();
    for row in wanted {
        let mut rest = rows.key(row);
        for array in &mut arrays {
            let (len, _) = rest.split_first_chunk::<4>().expect("a key has a length for each of its columns");
            let len = usize::try_from(i32::from_be_bytes(*len)).expect("a key has no nulls");
            let (field, tail) = rest.split_at(4 + len);
            array.0.extend_from_slice(field);
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
