//! Deletes the keys of tombstones, all those of a round in one statement.

use std::collections::HashMap;

use crate::batch::Skip;
use crate::batch::rows::{Op, Rows};
use crate::postgres::failure::Failure;
use crate::table::plan::Plan;
use crate::writer::apply::Applied;
use crate::writer::connection::WriterConnection;
use crate::writer::key_parameters::key_parameters;
use crate::writer::statements;

/// Deletes the keys of the rows with these `numbers`, which are in the order of their keys.
pub(crate) fn delete(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    numbers: &[u32],
    applied: &mut Applied,
) -> Result<(), Failure> {
    if numbers.is_empty() {
        return Ok(());
    }
    connection.restore_settings()?;
    connection.note_functions(plan);
    let statement = connection.prepared(&statements::delete(plan))?;
    let arrays = key_parameters(plan, rows, numbers);
    let found = connection.client().query(&statement, &arrays.as_parameters())?;
    // By place in the arrays, which count from 1: whether the row that was found is gone.
    let gone: HashMap<i32, bool> = found.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (place, &number) in (1..).zip(numbers) {
        let row = &rows.rows()[number as usize];
        match (gone.get(&place), row.op) {
            (Some(true), _) | (None, Op::Delete { certain: true }) => applied.deleted += 1,
            (Some(false), _) => applied.skipped.push((row.record, Skip::Trigger)),
            (None, _) => applied.skipped.push((row.record, Skip::Absent)),
        }
    }
    Ok(())
}
