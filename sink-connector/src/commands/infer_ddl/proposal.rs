//! The table for what a survey has seen. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::survey::{Field, Survey};
use super::types::type_of;
use crate::sql::{TableName, ident};

/// PostgreSQL's limit of a name, in bytes.
const NAME_BYTES: usize = 63;
/// PostgreSQL's limit of a table.
const COLUMNS: usize = 1600;
/// Names that every table has taken.
const SYSTEM: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// What the configuration says about the topic.
#[derive(Debug, Default)]
pub struct Wishes {
    /// The topic.
    pub topic: String,
    /// The table's name.
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

/// A table, and what is doubtful about it.
#[derive(Debug)]
pub struct Proposal {
    topic: String,
    table: TableName,
    records: u64,
    columns: Vec<Column>,
    key: Vec<String>,
    insert: bool,
    doubts: Vec<String>,
}

impl Proposal {
    /// The table for the records of `survey`.
    pub fn new(survey: &Survey, wishes: &Wishes) -> Self {
        let mut doubts = Vec::new();
        if survey.refused > 0 {
            doubts
                .push(format!("{} records are not JSON objects: they would be dead letters", survey.refused));
        }
        let mut columns: Vec<Column> = Vec::new();
        let mut taken = BTreeSet::new();
        for field in survey.fields() {
            let name = wishes.rename.get(&field.name).unwrap_or(&field.name);
            let problem = if name.is_empty() || name.contains('\0') || SYSTEM.contains(&name.as_str()) {
                Some("cannot be a column's name")
            } else if name.len() > NAME_BYTES {
                Some("is longer than 63 bytes, which no column's name is")
            } else if columns.len() == COLUMNS {
                Some("is beyond the 1,600 columns that a table can have")
            } else if !taken.insert(name.clone()) {
                Some("has the column of another field")
            } else {
                None
            };
            if let Some(problem) = problem {
                doubts
                    .push(format!("field {name:?} {problem}: it is left out; give it one in [sink.rename]"));
                continue;
            }
            let (type_name, doubts) = type_of(field, survey.objects);
            columns.push(Column { name: name.clone(), type_name, doubts });
        }
        let mut proposal = Self {
            topic: wishes.topic.clone(),
            table: wishes.table.clone(),
            records: survey.objects,
            columns,
            key: Vec::new(),
            insert: wishes.insert,
            doubts,
        };
        if wishes.unkeyed {
            proposal.doubts.push("no key, as pk_mode = \"none\" says".to_owned());
        } else {
            proposal.choose_key(survey, wishes);
        }
        proposal
    }

    fn choose_key(&mut self, survey: &Survey, wishes: &Wishes) {
        let column_of = |field: &Field| wishes.rename.get(&field.name).unwrap_or(&field.name).clone();
        let records = survey.objects;
        let field_of = |column: &String| survey.fields().iter().find(|field| column_of(field) == *column);
        let here = |column: &String| self.columns.iter().any(|c| c.name == *column);
        if !wishes.key.is_empty() {
            let missing: Vec<&String> = wishes.key.iter().filter(|column| !here(column)).collect();
            if missing.is_empty() {
                self.key.clone_from(&wishes.key);
                let gaps = self.key.iter().filter(|c| field_of(c).is_some_and(|f| f.valued() < records));
                for column in gaps.cloned().collect::<Vec<_>>() {
                    self.doubts.push(format!(
                        "pk_fields has {column:?}, which some records lack: those would be dead letters"
                    ));
                }
                return;
            }
            self.doubts.push(format!("pk_fields has {missing:?}, which no record has as a field"));
        }
        // The record's key, as a field, may come again; any other field has to be unique.
        let scalar =
            |field: &&Field| field.valued() == records && field.nested == 0 && here(&column_of(field));
        let of_record = survey.fields().iter().filter(scalar).find(|field| field.equals_key == records);
        let unique: Vec<&Field> = survey
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
                    "every record has its own value; see that it stays so"
                };
                self.doubts.push(format!("key {:?}: {why}", self.key[0]));
            }
            None => self.doubts.push(
                "no key: no field has another value in every record. Without one, set pk_mode = \"none\" and \
                 insert_mode = \"insert\""
                    .to_owned(),
            ),
        }
        if !others.is_empty() {
            self.doubts.push(format!("other candidates for the key: {}", others.join(", ")));
        }
    }

    /// The statement, with its comments.
    pub fn sql(&self) -> String {
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
        text += ");\n-- To be written by:\n";
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

    /// For machines.
    pub fn to_json(&self) -> Value {
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

/// As `sink.table` reads it: a part with a dot is quoted.
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

/// Measures and texts are unique by accident; ids, dates and integers are worth a thought.
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
