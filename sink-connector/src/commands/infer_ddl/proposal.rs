//! The proposed table, from the sample statistics. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::sample_statistics::{Field, SampleStatistics};
use super::types::type_of;
use crate::postgres::sql::{TableName, ident};

/// PostgreSQL's limit of a name, in bytes.
const NAME_BYTES: usize = 63;
/// PostgreSQL's limit of a table.
const COLUMNS: usize = 1600;
/// Names of the system columns that every table has.
const SYSTEM: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// The settings of the topic that matter here.
#[derive(Debug, Default)]
pub(super) struct ConfiguredTopic {
    pub topic: String,
    pub table: TableName,
    /// `pk_fields`, if they are configured for the topic.
    pub key: Vec<String>,
    /// The topic is configured without a key.
    pub unkeyed: bool,
    /// The topic is configured to insert.
    pub insert: bool,
    /// Field to column.
    pub rename: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Column {
    name: String,
    type_name: &'static str,
    doubts: Vec<String>,
}

/// A table, and what is uncertain about it.
#[derive(Debug)]
pub(super) struct Proposal {
    topic: String,
    table: TableName,
    records: u64,
    columns: Vec<Column>,
    key: Vec<String>,
    insert: bool,
    doubts: Vec<String>,
}

impl Proposal {
    /// Proposes a table for the records of the sample.
    pub(super) fn new(sample_statistics: &SampleStatistics, configured: &ConfiguredTopic) -> Self {
        let mut doubts = Vec::new();
        if sample_statistics.not_objects > 0 {
            doubts.push(format!(
                "{} records are not JSON objects: they would become dead letters",
                sample_statistics.not_objects
            ));
        }
        let mut columns: Vec<Column> = Vec::new();
        let mut taken = BTreeSet::new();
        for field in sample_statistics.fields() {
            let name = configured.rename.get(&field.name).unwrap_or(&field.name);
            let problem = if name.is_empty() || name.contains('\0') || SYSTEM.contains(&name.as_str()) {
                Some("cannot be the name of a column")
            } else if name.len() > NAME_BYTES {
                Some("is longer than 63 bytes, the limit for names of columns")
            } else if columns.len() == COLUMNS {
                Some("exceeds the limit of 1,600 columns")
            } else if !taken.insert(name.clone()) {
                Some("maps to the same column as another field")
            } else {
                None
            };
            if let Some(problem) = problem {
                doubts.push(format!("field {name:?} {problem}: it is left out; map it in [sink.rename]"));
                continue;
            }
            let (type_name, doubts) = type_of(field, sample_statistics.objects);
            columns.push(Column { name: name.clone(), type_name, doubts });
        }
        let mut proposal = Self {
            topic: configured.topic.clone(),
            table: configured.table.clone(),
            records: sample_statistics.objects,
            columns,
            key: Vec::new(),
            insert: configured.insert,
            doubts,
        };
        if configured.unkeyed {
            proposal.doubts.push("no key, because pk_mode is \"none\"".to_owned());
        } else {
            proposal.choose_key(sample_statistics, configured);
        }
        proposal
    }

