//! Checks the table of one file against the schema, and collects every error.

use toml::{Table, Value};

use super::errors::{Problem, dotted};
use super::schema::{Key, Kind, Schema};
use super::suggest;

/// The result of one layer.
#[derive(Default)]
pub(super) struct Checked {
    /// The valid values, as nested tables.
    pub values: Table,
    /// The problems, with their keys in display form.
    pub problems: Vec<(String, Problem)>,
}

impl Checked {
    fn problem(&mut self, at: &[String], problem: Problem) {
        self.problems.push((dotted(at), problem));
    }
}

pub(super) fn table(schema: &Schema, table: Table) -> Checked {
    let mut checked = Checked::default();
    checked.values = section(schema, &mut checked, "", &[], table);
    checked
}

fn below(at: &[String], name: &str) -> Vec<String> {
    at.iter().cloned().chain([name.to_owned()]).collect()
}

/// Checks the table at `at` in the file, whose keys are declared under `path`.
fn section(schema: &Schema, checked: &mut Checked, path: &str, at: &[String], table: Table) -> Table {
    let mut kept = Table::new();
    for (name, value) in table {
        let declared = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let here = below(at, &name);
        // A quoted name with a dot in it is never a declared key.
        let key = if name.contains('.') { None } else { schema.find(&declared) };
        let value = match (key, value) {
            (Some(key), value) => self::key(schema, checked, key, &here, value),
            (None, Value::Table(table)) if !name.contains('.') && schema.is_section(&declared) => {
                Some(Value::Table(section(schema, checked, &declared, &here, table)))
            }
            (None, _) if schema.is_section(&declared) => {
                checked.problem(&here, Problem::Section(declared));
                None
            }
            (None, _) => {
                let meant = suggest::path(schema, &declared).map(|meant| {
                    match meant.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')) {
                        Some(inside) => format!("{}.{inside}", dotted(at)),
                        None => meant.to_owned(),
                    }
                });
                checked.problem(&here, Problem::UnknownKey(meant));
                None
            }
        };
        kept.extend(value.map(|value| (name, value)));
    }
    kept
}

fn key(schema: &Schema, checked: &mut Checked, key: &Key, at: &[String], value: Value) -> Option<Value> {
    match (&key.kind, value) {
        (Kind::Properties, Value::Table(table)) => {
            let mut flat = Table::new();
            properties(checked, at, "", table, &mut flat);
            Some(Value::Table(flat))
        }
        (Kind::Map(names), Value::Table(table)) => Some(Value::Table(map(checked, at, names, table))),
        (Kind::Tables(section), Value::Table(table)) => {
            Some(Value::Table(tables(schema, checked, at, section, table)))
        }
        (kind, value) => scalar(kind, value).map_err(|problem| checked.problem(at, problem)).ok(),
    }
}

/// Flattens nested tables to dotted names, and converts every scalar to text.
fn properties(checked: &mut Checked, at: &[String], prefix: &str, table: Table, flat: &mut Table) {
    for (name, value) in table {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let here = below(at, &name);
        let text = match value {
            Value::Table(table) => {
                properties(checked, at, &name, table, flat);
                continue;
            }
            Value::String(text) => Some(text),
            Value::Array(_) => None,
            scalar => Some(scalar.to_string()),
        };
        match text {
            None => checked.problem(&here, wrong_type(&Kind::Text, "a list")),
            Some(text) => {
                if flat.insert(name, text.into()).is_some() {
                    checked.problem(&here, Problem::TwoSpellings);
                }
            }
        }
    }
}

fn map(checked: &mut Checked, at: &[String], names: &[String], table: Table) -> Table {
    let mut kept = Table::new();
    for (name, value) in table {
        let here = below(at, &name);
        if !names.is_empty() && !names.contains(&name) {
            checked.problem(&here, Problem::UnknownName(names.to_vec()));
        } else if value.is_table() {
            checked.problem(&here, Problem::TableForText);
        } else {
            match scalar(&Kind::Text, value) {
                Ok(value) => drop(kept.insert(name, value)),
                Err(problem) => checked.problem(&here, problem),
            }
        }
    }
    kept
}

fn tables(schema: &Schema, checked: &mut Checked, at: &[String], path: &str, table: Table) -> Table {
    let mut kept = Table::new();
    for (name, value) in table {
        let here = below(at, &name);
        match value {
            Value::Table(table) => {
                drop(kept.insert(name, section(schema, checked, path, &here, table).into()));
            }
            other => {
                let expected = format!("a table with keys of [{path}]");
                checked.problem(&here, Problem::Type { expected, found: found(&other).to_owned() });
            }
        }
    }
    kept
}

/// Checks a value that is not a map. The problem never shows free text, which may be a secret.
pub(super) fn scalar(kind: &Kind, value: Value) -> Result<Value, Problem> {
    match (kind, value) {
        (Kind::Text, Value::String(text)) if text.trim().is_empty() => Err(Problem::Empty),
        (Kind::Text, value @ Value::String(_)) | (Kind::Boolean, value @ Value::Boolean(_)) => Ok(value),
        (Kind::Text, Value::Datetime(time)) => Ok(time.to_string().into()),
        (Kind::Integer { min, max }, Value::Integer(number)) => {
            if (min..=max).contains(&&number) {
                Ok(number.into())
            } else if *max == i64::MAX {
                Err(Problem::TooSmall(number, *min))
            } else {
                Err(out_of_range(&number, min, max))
            }
        }
        (Kind::Float { .. }, Value::Integer(number)) => scalar(kind, Value::Float(number as f64)),
        (Kind::Float { min, max }, Value::Float(number)) => {
            let inside = (min..=max).contains(&&number);
            inside.then(|| number.into()).ok_or_else(|| out_of_range(&number, min, max))
        }
        (Kind::Choice(choices), Value::String(word)) => {
            if choices.contains(&word) {
                return Ok(word.into());
            }
            let meant = suggest::nearest(&word, choices.iter().map(String::as_str)).map(str::to_owned);
            Err(Problem::Choice { word, choices: choices.clone(), meant })
        }
        (Kind::List, Value::Array(values)) => {
            let element = |(index, value)| {
                scalar(&Kind::Text, value).map_err(|problem| Problem::Element(index, Box::new(problem)))
            };
            values.into_iter().enumerate().map(element).collect::<Result<_, _>>().map(Value::Array)
        }
        (kind, other) => Err(wrong_type(kind, found(&other))),
    }
}

pub(super) fn wrong_type(kind: &Kind, found: impl Into<String>) -> Problem {
    Problem::Type { expected: expected(kind), found: found.into() }
}

fn out_of_range<N: ToString>(number: &N, min: &N, max: &N) -> Problem {
    Problem::OutOfRange { number: number.to_string(), min: min.to_string(), max: max.to_string() }
}

fn expected(kind: &Kind) -> String {
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

fn found(value: &Value) -> &'static str {
    match value {
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a fraction",
        Value::String(_) => "a string",
        Value::Datetime(_) => "a date or time",
        Value::Table(_) => "a table",
        Value::Array(_) => "a list",
    }
}
