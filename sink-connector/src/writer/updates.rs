//! Updates rows that exist.

use crate::batch::rows::{Rows, Tuple};
use crate::postgres::failure::Failure;
use crate::table::plan::Plan;
use crate::writer::apply::{MAX_GROUPS, changes, counted, grouped};
use crate::writer::connection::WriterConnection;
use crate::writer::keyed::Fates;
use crate::writer::stage::Staged;
use crate::writer::{each, stage_statements};

/// Updates rows that exist, and returns how many; `None` when one gives up what may keep another row of these out:
/// applied one by one, that other row might be refused.
pub(super) fn update(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    fates: &Fates,
) -> Result<Option<u64>, Failure> {
    let alone = fates.update.len() + fates.insert.len() == 1;
    let (update, unchanged): (Vec<_>, Vec<_>) =
        fates.update.iter().copied().partition(|(_, tuple)| changes(plan, rows.shapes().get(tuple.shape)));
    let mut written = unchanged.len() as u64;
    let groups = grouped(rows, &update, |shape| shape.present.intersection(&plan.named_if_carried));
    if groups.len() > MAX_GROUPS {
        if carry_exclusive(plan, rows, &update) {
            let staged = connection.stage(plan, rows, &update)?;
            if releases(connection, plan, &staged)? {
                return Ok(None);
            }
        }
        written += counted(plan, each::update(connection, plan, rows, &update)?, &update);
        return Ok(Some(written));
    }
    for group in groups {
        let staged = connection.stage(plan, rows, &group)?;
        if !alone && releases(connection, plan, &staged)? {
            return Ok(None);
        }
        let sql = stage_statements::update(&staged, plan);
        connection.note_functions(plan);
        written += counted(plan, connection.client().execute(&sql, &staged.parameters())?, &group);
    }
    Ok(Some(written))
}

/// Whether a row carries a column in which rows can keep each other out.
fn carry_exclusive(plan: &Plan, rows: &Rows, tuples: &[(u32, Tuple)]) -> bool {
    let present = |column: &usize| {
        tuples.iter().any(|(_, tuple)| rows.shapes().get(tuple.shape).present.contains(*column))
    };
    plan.exclusive.iter().any(present)
}

/// Whether a staged update gives up what may keep another row out.
fn releases(connection: &mut WriterConnection, plan: &Plan, staged: &Staged) -> Result<bool, Failure> {
    match stage_statements::releases(staged, plan) {
        Some(releases) => Ok(connection.client().query_one(&releases, &staged.parameters())?.get(0)),
        None => Ok(false),
    }
}