    fn choose_key(&mut self, sample_statistics: &SampleStatistics, configured: &ConfiguredTopic) {
        let column_of = |field: &Field| configured.rename.get(&field.name).unwrap_or(&field.name).clone();
        let records = sample_statistics.objects;
        let field_of =
            |column: &String| sample_statistics.fields().iter().find(|field| column_of(field) == *column);
        let exists = |column: &String| self.columns.iter().any(|c| c.name == *column);
        if !configured.key.is_empty() {
            let missing: Vec<&String> = configured.key.iter().filter(|column| !exists(column)).collect();
            if missing.is_empty() {
                self.key.clone_from(&configured.key);
                let gaps = self.key.iter().filter(|c| field_of(c).is_some_and(|f| f.valued() < records));
                for column in gaps.cloned().collect::<Vec<_>>() {
                    self.doubts.push(format!(
                        "pk_fields has {column:?}, which some records do not have: they would become dead letters"
                    ));
                }
                return;
            }
            self.doubts.push(format!("pk_fields has {missing:?}, but no record has such a field"));
        }
        // A field that equals the record's key may repeat; any other field must be unique.
        let scalar =
            |field: &&Field| field.valued() == records && field.nested == 0 && exists(&column_of(field));
        let of_record =
            sample_statistics.fields().iter().filter(scalar).find(|field| field.equals_key == records);
        let unique: Vec<&Field> = sample_statistics
            .fields()
            .iter()
            .filter(scalar)
            .filter(|field| field.unique(records) && key_like(field))
            .collect();
        let named = unique.iter().find(|field| names_a_key(&field.name)).or_else(|| unique.first());
        let chosen = of_record.or(named.copied());
        let others: Vec<String> = unique
            .iter()
            .filter(|field| chosen.is_none_or(|chosen| chosen.name != field.name))
            .map(|field| format!("{:?}", column_of(field)))
            .collect();
        match chosen {
            Some(field) => {
                self.key = vec![column_of(field)];
                let why = if of_record.is_some() {
                    "it equals the record's key in every record"
                } else {
                    "its values are unique in the sample; make sure that they always are"
                };
                self.doubts.push(format!("key {:?}: {why}", self.key[0]));
            }
            None => self.doubts.push(
                "no key: no field is unique in the sample. Without a key, set pk_mode = \"none\" and \
                 insert_mode = \"insert\""
                    .to_owned(),
            ),
        }
        if !others.is_empty() {
            self.doubts.push(format!("other candidates for the key: {}", others.join(", ")));
        }
    }

    /// The CREATE TABLE statement with its comments.
    pub(super) fn sql(&self) -> String {
        let mut text = format!("-- Proposed from {} records of topic {:?}.\n", self.records, self.topic);
        for doubt in &self.doubts {
            text += &format!("-- {}\n", one_line(doubt));
        }
        text += &format!("CREATE TABLE IF NOT EXISTS {} (\n", self.table.sql());
        let width = self.columns.iter().map(|c| ident(&c.name).chars().count()).max().unwrap_or(0);
        for (number, column) in self.columns.iter().enumerate() {
            let last = number + 1 == self.columns.len() && self.key.is_empty();
            let comma = if last { "" } else { "," };
            let comment: Vec<String> = column.doubts.iter().map(|doubt| one_line(doubt)).collect();
            let comment =
                if comment.is_empty() { String::new() } else { format!(" -- {}", comment.join("; ")) };
            text += &format!("    {:<width$} {}{comma}{comment}\n", ident(&column.name), column.type_name);
        }
        if !self.key.is_empty() {
            let key: Vec<String> = self.key.iter().map(|column| ident(column)).collect();
            text += &format!("    PRIMARY KEY ({})\n", key.join(", "));
        }
        text += ");\n-- Configuration:\n";
        for line in self.configuration().lines() {
            text += &format!("--   {line}\n");
        }
        text
    }

    fn configuration(&self) -> String {
        let mut text = format!("[topics.{:?}]\ntable = {:?}\n", self.topic, quoted_name(&self.table));
        if self.key.is_empty() {
            text += "pk_mode = \"none\"\ninsert_mode = \"insert\"\n";
        } else {
            let mode = if self.insert { "insert" } else { "upsert" };
            text +=
                &format!("pk_mode = \"record_value\"\npk_fields = {:?}\ninsert_mode = {mode:?}\n", self.key);
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|c| json!({"name": c.name, "type": c.type_name, "doubts": c.doubts}))
            .collect();
        json!({
            "topic": self.topic,
            "table": self.table.to_string(),
            "records": self.records,
            "columns": columns,
            "key": self.key,
            "doubts": self.doubts,
            "sql": self.sql(),
            "configuration": self.configuration(),
        })
    }
}

/// In the syntax of `sink.table`: a part with a dot is quoted.
fn quoted_name(table: &TableName) -> String {
    let part = |name: &str| if name.contains(['.', '"']) { ident(name) } else { name.to_owned() };
    match &table.schema {
        Some(schema) => format!("{}.{}", part(schema), part(&table.table)),
        None => part(&table.table),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Fractions and booleans are no keys, even if they are unique in the sample.
fn key_like(field: &Field) -> bool {
    field.fractions == 0 && field.booleans == 0
}

fn names_a_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["id", "key", "uuid", "guid"].iter().any(|word| name == *word || name.ends_with(&format!("_{word}")))
        || name.ends_with("id")
}

#[cfg(test)]
mod tests;
