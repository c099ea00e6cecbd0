//! The SQL about keys that are given as arrays, for one plan.

use crate::encode::Kind;
use crate::postgres::sql::ident;
use crate::table::catalog::Column;
use crate::table::plan::{Mode, Plan};

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
    // Qualified: the target may have columns of these names.
    let names: Vec<String> = key_names(plan).iter().map(|name| format!("u.{name}")).collect();
    let names = names.join(", ");
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
    // A sub-select hides the number of keys from the planner. Else it would read the whole index for as long as it plans each
    // execution.
    let arrays: Vec<String> = plan
        .key_columns()
        .zip(1..)
        .map(|(c, n)| {
            format!("(SELECT ${n}::{}[])", if looks_up_text(c) { "text" } else { &c.base_type_name })
        })
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

/// Whether the server may have no `=` for values of a type.
pub(crate) fn may_lack_equality(kind: &Kind) -> bool {
    matches!(kind, Kind::Json | Kind::Array(_)) || !kind.is_binary()
}
