//! Inserts rows where the unique index refuses keys that exist: by COPY, whatever columns the rows carry, or from the stage.

use std::collections::HashSet;

use crate::batch::rows::{Rows, Tuple};
use crate::postgres::failure::Failure;
use crate::table::column_set::ColumnSet;
use crate::table::plan::Plan;
use crate::writer::apply::{counted, grouped};
use crate::writer::connection::WriterConnection;
use crate::writer::defaults::DefaultValues;
use crate::writer::{copy, stage_statements};

/// The most COPY statements that insert rows of one table. Each costs a round trip or two, so rows that differ more in what
/// they carry go together.
const MAX_COPIES: usize = 8;

/// Whether [`insert`] may stage some of the rows.
pub(super) fn insert_needs_stage(connection: &WriterConnection, plan: &Plan, rows: &Rows) -> bool {
    let lists: HashSet<&[u16]> = rows.shapes().iter().map(|shape| &*shape.columns).collect();
    let in_place: HashSet<ColumnSet> =
        rows.shapes().iter().map(|shape| shape.present.intersection(&plan.evaluated_in_place)).collect();
    plan.insert_only
        || connection.reads_first(plan)
        || (lists.len() > MAX_COPIES && in_place.len() > MAX_COPIES)
}

/// Inserts rows, and returns how many; the unique index refuses keys that exist.
pub(super) fn insert(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    tuples: &[(u32, Tuple)],
) -> Result<u64, Failure> {
    let alike = grouped(rows, tuples, |shape| &*shape.columns);
    let by_copy = !plan.insert_only && !connection.reads_first(plan);
    if alike.len() <= MAX_COPIES && by_copy {
        return alike.iter().map(|group| copy_alike(connection, plan, rows, group)).sum();
    }
    let completed = grouped(rows, tuples, |shape| shape.present.intersection(&plan.evaluated_in_place));
    if completed.len() <= MAX_COPIES && by_copy {
        return completed.iter().map(|group| copy_completed(connection, plan, rows, group)).sum();
    }
    grouped(rows, tuples, |shape| shape.present.intersection(&plan.unnamed_defaults))
        .iter()
        .map(|group| insert_staged(connection, plan, rows, group))
        .sum()
}

/// Inserts rows that have the same columns.
fn copy_alike(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    group: &[(u32, Tuple)],
) -> Result<u64, Failure> {
    let columns = group.first().map_or(&[][..], |(_, tuple)| &rows.shapes().get(tuple.shape).columns);
    if columns.is_empty() {
        return Ok(counted(plan, insert_defaults(connection, plan, group.len())?, group));
    }
    connection.copy(&copy::statement(&plan.target, plan, columns), plan, rows, group)
}

/// Inserts rows that lack the same ones of the columns whose default only the server can put into a row. What they lack
/// of other columns is evaluated first, and goes with them.
fn copy_completed(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    group: &[(u32, Tuple)],
) -> Result<u64, Failure> {
    let mut columns = ColumnSet::new(plan.columns.len());
    for (_, tuple) in group {
        rows.shapes().get(tuple.shape).columns.iter().for_each(|column| columns.insert(usize::from(*column)));
    }
    let columns: Vec<u16> =
        (0..).take(plan.columns.len()).filter(|n| columns.contains(usize::from(*n))).collect();
    if columns.is_empty() {
        return copy_alike(connection, plan, rows, group);
    }
    let statement = copy::statement(&plan.target, plan, &columns);
    let defaults = DefaultValues::evaluate(connection, plan, rows, group, columns)?;
    connection.copy_completed(&statement, plan, rows, group, defaults)
}

/// Inserts rows from the stage.
fn insert_staged(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    group: &[(u32, Tuple)],
) -> Result<u64, Failure> {
    let staged = connection.stage(plan, rows, group)?;
    connection.note_functions(plan);
    let count = if staged.carried.some().is_empty() {
        insert_defaults(connection, plan, group.len())?
    } else {
        let sql = stage_statements::insert_plainly(&staged, plan);
        connection.client().execute(&sql, &staged.parameters())?
    };
    Ok(counted(plan, count, group))
}

/// Inserts rows that carry no column at all, which COPY has no syntax for.
fn insert_defaults(connection: &mut WriterConnection, plan: &Plan, rows: usize) -> Result<u64, Failure> {
    let sql = format!("INSERT INTO {} SELECT FROM pg_catalog.generate_series(1, $1::int8)", plan.target);
    connection.restore_settings()?;
    connection.note_functions(plan);
    let statement = connection.prepared(&sql)?;
    let rows = i64::try_from(rows).expect("a batch has fewer than 2^63 rows");
    Ok(connection.client().execute(&statement, &[&rows])?)
}
