//! The check of one file's table against the schema: what is right goes on, every mistake is noted.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::errors::dotted;
use super::schema::{Key, Kind, Schema};
use super::suggest;

/// What one layer gives: the values that are right, where keys were given, and what is wrong.
#[derive(Default)]
pub(super) struct Checked {
    /// The values that passed, as nested tables.
    pub values: Map<String, Value>,
    /// The keys given, right or wrong, in display form.
    pub given: Vec<String>,
    /// The problems: key in display form, words.
    pub problems: Vec<(String, String)>,
}

impl Checked {
    fn problem(&mut self, at: &[String], words: impl Into<String>) {
        self.problems.push((dotted(at), words.into()));
    }
}

/// Checks a whole file.
pub(super) fn table(schema: &Schema, table: Map<String, Value>) -> Checked {
    let mut checked = Checked::default();
    checked.values = section(schema, &mut checked, "", &[], table);
    checked
}

/// Checks a table whose keys are declared under `path`, while it stands at `at` in the file.
fn section(
    schema: &Schema,
    checked: &mut Checked,
    path: &str,
    at: &[String],
    table: Map<String, Value>,
) -> Map<String, Value> {
    let mut kept = Map::new();
    // The map's own order is random; errors come in a stable one.
    for (name, value) in BTreeMap::from_iter(table) {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let here: Vec<String> = at.iter().cloned().chain([name.clone()]).collect();
        // A quoted name with a dot in it is never a declared key.
        let declared = if name.contains('.') { None } else { schema.find(&below) };
        let value = match (declared, value.kind) {
            (Some(key), kind) => self::key(schema, checked, key, &here, kind),
            (None, ValueKind::Table(table)) if !name.contains('.') && schema.is_section(&below) => {
                Some(ValueKind::Table(section(schema, checked, &below, &here, table)))
            }
            (None, _) if schema.is_section(&below) => {
                checked.problem(&here, format!("is a section: write [{below}] and its keys below"));
                None
            }
            (None, _) => {
                let meant = suggest::path(schema, &below).map(|meant| {
                    let inside = meant.strip_prefix(path).and_then(|rest| rest.strip_prefix('.'));
                    inside.map_or_else(|| meant.to_owned(), |rest| dotted_below(at, rest))
                });
                checked.problem(&here, unknown(meant.as_deref()));
                None
            }
        };
        if let Some(value) = value {
            kept.insert(name, Value::new(None, value));
        }
    }
    kept
}

fn dotted_below(at: &[String], rest: &str) -> String {
    if at.is_empty() { rest.to_owned() } else { format!("{}.{rest}", dotted(at)) }
}

/// The words for an unknown key.
pub(super) fn unknown(meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("unknown key; did you mean {meant}?"),
        None => "unknown key".to_owned(),
    }
}

/// Checks the value of one key.
fn key(
    schema: &Schema,
    checked: &mut Checked,
    key: &Key,
    at: &[String],
    value: ValueKind,
) -> Option<ValueKind> {
    match (key.kind, value) {
        (Kind::Properties, ValueKind::Table(table)) => {
            let mut flat = Map::new();
            properties(checked, at, "", table, &mut flat);
            Some(ValueKind::Table(flat))
        }
        (Kind::Map(names), ValueKind::Table(table)) => Some(ValueKind::Table(map(checked, at, names, table))),
        (Kind::Tables(section), ValueKind::Table(table)) => {
            Some(ValueKind::Table(tables(schema, checked, at, section, table)))
        }
        (kind, value) => {
            checked.given.push(dotted(at));
            scalar(kind, value).map_err(|problem| checked.problem(at, problem)).ok()
        }
    }
}

/// Flattens nested tables to dotted names, and takes every scalar as text.
fn properties(
    checked: &mut Checked,
    at: &[String],
    prefix: &str,
    table: Map<String, Value>,
    flat: &mut Map<String, Value>,
) {
    for (name, value) in BTreeMap::from_iter(table) {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        if let ValueKind::Table(table) = value.kind {
            properties(checked, at, &name, table, flat);
            continue;
        }
        let here: Vec<String> = at.iter().cloned().chain([name.clone()]).collect();
        checked.given.push(dotted(&here));
        let text = match value.kind {
            ValueKind::String(text) => text,
            ValueKind::I64(number) => number.to_string(),
            ValueKind::Float(number) => number.to_string(),
            ValueKind::Boolean(truth) => truth.to_string(),
            other => {
                checked.problem(&here, format!("expected a string, found {}", found(&other)));
                continue;
            }
        };
        if flat.insert(name, Value::new(None, text)).is_some() {
            checked.problem(&here, "given twice, once quoted and once as a table");
        }
    }
}

