//! What becomes of each row once it is known which keys exist. Pure.

use crate::batch::Skip;
use crate::batch::rows::{Op, Row, Rows, Tuple, duplicate, missing_field};
use crate::decode::Rejection;
use crate::table::plan::{Mode, Plan};

/// The fate of the rows of a batch, for one target.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    /// New keys: `(row, tuple)`.
    pub insert: Vec<(u32, Tuple)>,
    /// Keys that exist, in upsert mode: `(row, tuple)`.
    pub update: Vec<(u32, Tuple)>,
    /// Records that are skipped, by their number in the batch.
    pub skipped: Vec<(u32, Skip)>,
    /// Records that become dead letters.
    pub rejected: Vec<(u32, Rejection)>,
    /// At least one of the keys existed.
    pub conflicts: bool,
}

/// Whether the rows can be written without knowing which keys exist.
pub(crate) fn independent_of_existing(rows: &Rows) -> bool {
    let after_a_write = |row: &Row| row.after.is_some_and(|n| rows.rows()[n as usize].op == Op::Write);
    let depends = |row: &Row| row.incomplete || row.incomplete_before.is_some();
    rows.rows().iter().all(|row| row.op != Op::Write || (!depends(row) && !after_a_write(row)))
}

/// Decides the fate of the rows with these numbers, each the last of its key. `exists` returns whether the key of
/// one exists.
pub(crate) fn decide(plan: &Plan, rows: &Rows, numbers: &[u32], exists: impl Fn(u32) -> bool) -> Fates {
    let mut fates = Fates::default();
    for &number in numbers {
        let row = &rows.rows()[number as usize];
        if exists(number) {
            fates.conflicts = true;
            for before in chain(rows, row) {
                let skip = if plan.mode == Mode::Upsert { Skip::Superseded } else { Skip::Exists };
                fates.skipped.push((before.record, skip));
            }
            match plan.mode {
                Mode::Upsert => fates.update.push((number, row.if_exists.unwrap_or(row.tuple))),
                Mode::InsertIgnore => fates.skipped.push((row.record, Skip::Exists)),
                Mode::Insert => fates.rejected.push((row.record, duplicate(plan))),
            }
            continue;
        }
        for before in chain(rows, row) {
            fates.rejected.push((before.record, missing(plan, rows, before)));
        }
        if row.incomplete {
            fates.rejected.push((row.record, missing(plan, rows, row)));
        } else {
            fates.insert.push((number, row.tuple));
        }
    }
    fates
}

/// The row of `record` that another session inserted between the look-up and our insert.
pub(crate) fn overtaken(plan: &Plan, rows: &Rows, number: u32, fates: &mut Fates) {
    fates.conflicts = true;
    let record = rows.rows()[number as usize].record;
    match plan.mode {
        Mode::Insert => fates.rejected.push((record, duplicate(plan))),
        Mode::InsertIgnore | Mode::Upsert => fates.skipped.push((record, Skip::Exists)),
    }
    fates.insert.retain(|(n, _)| *n != number);
}

/// The incomplete rows of the same key that came before, latest first.
fn chain<'a>(rows: &'a Rows, row: &'a Row) -> impl Iterator<Item = &'a Row> {
    std::iter::successors(row.incomplete_before, |n| rows.rows()[*n as usize].incomplete_before)
        .map(|n| &rows.rows()[n as usize])
}

fn missing(plan: &Plan, rows: &Rows, row: &Row) -> Rejection {
    let column = rows.shapes().get(row.tuple.shape).missing;
    missing_field(plan, column.unwrap_or_else(|| first_required(plan)))
}

/// For a row whose merged tuple is complete although none of its records was.
fn first_required(plan: &Plan) -> usize {
    (0..plan.columns.len()).find(|&i| plan.required(i)).expect("an incomplete row lacks a required column")
}
