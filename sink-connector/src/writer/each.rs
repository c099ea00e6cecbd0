//! Rows that carry different columns, where no statement can write them all: a statement for each, which names just what
//! its record carries. The values are literals, so that many statements go in one round trip.

use postgres::SimpleQueryMessage;

use crate::batch::rows::{Rows, Tuple};
use crate::encode::write_text;
use crate::postgres::failure::Failure;
use crate::postgres::settings;
use crate::postgres::sql::{ident, literal};
use crate::table::plan::Plan;
use crate::writer::connection::WriterConnection;
use crate::writer::stage_statements::{newer, unchanged};

/// A message to the server ends after so many bytes.
const MESSAGE_BYTES: usize = 1 << 18;

/// Updates rows that exist, each by its key, and returns how many. Each carries a column outside the key.
pub(super) fn update(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    tuples: &[(u32, Tuple)],
) -> Result<u64, Failure> {
    execute(connection, plan, tuples.iter().map(|&(number, tuple)| update_one(plan, rows, number, tuple)))
}

/// Inserts rows in the order of their records, or updates those whose keys exist, and returns how many.
pub(super) fn upsert(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    tuples: &[(u32, Tuple)],
) -> Result<u64, Failure> {
    let mut in_order = tuples.to_vec();
    in_order.sort_unstable_by_key(|(number, _)| *number);
    execute(connection, plan, in_order.iter().map(|&(_, tuple)| upsert_one(plan, rows, tuple)))
}

/// Executes statements, and returns how many rows they wrote.
fn execute(
    connection: &mut WriterConnection,
    plan: &Plan,
    statements: impl Iterator<Item = String>,
) -> Result<u64, Failure> {
    connection.restore_settings()?;
    connection.note_functions(plan);
    // The literals of a statement are read after the functions of the one before have run.
    let between = if connection.reads_first(plan) { settings::restore() + ";" } else { String::new() };
    let of_rows = if between.is_empty() { 1 } else { 2 };
    let (mut written, mut message) = (0, String::with_capacity(MESSAGE_BYTES));
    let mut statements = statements.peekable();
    while let Some(statement) = statements.next() {
        message.push_str(&statement);
        message.push(';');
        message.push_str(&between);
        if message.len() < MESSAGE_BYTES && statements.peek().is_some() {
            continue;
        }
        let answers = connection.client().simple_query(&message)?;
        let counts = answers.iter().filter_map(|answer| match answer {
            SimpleQueryMessage::CommandComplete(rows) => Some(rows),
            _ => None,
        });
        written += counts.step_by(of_rows).sum::<u64>();
        message.clear();
    }
    connection.note_read(plan)?;
    Ok(written)
}

fn update_one(plan: &Plan, rows: &Rows, number: u32, tuple: Tuple) -> String {
    let values = carried(plan, rows, tuple);
    let set: Vec<String> = values
        .iter()
        .filter(|(column, _)| !plan.is_key(*column))
        .map(|(column, value)| format!("{} = {value}", ident(&plan.columns[*column].name)))
        .collect();
    let row = &rows.rows()[number as usize];
    let key: Vec<String> = rows
        .key_fields(plan, row)
        .map(|(column, field)| {
            format!("t.{} = {}", ident(&plan.columns[column].name), value(plan, column, Some(field)))
        })
        .collect();
    let version = |column: usize| {
        let found = values.iter().find(|(of, _)| *of == column);
        found.map_or_else(|| "NULL".to_owned(), |(_, value)| value.clone())
    };
    let newer = newer(plan, version).map(|newer| format!(" AND {newer}")).unwrap_or_default();
    format!("UPDATE {} t SET {} WHERE {}{newer}", plan.target, set.join(", "), key.join(" AND "))
}

fn upsert_one(plan: &Plan, rows: &Rows, tuple: Tuple) -> String {
    let carried = carried(plan, rows, tuple);
    let name = |column: usize| ident(&plan.columns[column].name);
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (column, value) in &carried {
        names.push(name(*column));
        values.push(value.clone());
    }
    // What is behind a view may have a default of its own, whatever other records carry.
    let null = |column: &usize| {
        let (of, carried) = (&plan.columns[*column], carried.iter().any(|(of, _)| of == column));
        plan.insert_only && !carried && of.default.is_none() && of.insertable
    };
    for column in (0..plan.columns.len()).filter(null) {
        names.push(name(column));
        values.push("NULL".to_owned());
    }
    let changed = carried.iter().map(|(column, _)| *column).filter(|column| !plan.is_key(*column));
    let mut set: Vec<String> = changed.map(name).map(|name| format!("{name} = excluded.{name}")).collect();
    if set.is_empty() {
        set = unchanged(plan);
    }
    let conflict = if set.is_empty() {
        "NOTHING".to_owned()
    } else {
        let newer = newer(plan, |column| format!("excluded.{}", name(column)));
        let newer = newer.map(|newer| format!(" WHERE {newer}")).unwrap_or_default();
        format!("UPDATE SET {}{newer}", set.join(", "))
    };
    let keys: Vec<String> = plan.key_columns().map(|column| ident(&column.name)).collect();
    let overriding = if plan.overrides_identity() { " OVERRIDING SYSTEM VALUE" } else { "" };
    format!(
        "INSERT INTO {} AS t ({}){overriding} VALUES ({}) ON CONFLICT ({}) DO {conflict}",
        plan.target,
        names.join(", "),
        values.join(", "),
        keys.join(", ")
    )
}

/// What a record carries: columns and literals.
fn carried(plan: &Plan, rows: &Rows, tuple: Tuple) -> Vec<(usize, String)> {
    let present = &rows.shapes().get(tuple.shape).present;
    let fields = rows.fields(tuple).filter(|(column, _)| present.contains(*column));
    fields.map(|(column, field)| (column, value(plan, column, field))).collect()
}

/// A value as a literal, for the target's assignment to check: it refuses what a cast to a type with a modifier would cut off.
fn value(plan: &Plan, column: usize, field: Option<&[u8]>) -> String {
    let Some(field) = field else { return "NULL".to_owned() };
    let column = &plan.columns[column];
    let mut text = Vec::new();
    write_text(&column.kind, field, &mut text);
    let text = String::from_utf8(text).expect("values come from JSON, which is UTF-8");
    format!("{}::{}", literal(&text), column.unconstrained_type.as_ref().unwrap_or(&column.base_type_name))
}
