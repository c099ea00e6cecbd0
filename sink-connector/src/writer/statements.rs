//! The SQL of the careful rungs, for one plan.

use crate::batch::shape::Shape;
use crate::encode::Kind;
use crate::postgres::sql::ident;
use crate::table::catalog::Column;
use crate::table::plan::{Mode, Plan};
use crate::writer::copy::ORDINAL;

/// Which of the keys given as arrays exist, by their place in the arrays. An upsert locks the rows that it will
/// change, in the order of the keys, so that two writers cannot wait for each other.
pub(crate) fn lookup(plan: &Plan) -> String {
    let (keys, equal, target) = (unnested(plan), equal_to_unnested(plan), &plan.target);
    match plan.mode {
        Mode::Upsert => format!(
            "SELECT u.ordinal::int4 FROM {keys} JOIN {target} t ON {equal} ORDER BY u.ordinal FOR NO KEY UPDATE OF t"
        ),
        Mode::Insert | Mode::InsertIgnore => format!(
            "SELECT u.ordinal::int4 FROM {keys} WHERE EXISTS (SELECT 1 FROM {target} t WHERE {equal})"
        ),
    }
}

/// Whether a key column's values are looked up by their text: there is no array of arrays, and what has no encoder
/// has nothing but text.
pub(crate) fn looks_up_text(column: &Column) -> bool {
    !column.kind.is_binary() || matches!(column.kind, Kind::Array(_))
}

/// Deletes the keys given as arrays. For each that was there: its place in the arrays, and whether it is gone (a
/// trigger may keep it). They are locked in their order, where the mode needs the privilege for that anyway.
pub(crate) fn delete(plan: &Plan) -> String {
    let (keys, equal, target) = (unnested(plan), equal_to_unnested(plan), &plan.target);
    let names = key_names(plan).join(", ");
    let lock = if plan.mode == Mode::Upsert { " FOR UPDATE OF t" } else { "" };
    format!(
        "WITH u AS MATERIALIZED (SELECT u.ordinal, {names} FROM {keys} JOIN {target} t ON {equal} ORDER BY u.ordinal{lock}), \
         gone AS (DELETE FROM {target} t USING u WHERE {equal} RETURNING u.ordinal) \
         SELECT u.ordinal::int4, gone.ordinal IS NOT NULL FROM u LEFT JOIN gone USING (ordinal)"
    )
}

/// How many of the keys given as arrays differ for the server.
pub(crate) fn count_keys(plan: &Plan) -> String {
    // No row of the target takes part; but its columns lend the keys their collations.
    let keys: Vec<String> = plan
        .key_columns()
        .zip(key_values(plan))
        .map(|(c, value)| format!("coalesce(t.{}, {value})", ident(&c.name)))
        .collect();
    format!(
        "SELECT count(*) FROM (SELECT DISTINCT {} FROM {} LEFT JOIN {} t ON false) k",
        keys.join(", "),
        unnested(plan),
        plan.target
    )
}

fn key_names(plan: &Plan) -> Vec<String> {
    (1..=plan.key_columns().count()).map(|n| format!("k{n}")).collect()
}

/// The keys given as arrays, as rows `u` of `k1`, `k2` … and `ordinal`.
fn unnested(plan: &Plan) -> String {
    let arrays: Vec<String> = plan
        .key_columns()
        .zip(1..)
        .map(|(c, n)| format!("${n}::{}[]", if looks_up_text(c) { "text" } else { &c.base_type_name }))
        .collect();
    format!("unnest({}) WITH ORDINALITY u({}, ordinal)", arrays.join(", "), key_names(plan).join(", "))
}

/// The values of a row `u`, each of its column's type.
fn key_values(plan: &Plan) -> Vec<String> {
    plan.key_columns()
        .zip(key_names(plan))
        .map(|(c, name)| match looks_up_text(c) {
            true => format!("u.{name}::{}", c.base_type_name),
            false => format!("u.{name}"),
        })
        .collect()
}

