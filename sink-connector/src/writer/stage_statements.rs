//! The SQL that brings staged rows into the target, for one plan. In it, `t` is the target and `s` the staged rows.

use crate::postgres::sql::ident;
use crate::table::catalog::{Column, ColumnDefault};
use crate::table::plan::{Mode, Plan};
use crate::writer::stage::Staged;
use crate::writer::statements::may_lack_equality;

/// A condition that every staged row meets, but, as the planner estimates, hardly one in thousands. It then reads the index
/// of the target once for each staged row, in their order. Without it, it reads the whole table for a batch of thousands.
const FEW: &str = "s.o % 1 = 0 AND s.o | 0 = s.o";

/// The same as [`update`], and returns the numbers of the rows that were written.
pub(crate) fn update_returning(staged: &Staged, plan: &Plan) -> String {
    format!("{} RETURNING s.o", update(staged, plan))
}

/// Writes staged rows of keys that exist. Each changes the columns that it carries; at least one is outside the key.
pub(crate) fn update(staged: &Staged, plan: &Plan) -> String {
    let set: Vec<String> = changed(staged, plan)
        .map(|n| {
            let (name, value) = (ident(&plan.columns[n].name), format!("s.c{n}"));
            match carries(staged, n) {
                None => format!("{name} = {value}"),
                Some(carries) => format!("{name} = CASE WHEN {carries} THEN {value} ELSE t.{name} END"),
            }
        })
        .collect();
    let newer = newer(plan, staged_column).map(|newer| format!(" AND {newer}")).unwrap_or_default();
    format!(
        "UPDATE {} t SET {} FROM {} s WHERE {}{newer}",
        plan.target,
        set.join(", "),
        staged.source,
        target_is_staged(plan)
    )
}

/// Whether a staged update changes what keeps other rows out (of a unique index beside the key's, say); `None` when it
/// cannot.
pub(crate) fn releases(staged: &Staged, plan: &Plan) -> Option<String> {
    let columns: Vec<String> = plan
        .exclusive
        .iter()
        .filter(|column| staged.carried.some().contains(**column))
        .map(|&n| {
            let (column, name) = (&plan.columns[n], ident(&plan.columns[n].name));
            // json, points and others have no equality; an index over an expression may read them all the same.
            let of = if may_lack_equality(&column.kind) { "::pg_catalog.text" } else { "" };
            let carries = carries(staged, n).map(|carries| format!("{carries} AND ")).unwrap_or_default();
            format!("{carries}t.{name}{of} IS DISTINCT FROM s.c{n}{of}")
        })
        .collect();
    if columns.is_empty() {
        return None;
    }
    Some(format!(
        "SELECT EXISTS (SELECT 1 FROM {} s JOIN {} t ON {} WHERE {})",
        staged.source,
        plan.target,
        target_is_staged(plan),
        columns.join(" OR ")
    ))
}

/// Inserts staged rows; the unique index refuses keys that exist.
pub(crate) fn insert_plainly(staged: &Staged, plan: &Plan) -> String {
    insert_into(staged, plan)
}

/// Inserts staged rows whatever others do meanwhile. In upsert mode a key that has appeared is updated; otherwise
/// the result is a row with the number of rows inserted, and one with the ordinal of each whose key is not among them.
pub(crate) fn insert(staged: &Staged, plan: &Plan) -> String {
    let keys: Vec<String> = plan.key_columns().map(|c| ident(&c.name)).collect();
    let keys = keys.join(", ");
    let insert = format!("{} ON CONFLICT ({keys})", insert_into(staged, plan));
    if plan.mode != Mode::Upsert {
        return format!(
            "WITH inserted AS ({insert} DO NOTHING RETURNING {keys}) \
             SELECT NULL::pg_catalog.int4, count(*) FROM inserted UNION ALL \
             SELECT s.o, NULL FROM {} s WHERE NOT EXISTS (SELECT 1 FROM inserted i WHERE {})",
            staged.source,
            key_is_staged(plan, "i")
        );
    }
    let newer = newer(plan, |n| format!("excluded.{}", ident(&plan.columns[n].name)));
    let newer = newer.map(|newer| format!(" WHERE {newer}")).unwrap_or_default();
    match set_from_excluded(staged, plan) {
        Some(set) => format!("{insert} DO UPDATE SET {set}{newer}"),
        None => format!("{insert} DO NOTHING"),
    }
}

