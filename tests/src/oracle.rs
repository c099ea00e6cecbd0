//! Compares what was produced with what a table holds, by content: rows lost, duplicated, altered and unexpected.

use std::collections::HashMap;
use std::fmt;

use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use serde_json::{Map, Value};

/// How many rows of each kind a comparison names.
const EXAMPLES: usize = 10;

/// The rows that a table must hold.
#[derive(Clone, Debug)]
pub struct Expected {
    key: String,
    ignored: Vec<String>,
    /// Identity → content of every row that has it.
    rows: HashMap<String, Vec<String>>,
}

/// What is wrong with a table; nothing, if it is exactly as expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Rows that the table should hold.
    pub expected: usize,
    /// Rows that it holds.
    pub found: usize,
    /// Expected rows that are not there.
    pub lost: Fault,
    /// Rows that are there more often than expected.
    pub duplicated: Fault,
    /// Rows whose identity is expected, but not with this content.
    pub altered: Fault,
    /// Rows that nobody produced.
    pub unexpected: Fault,
}

/// One kind of deviation: how many rows, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// How many rows.
    pub count: usize,
    /// The first ten of them.
    pub examples: Vec<String>,
}

impl Fault {
    fn add(&mut self, rows: usize, example: impl FnOnce() -> String) {
        self.count += rows;
        if rows > 0 && self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

impl Expected {
    /// No rows yet; `key` is the column that distinguishes rows, whether or not the table has a key.
    pub fn by(key: &str) -> Self {
        Self { key: key.to_owned(), ignored: Vec::new(), rows: HashMap::new() }
    }

    /// Leaves columns out of the comparison: those with a default or with metadata.
    #[must_use]
    pub fn ignoring(mut self, columns: &[&str]) -> Self {
        self.ignored.extend(columns.iter().map(|column| (*column).to_owned()));
        self
    }

    /// One more row with these columns; a column that is absent must be NULL.
    ///
    /// # Panics
    /// When `row` is not an object with the key.
    #[track_caller]
    pub fn add(&mut self, row: &Value) {
        let (identity, content) = self.canonical(row);
        self.rows.entry(identity).or_default().push(content);
    }

    /// The one row of its key, in place of what was expected before: the later record wins.
    ///
    /// # Panics
    /// When `row` is not an object with the key.
    #[track_caller]
    pub fn put(&mut self, row: &Value) {
        let (identity, content) = self.canonical(row);
        self.rows.insert(identity, vec![content]);
    }

    /// No row of this key.
    pub fn remove(&mut self, key: &Value) {
        self.rows.remove(&canonical(key));
    }

    /// How many rows the table must hold.
    pub fn len(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }

    /// Whether the table must be empty.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Reads the whole table and compares. `table` stands in SQL as given: quote it if it needs that.
    ///
    /// # Panics
    /// When the table cannot be read.
    #[track_caller]
    pub fn compare(&self, client: &mut Client, table: &str) -> Comparison {
        let query = format!("SELECT to_jsonb(t)::text FROM {table} t");
        let rows = client.query_raw(&query, Vec::<String>::new()).expect("the table can be read");
        let mut found: HashMap<String, Vec<String>> = HashMap::new();
        rows.for_each(|row| {
            let json: Value = serde_json::from_str(row.get(0)).expect("JSON from the server");
            let (identity, content) = self.canonical(&json);
            found.entry(identity).or_default().push(content);
            Ok(())
        })
        .expect("the table can be read to its end");
        self.comparison(found)
    }

    /// Compares, and panics unless the table is exactly as expected.
    ///
    /// # Panics
    /// With the comparison.
    #[track_caller]
    pub fn assert_exactly_once(&self, client: &mut Client, table: &str) {
        let comparison = self.compare(client, table);
        assert!(comparison.is_exactly_once(), "table {table}: {comparison}");
    }

    fn comparison(&self, mut found: HashMap<String, Vec<String>>) -> Comparison {
        let mut comparison = Comparison {
            expected: self.len(),
            found: found.values().map(Vec::len).sum(),
            ..Comparison::default()
        };
        let mut sorted: Vec<_> = self.rows.iter().collect();
        sorted.sort();
        for (identity, wanted) in sorted {
            let mut there = found.remove(identity).unwrap_or_default();
            let mut missing = Vec::new();
            for content in wanted {
                match there.iter().position(|candidate| candidate == content) {
                    Some(at) => drop(there.swap_remove(at)),
                    None => missing.push(content),
                }
            }
            // What is left over is a copy of an expected row, or an expected row with other content.
            let (copies, others): (Vec<_>, Vec<_>) = there.iter().partition(|left| wanted.contains(left));
            comparison.duplicated.add(copies.len(), || format!("{identity} ({} too many)", copies.len()));
            let altered = missing.len().min(others.len());
            comparison.altered.add(altered, || format!("{} instead of {}", others[0], missing[0]));
            comparison.lost.add(missing.len() - altered, || missing[missing.len() - 1].clone());
            comparison.unexpected.add(others.len() - altered, || others[others.len() - 1].clone());
        }
        let mut others: Vec<_> = found.into_iter().collect();
        others.sort();
        for (_, contents) in others {
            comparison.unexpected.add(contents.len(), || contents[0].clone());
        }
        comparison
    }

    /// A row's identity, and its content without NULLs and ignored columns.
    #[track_caller]
    fn canonical(&self, row: &Value) -> (String, String) {
        let columns = row.as_object().unwrap_or_else(|| panic!("not an object: {row}"));
        let key = columns.get(&self.key).unwrap_or_else(|| panic!("no {} in {row}", self.key));
        let counts = |(name, value): &(&String, &Value)| !value.is_null() && !self.ignored.contains(*name);
        let kept: Map<String, Value> =
            columns.iter().filter(counts).map(|(name, value)| (name.clone(), value.clone())).collect();
        (canonical(key), canonical(&Value::Object(kept)))
    }
}

impl Comparison {
    /// Every expected row is there, once, unaltered, and no other.
    pub fn is_exactly_once(&self) -> bool {
        [&self.lost, &self.duplicated, &self.altered, &self.unexpected].iter().all(|fault| fault.count == 0)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows expected, {} found", self.expected, self.found)?;
        let faults = [
            ("lost", &self.lost),
            ("duplicated", &self.duplicated),
            ("altered", &self.altered),
            ("unexpected", &self.unexpected),
        ];
        for (name, fault) in faults {
            if fault.count > 0 {
                write!(f, "\n{} {name}:", fault.count)?;
                for example in &fault.examples {
                    write!(f, "\n  {example}")?;
                }
            }
        }
        Ok(())
    }
}

/// A value's text, the same for equal values: keys sorted, a whole number never as a float (PostgreSQL prints the
/// double 12.0 as 12).
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9.0e15 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        },
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let fields: Vec<_> =
                sorted.into_iter().map(|(name, value)| format!("{name:?}:{}", canonical(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::{Comparison, Expected};

    fn comparison(expected: &[Value], found: &[Value]) -> Comparison {
        let mut wanted = Expected::by("id").ignoring(&["at"]);
        expected.iter().for_each(|row| wanted.add(row));
        let mut rows: HashMap<String, Vec<String>> = HashMap::new();
        for row in found {
            let (identity, content) = wanted.canonical(row);
            rows.entry(identity).or_default().push(content);
        }
        wanted.comparison(rows)
    }

    #[test]
    fn equal_content_is_exactly_once_however_it_is_written() {
        let comparison = comparison(
            &[json!({"id": 1, "x": 12.0, "gone": null}), json!({"id": 2, "x": {"b": 1, "a": [1.5]}})],
            &[json!({"x": {"a": [1.5], "b": 1}, "id": 2, "at": "now"}), json!({"id": 1, "x": 12})],
        );
        assert!(comparison.is_exactly_once(), "{comparison}");
        assert_eq!((comparison.expected, comparison.found), (2, 2));
    }

    #[test]
    fn each_deviation_is_distinguished_from_the_others() {
        let rows: Vec<Value> = (0..5).map(|id| json!({"id": id, "x": "y"})).collect();
        let comparison = comparison(
            &rows,
            &[
                rows[0].clone(),
                rows[1].clone(),
                rows[1].clone(),
                json!({"id": 2, "x": "z"}),
                rows[3].clone(),
                json!({"id": 9}),
            ],
        );
        let counts = (
            comparison.lost.count,
            comparison.duplicated.count,
            comparison.altered.count,
            comparison.unexpected.count,
        );
        assert_eq!(counts, (1, 1, 1, 1), "{comparison}");
        assert_eq!(comparison.lost.examples, [r#"{"id":4,"x":"y"}"#]);
    }

    #[test]
    fn a_row_expected_twice_must_be_there_twice() {
        let row = json!({"id": 1});
        assert!(comparison(&[row.clone(), row.clone()], &[row.clone(), row.clone()]).is_exactly_once());
        assert_eq!(comparison(&[row.clone(), row.clone()], std::slice::from_ref(&row)).lost.count, 1);
    }
}