/// That row `t` of the target has the key of row `u`.
fn equal_to_unnested(plan: &Plan) -> String {
    let equal: Vec<String> = plan
        .key_columns()
        .zip(key_values(plan))
        .map(|(c, value)| format!("t.{} = {value}", ident(&c.name)))
        .collect();
    equal.join(" AND ")
}

/// A staging table for the plan: its columns without its constraints, those of domains included, and which row of the
/// batch each one is.
pub(crate) fn create_stage(stage: &str, plan: &Plan) -> String {
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

/// Whether a record of this shape changes anything in a row that exists.
pub(crate) fn updates(plan: &Plan, shape: &Shape) -> bool {
    changed(plan, shape).next().is_some()
}

/// Writes staged rows of keys that exist, for a shape that [`updates`].
pub(crate) fn update(stage: &str, plan: &Plan, shape: &Shape) -> String {
    let set: Vec<String> = changed(plan, shape).map(|c| format!("{c} = s.{c}")).collect();
    let newer = newer(plan, "s").map(|newer| format!(" AND {newer}")).unwrap_or_default();
    format!(
        "UPDATE {} t SET {} FROM {stage} s WHERE {}{newer}",
        plan.target,
        set.join(", "),
        key_equality(plan, "t", "s")
    )
}

/// Whether a staged update changes what keeps other rows out (of a unique index beside the key's, say); `None` when
/// rows of this shape cannot.
pub(crate) fn releases(stage: &str, plan: &Plan, shape: &Shape) -> Option<String> {
    let columns: Vec<String> = plan
        .exclusive
        .iter()
        .filter(|column| shape.present.contains(**column))
        .map(|column| {
            let (column, name) = (&plan.columns[*column], ident(&plan.columns[*column].name));
            // json, points and others have no equality; an index over an expression may read them all the same.
            let of = if may_lack_equality(&column.kind) { "::text" } else { "" };
            format!("t.{name}{of} IS DISTINCT FROM s.{name}{of}")
        })
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

/// Whether the server may have no `=` for values of a type.
fn may_lack_equality(kind: &Kind) -> bool {
    matches!(kind, Kind::Json | Kind::Array(_)) || !kind.is_binary()
}

/// Inserts staged rows where COPY cannot.
pub(crate) fn insert_plainly(stage: &str, plan: &Plan, shape: &Shape) -> String {
    let columns: Vec<String> =
        shape.columns.iter().map(|&c| ident(&plan.columns[usize::from(c)].name)).collect();
    let columns = columns.join(", ");
    let (target, ordinal) = (&plan.target, ident(ORDINAL));
    format!("INSERT INTO {target} ({columns}) SELECT {columns} FROM {stage} s ORDER BY {ordinal}")
}

/// Inserts staged rows whatever others do meanwhile. In upsert mode a key that has appeared is updated; otherwise
/// the result is a row with the number of rows inserted, and one with the ordinal of each whose key is not among them.
pub(crate) fn insert(stage: &str, plan: &Plan, shape: &Shape) -> String {
    let columns: Vec<String> =
        shape.columns.iter().map(|&c| ident(&plan.columns[usize::from(c)].name)).collect();
    let columns = columns.join(", ");
    let keys: Vec<String> = plan.key_columns().map(|c| ident(&c.name)).collect();
    let keys = keys.join(", ");
    let (target, ordinal) = (&plan.target, ident(ORDINAL));
    let insert = format!(
        "INSERT INTO {target} AS t ({columns}) SELECT {columns} FROM {stage} s ORDER BY {ordinal} ON CONFLICT ({keys})"
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
    let newer = newer(plan, "excluded").map(|newer| format!(" WHERE {newer}")).unwrap_or_default();
    format!("{insert} DO UPDATE SET {}{newer}", set.join(", "))
}

/// That the version of row `from` is not older than that of row `t` of the target, if the plan has one.
fn newer(plan: &Plan, from: &str) -> Option<String> {
    let column = ident(&plan.columns[plan.version?.column].name);
    Some(format!("(t.{column} IS NULL OR {from}.{column} >= t.{column})"))
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
