//! Inserts rows by INSERT … ON CONFLICT: their keys may exist, or appear meanwhile.

use crate::batch::rows::{Rows, Tuple};
use crate::batch::shape::Carried;
use crate::encode::Kind;
use crate::postgres::failure::Failure;
use crate::table::plan::{Mode, Plan};
use crate::writer::apply::{MAX_GROUPS, counted, grouped, lookup};
use crate::writer::connection::WriterConnection;
use crate::writer::keyed::{self, Fates};
use crate::writer::{each, stage_statements};

/// The most columns that some of the staged rows carry and others do not, in one INSERT … ON CONFLICT: it keeps the keys once
/// for each.
const MAX_VARYING: usize = 64;

/// The rows to upsert, in groups that one statement each can write; `None` if a statement for each row is cheaper.
fn upsert_groups(plan: &Plan, rows: &Rows, tuples: &[(u32, Tuple)]) -> Option<Vec<Vec<(u32, Tuple)>>> {
    let alike = grouped(rows, tuples, |shape| &shape.present);
    if alike.len() <= MAX_GROUPS {
        return Some(alike);
    }
    let carried = Carried::by(tuples.iter().map(|(_, tuple)| rows.shapes().get(tuple.shape)));
    // Keys of other types may have no hash.
    let known = plan.key_columns().all(|column| !matches!(column.kind, Kind::Input(_) | Kind::Array(_)));
    let apart = plan.unnamed_defaults.union(&plan.named_if_carried);
    let groups = grouped(rows, tuples, |shape| shape.present.intersection(&apart));
    (known && carried.varying().len() <= MAX_VARYING && groups.len() <= MAX_GROUPS).then_some(groups)
}

/// Inserts rows whose keys may appear meanwhile, and returns how many; `None` when they do not become what they are.
pub(super) fn insert_staged(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    fates: &mut Fates,
) -> Result<Option<u64>, Failure> {
    let tuples = fates.insert.clone();
    let groups = match plan.mode {
        Mode::Upsert => upsert_groups(plan, rows, &tuples),
        Mode::Insert | Mode::InsertIgnore => {
            Some(grouped(rows, &tuples, |shape| shape.present.intersection(&plan.unnamed_defaults)))
        }
    };
    let Some(groups) = groups else {
        return Ok(Some(counted(plan, each::upsert(connection, plan, rows, &tuples)?, &tuples)));
    };
    let mut written = 0;
    for group in groups {
        let staged = connection.stage(plan, rows, &group)?;
        let sql = stage_statements::insert(&staged, plan);
        let alone = group.len() == 1;
        connection.note_functions(plan);
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
