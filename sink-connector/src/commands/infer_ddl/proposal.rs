//! The proposed table, from the sample statistics. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::key::{self, Choice, KAFKA};
use super::sample_statistics::{Field, SampleStatistics};
use super::types::type_of;
use crate::decode::ValueFormat;
use crate::postgres::sql::{TableName, ident};
use crate::types::IDENTIFIER_MAX_BYTES;

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
    /// What the values look like.
    pub format: ValueFormat,
    /// Fields that are exact numbers, by their schema.
    pub decimals: BTreeSet<String>,
    /// The topics to read, if this one has to be added to them.
    pub topics: Option<Vec<String>>,
}

#[derive(Debug)]
struct Column {
    name: String,
    type_name: String,
    doubts: Vec<String>,
}

/// Where the key comes from, as the configuration says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyFrom {
    None,
    RecordValue,
    RecordKey,
    Kafka,
}

/// A table, and what is uncertain about it.
#[derive(Debug)]
pub(super) struct Proposal {
    topic: String,
    table: TableName,
    records: u64,
    read: u64,
    columns: Vec<Column>,
    key_from: KeyFrom,
    key: Vec<String>,
    insert: bool,
    deletes: bool,
    format: ValueFormat,
    topics: Option<Vec<String>>,
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
            } else if name.len() > IDENTIFIER_MAX_BYTES {
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
            let (mut type_name, mut doubts) = type_of(field, sample_statistics.objects);
            if configured.decimals.contains(&field.name) {
                (type_name, doubts) = ("numeric".to_owned(), Vec::new());
            }
            columns.push(Column { name: name.clone(), type_name, doubts });
        }
        let mut proposal = Self {
            topic: configured.topic.clone(),
            table: configured.table.clone(),
            records: sample_statistics.objects,
            read: sample_statistics.records(),
            columns,
            key_from: KeyFrom::None,
            key: Vec::new(),
            insert: configured.insert,
            deletes: false,
            format: configured.format,
            topics: configured.topics.clone(),
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
                self.key_from = KeyFrom::RecordValue;
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
        let (choice, doubts) = key::choose(sample_statistics, &configured.topic);
        self.doubts.extend(doubts);
        let column_named = |name: &String| configured.rename.get(name).unwrap_or(name).clone();
        let keys = &sample_statistics.keys;
        match choice {
            Choice::Value(fields) => {
                self.key_from = KeyFrom::RecordValue;
                self.key = fields.iter().map(column_named).collect();
            }
            Choice::RecordKey(fields) => {
                self.key = fields.iter().map(column_named).collect();
                self.record_key(keys.fields.iter(), sample_statistics.tombstones);
            }
            Choice::WholeRecordKey => {
                let free = ["key", "record_key", "kafka_record_key"];
                let name = free.into_iter().find(|name| self.columns.iter().all(|c| c.name != *name));
                self.key = vec![name.unwrap_or("__record_key").to_owned()];
                self.record_key(std::iter::once(&keys.whole), sample_statistics.tombstones);
            }
            Choice::Kafka => {
                self.key_from = KeyFrom::Kafka;
                self.key = KAFKA.map(|(name, _)| name.to_owned()).to_vec();
                let columns = KAFKA.map(|(name, type_name)| Column {
                    name: name.to_owned(),
                    type_name: type_name.to_owned(),
                    doubts: Vec::new(),
                });
                self.columns.splice(0..0, columns);
            }
        }
        if self
            .key
            .iter()
            .any(|name| name.len() > IDENTIFIER_MAX_BYTES || self.columns.iter().all(|c| c.name != *name))
        {
            self.doubts.push("the key's field cannot be a column: map it in [sink.rename]".to_owned());
            self.key_from = KeyFrom::None;
            self.key.clear();
        }
    }

    /// The key columns, in order, are filled from the record's key, whose `fields` these are.
    fn record_key<'a>(&mut self, fields: impl Iterator<Item = &'a Field>, tombstones: u64) {
        self.key_from = KeyFrom::RecordKey;
        self.deletes = tombstones > 0 || self.format == ValueFormat::Debezium;
        let mut new = Vec::new();
        for (name, field) in self.key.iter().zip(fields) {
            let (type_name, _) = type_of(field, field.present);
            match self.columns.iter_mut().find(|column| column.name == *name) {
                // The key's own type counts: the value's field is not read.
                Some(column) => column.type_name = type_name,
                None => new.push(Column {
                    name: name.clone(),
                    type_name,
                    doubts: vec!["from the record's key".to_owned()],
                }),
            }
        }
        self.columns.splice(0..0, new);
    }

    /// The CREATE TABLE statement with its comments.
    pub(super) fn sql(&self) -> String {
        let mut text = format!(
            "-- Proposed from {} of {} records read from topic {:?}.\n",
            self.records, self.read, self.topic
        );
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
        let mut text = String::new();
        if let Some(topics) = &self.topics {
            text += &format!("[kafka]\ntopics = {topics:?}\n\n");
        }
        text += &format!("[topics.{:?}]\ntable = {:?}\n", self.topic, quoted_name(&self.table));
        match self.format {
            ValueFormat::Json => {}
            ValueFormat::JsonSchema => text += "value_format = \"json_schema\"\n",
            ValueFormat::Debezium => text += "value_format = \"debezium\"\n",
        }
        let from = match self.key_from {
            KeyFrom::None => return text + "pk_mode = \"none\"\ninsert_mode = \"insert\"\n",
            KeyFrom::RecordValue => "record_value",
            KeyFrom::RecordKey => "record_key",
            KeyFrom::Kafka => "kafka",
        };
        let mode = if self.insert && self.format != ValueFormat::Debezium { "insert" } else { "upsert" };
        text += &format!("pk_mode = {from:?}\npk_fields = {:?}\ninsert_mode = {mode:?}\n", self.key);
        if self.deletes {
            text += "delete_enabled = true\n";
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

#[cfg(test)]
mod tests;