fn map(
    checked: &mut Checked,
    at: &[String],
    names: &[&str],
    table: Map<String, Value>,
) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in BTreeMap::from_iter(table) {
        let here: Vec<String> = at.iter().cloned().chain([name.clone()]).collect();
        checked.given.push(dotted(&here));
        if !names.is_empty() && !names.contains(&name.as_str()) {
            checked.problem(&here, format!("unknown name; allowed: {}", names.join(", ")));
        } else if let ValueKind::Table(_) = value.kind {
            checked.problem(&here, "expected a string, found a table; quote a name that has dots");
        } else {
            match scalar(Kind::Text, value.kind) {
                Ok(value) => drop(kept.insert(name, Value::new(None, value))),
                Err(problem) => checked.problem(&here, problem),
            }
        }
    }
    kept
}

fn tables(
    schema: &Schema,
    checked: &mut Checked,
    at: &[String],
    path: &str,
    table: Map<String, Value>,
) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in BTreeMap::from_iter(table) {
        let here: Vec<String> = at.iter().cloned().chain([name.clone()]).collect();
        checked.given.push(dotted(&here));
        match value.kind {
            ValueKind::Table(table) => {
                let table = section(schema, checked, path, &here, table);
                kept.insert(name, Value::new(None, table));
            }
            other => checked
                .problem(&here, format!("expected a table with keys of [{path}], found {}", found(&other))),
        }
    }
    kept
}

/// Checks one value that is no map. The problem never shows free text, which could be a secret.
pub(super) fn scalar(kind: Kind, value: ValueKind) -> Result<ValueKind, String> {
    match (kind, value) {
        (Kind::Text, ValueKind::String(text)) if text.trim().is_empty() => Err("must not be empty".into()),
        (Kind::Text, value @ ValueKind::String(_)) | (Kind::Boolean, value @ ValueKind::Boolean(_)) => {
            Ok(value)
        }
        (Kind::Integer { min, max }, ValueKind::I64(number)) => {
            if (min..=max).contains(&number) {
                Ok(ValueKind::I64(number))
            } else if max == i64::MAX {
                Err(format!("{number} is too small: at least {min}"))
            } else {
                Err(format!("{number} is out of range: {min} to {max}"))
            }
        }
        (kind @ Kind::Float { .. }, ValueKind::I64(number)) => scalar(kind, ValueKind::Float(number as f64)),
        (Kind::Float { min, max }, ValueKind::Float(number)) => {
            let inside = (min..=max).contains(&number);
            if inside {
                Ok(ValueKind::Float(number))
            } else {
                Err(format!("{number} is out of range: {min} to {max}"))
            }
        }
        (Kind::Choice(choices), ValueKind::String(word)) => {
            if choices.contains(&word.as_str()) {
                return Ok(ValueKind::String(word));
            }
            let meant = suggest::nearest(&word, choices.iter().copied());
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant:?}?"));
            Err(format!("{word:?} is not one of {}{meant}", choices.join(", ")))
        }
        (Kind::List, ValueKind::Array(values)) => {
            let mut kept = Vec::with_capacity(values.len());
            for (index, value) in values.into_iter().enumerate() {
                let value = scalar(Kind::Text, value.kind)
                    .map_err(|problem| format!("element {index}: {problem}"))?;
                kept.push(Value::new(None, value));
            }
            Ok(ValueKind::Array(kept))
        }
        (kind, other) => Err(format!("expected {}, found {}", expected(kind), found(&other))),
    }
}

/// The words for what a key takes.
pub(super) fn expected(kind: Kind) -> String {
    match kind {
        Kind::Text => "a string".into(),
        Kind::Integer { .. } => "an integer".into(),
        Kind::Float { .. } => "a number".into(),
        Kind::Boolean => "true or false".into(),
        Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
        Kind::List => "a list of strings".into(),
        Kind::Properties | Kind::Map(_) | Kind::Tables(_) => "a table".into(),
    }
}

fn found(value: &ValueKind) -> &'static str {
    match value {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "a boolean",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "an integer",
        ValueKind::Float(_) => "a fraction",
        ValueKind::String(_) => "a string",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}