/// What an upsert sets in a row that is there. `excluded` is the row that was to be inserted, with defaults where the
/// record carries nothing: the staged row of its key distinguishes them from values. `None` if no column
/// can be set at all.
fn set_from_excluded(staged: &Staged, plan: &Plan) -> Option<String> {
    let excluded = |name: &String| format!("{name} = excluded.{name}");
    let name = |n: usize| ident(&plan.columns[n].name);
    let (varying, always): (Vec<usize>, Vec<usize>) =
        changed(staged, plan).partition(|n| carries(staged, *n).is_some());
    let mut set: Vec<String> = always.into_iter().map(name).map(|name| excluded(&name)).collect();
    let excluded_key = key_columns(plan, |n| format!("excluded.{}", name(n)));
    let staged_key = key_columns(plan, staged_column);
    // Not correlated: the server reads the staged rows once for each column, and hashes their keys.
    let is_staged = |condition: &str| {
        format!("({excluded_key}) IN (SELECT {staged_key} FROM {} s{condition})", staged.source)
    };
    for (place, n) in varying.into_iter().enumerate() {
        let (name, carries) = (name(n), carries(staged, n).expect("it varies"));
        let carried = is_staged(&format!(" WHERE {carries}"));
        // A row whose key a trigger has changed fails here, because empty bytes have no bit, and is written alone afterwards.
        let kept = match place {
            0 => format!(
                "WHEN {} OR pg_catalog.get_bit(''::pg_catalog.bytea, (({excluded_key}) IS NULL)::pg_catalog.int4) = 1 \
                 THEN t.{name}",
                is_staged("")
            ),
            _ => format!("ELSE t.{name}"),
        };
        set.push(format!("{name} = CASE WHEN {carried} THEN excluded.{name} {kept} END"));
    }
    if set.is_empty() {
        set = unchanged(plan);
    }
    if set.is_empty() { None } else { Some(set.join(", ")) }
}

/// What an upsert sets in a row that is there if its record carries only the key. Nothing changes; but a row counts, and one
/// that a trigger refuses does not. Empty if no column can be set at all.
pub(crate) fn unchanged(plan: &Plan) -> Vec<String> {
    // An identity cannot be set, not even to its own value.
    let settable = |column: &&Column| !column.identity_always;
    let keys = plan.key_columns().filter(settable).map(|column| ident(&column.name));
    let set: Vec<String> = keys.map(|name| format!("{name} = excluded.{name}")).collect();
    if !set.is_empty() {
        return set;
    }
    let other = plan.columns.iter().find(settable).map(|column| ident(&column.name));
    other.map(|name| format!("{name} = t.{name}")).into_iter().collect()
}

/// `INSERT … SELECT` of staged rows, in the order of their records. A record gets the default of a column that it does
/// not carry.
fn insert_into(staged: &Staged, plan: &Plan) -> String {
    let carried = staged.carried.some();
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (n, column) in plan.columns.iter().enumerate() {
        if carried.contains(n) {
            values.push(match (carries(staged, n), &column.default) {
                (
                    Some(carries),
                    Some(
                        ColumnDefault::Expression(default)
                        | ColumnDefault::Independent(default)
                        | ColumnDefault::Constant { expression: default, .. },
                    ),
                ) => {
                    let of_type = column.unconstrained_type.as_ref().unwrap_or(&column.base_type_name);
                    format!("CASE WHEN {carries} THEN s.c{n} ELSE ({default})::{of_type} END")
                }
                _ => format!("s.c{n}"),
            });
        } else if plan.insert_only && column.default.is_none() && column.insertable {
            // What is behind a view may have a default of its own, whatever the other records carry.
            values.push("NULL".to_owned());
        } else {
            continue;
        }
        names.push(ident(&column.name));
    }
    let overriding = if plan.overrides_identity() { " OVERRIDING SYSTEM VALUE" } else { "" };
    format!(
        "INSERT INTO {} AS t ({}){overriding} SELECT {} FROM {} s ORDER BY s.o",
        plan.target,
        names.join(", "),
        values.join(", "),
        staged.source
    )
}

/// That a staged row carries this column; `None` if all of them do.
fn carries(staged: &Staged, column: usize) -> Option<String> {
    Some(format!("pg_catalog.get_bit(s.p, {}) = 1", staged.carried.place(column)?))
}

/// Columns that staged rows change in rows that exist.
fn changed<'a>(staged: &'a Staged, plan: &'a Plan) -> impl Iterator<Item = usize> + 'a {
    staged.carried.some().iter().filter(|column| !plan.is_key(*column))
}

/// That the version of a row is not older than that of row `t`, if the plan has one.
pub(crate) fn newer(plan: &Plan, column: impl Fn(usize) -> String) -> Option<String> {
    let version = plan.version?.column;
    let (stored, new) = (ident(&plan.columns[version].name), column(version));
    Some(format!("(t.{stored} IS NULL OR {new} >= t.{stored})"))
}

fn staged_column(column: usize) -> String {
    format!("s.c{column}")
}

/// That a row of the target has the key of row `s`. How the server reads a foreign table is not the sink's to decide.
fn target_is_staged(plan: &Plan) -> String {
    let key = key_is_staged(plan, "t");
    if plan.table_oid.is_some() { format!("{key} AND {FEW}") } else { key }
}

/// That row `row` has the key of row `s`.
fn key_is_staged(plan: &Plan, row: &str) -> String {
    let key = plan.key.iter().flat_map(|key| &key.columns);
    let equal: Vec<String> =
        key.map(|&n| format!("{row}.{} = s.c{n}", ident(&plan.columns[n].name))).collect();
    equal.join(" AND ")
}

/// The key columns, as `column` writes them.
fn key_columns(plan: &Plan, column: impl Fn(usize) -> String) -> String {
    let columns: Vec<String> = plan.key.iter().flat_map(|key| &key.columns).map(|n| column(*n)).collect();
    columns.join(", ")
}
