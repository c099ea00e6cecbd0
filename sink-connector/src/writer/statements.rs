//! The SQL of the careful rungs, for one plan.

use crate::batch::shape::Shape;
use crate::catalog::Column;
use crate::encode::Kind;
use crate::plan::{Mode, Plan};
use crate::sql::ident;
use crate::writer::copy::ORDINAL;

/// Which of the keys given as arrays exist, by their place in the arrays. An upsert locks the rows that it will
/// change, in the order of the keys, so that two writers cannot wait for each other; where keys of different bytes may
/// be equal for the server, it also says which row each key is.
pub fn lookup(plan: &Plan) -> String {
    let keys: Vec<_> = plan.key_columns().collect();
    let arrays: Vec<String> = keys
        .iter()
        .zip(1..)
        .map(|(c, n)| format!("${n}::{}[]", if looks_up_text(c) { "text" } else { &c.base_type_name }))
        .collect();
    let names: Vec<String> = (1..=keys.len()).map(|n| format!("k{n}")).collect();
    let equal: Vec<String> = keys
        .iter()
        .zip(&names)
        .map(|(c, name)| {
            let cast = if looks_up_text(c) { format!("::{}", c.base_type_name) } else { String::new() };
            format!("t.{} = u.{name}{cast}", ident(&c.name))
        })
        .collect();
    let source = format!("unnest({}) WITH ORDINALITY u({}, ordinal)", arrays.join(", "), names.join(", "));
    let (target, equal) = (&plan.target, equal.join(" AND "));
    match plan.mode {
        Mode::Upsert => format!(
            "SELECT u.ordinal::int4{} FROM {source} JOIN {target} t ON {equal} ORDER BY u.ordinal \
             FOR NO KEY UPDATE OF t",
            if is_loose(plan) { ", t.tableoid::text || t.ctid::text" } else { "" }
        ),
        Mode::Insert | Mode::InsertIgnore => format!(
            "SELECT u.ordinal::int4 FROM {source} WHERE EXISTS (SELECT 1 FROM {target} t WHERE {equal})"
        ),
    }
}

/// Whether a key column's values are looked up by their text: there is no array of arrays, and what has no encoder
/// has nothing but text.
pub fn looks_up_text(column: &Column) -> bool {
    !column.kind.is_binary() || matches!(column.kind, Kind::Array(_))
}

/// A staging table for the plan: its columns without its constraints, those of domains included, and which row of the
/// batch each one is.
pub fn create_stage(stage: &str, plan: &Plan) -> String {
    let columns: Vec<String> = plan
        .columns
        .iter()
        .map(|c| match (ident(&c.name), &c.unconstrained_type) {
            (name, Some(unconstrained)) => format!("{name}::{unconstrained} AS {name}"),
            (name, None) => name,
        })
        .collect();
    format!(
        "CREATE TEMP TABLE {stage} ON COMMIT DELETE ROWS AS SELECT 0::int4 AS {}, {} FROM {} WITH NO DATA",
        ident(ORDINAL),
        columns.join(", "),
        plan.target
    )
}

/// Writes staged rows of keys that exist; `None` when the shape has nothing beside the key.
pub fn update(stage: &str, plan: &Plan, shape: &Shape) -> Option<String> {
    let set: Vec<String> = changed(plan, shape).map(|c| format!("{c} = s.{c}")).collect();
    if set.is_empty() {
        return None;
    }
    Some(format!(
        "UPDATE {} t SET {} FROM {stage} s WHERE {}",
        plan.target,
        set.join(", "),
        key_equality(plan, "t", "s")
    ))
}

/// Whether keys of different bytes may be equal for the server.
pub fn is_loose(plan: &Plan) -> bool {
    plan.key.as_ref().is_some_and(|key| key.loose)
}

/// Whether a staged update changes what keeps other rows out (of a unique index beside the key's, say); `None` when
/// rows of this shape cannot.
pub fn releases(stage: &str, plan: &Plan, shape: &Shape) -> Option<String> {
    let columns: Vec<String> = plan
        .exclusive
        .iter()
        .filter(|column| shape.present.contains(**column))
        .map(|column| ident(&plan.columns[*column].name))
        .map(|c| format!("t.{c} IS DISTINCT FROM s.{c}"))
        .collect();
    if columns.is_empty() {
        return None;
    }
    Some(format!(
        "SELECT EXISTS (SELECT 1 FROM {stage} s JOIN {} t ON {} WHERE {})",
        plan.target,
        key_equality(plan, "t", "s"),
        columns.join(" OR ")
    ))
}

/// Inserts staged rows where COPY cannot.
pub fn insert_plainly(stage: &str, plan: &Plan, shape: &Shape) -> String {
    let columns: Vec<String> =
        shape.columns.iter().map(|&c| ident(&plan.columns[usize::from(c)].name)).collect();
    let columns = columns.join(", ");
    let (target, ordinal) = (&plan.target, ident(ORDINAL));
    format!("INSERT INTO {target} ({columns}) SELECT {columns} FROM {stage} ORDER BY {ordinal}")
}

/// Inserts staged rows whatever others do meanwhile. In upsert mode a key that has appeared is updated; otherwise
/// the result is a row with the number of rows inserted, and one with the ordinal of each whose key is not among them.
pub fn insert(stage: &str, plan: &Plan, shape: &Shape) -> String {
    let columns: Vec<String> =
        shape.columns.iter().map(|&c| ident(&plan.columns[usize::from(c)].name)).collect();
    let columns = columns.join(", ");
    let keys: Vec<String> = plan.key_columns().map(|c| ident(&c.name)).collect();
    let keys = keys.join(", ");
    let (target, ordinal) = (&plan.target, ident(ORDINAL));
    let insert = format!(
        "INSERT INTO {target} ({columns}) SELECT {columns} FROM {stage} ORDER BY {ordinal} ON CONFLICT ({keys})"
    );
    if plan.mode != Mode::Upsert {
        return format!(
            "WITH inserted AS ({insert} DO NOTHING RETURNING {keys}) \
             SELECT NULL::int4, count(*) FROM inserted UNION ALL \
             SELECT s.{ordinal}, NULL FROM {stage} s WHERE NOT EXISTS (SELECT 1 FROM inserted i WHERE {})",
            key_equality(plan, "i", "s")
        );
    }
    let mut set: Vec<String> = changed(plan, shape).map(|c| format!("{c} = excluded.{c}")).collect();
    if set.is_empty() {
        // Nothing changes; but a row counts, and one that a trigger refuses does not.
        set = plan.key_columns().map(|c| ident(&c.name)).map(|c| format!("{c} = excluded.{c}")).collect();
    }
    format!("{insert} DO UPDATE SET {}", set.join(", "))
}

/// Columns that a record of this shape changes in a row that exists, quoted.
fn changed<'a>(plan: &'a Plan, shape: &'a Shape) -> impl Iterator<Item = String> + 'a {
    let key = plan.key.as_ref().map_or(&[][..], |key| &key.columns);
    (0..plan.columns.len())
        .filter(|c| shape.present.contains(*c) && !key.contains(c))
        .map(|c| ident(&plan.columns[c].name))
}

fn key_equality(plan: &Plan, left: &str, right: &str) -> String {
    let equal: Vec<String> =
        plan.key_columns().map(|c| ident(&c.name)).map(|c| format!("{left}.{c} = {right}.{c}")).collect();
    equal.join(" AND ")
}
