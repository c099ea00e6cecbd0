//! The proposed table, from the sample statistics. Pure.

mod configured;
mod output;

use std::collections::BTreeSet;

use toml::Table;

pub(super) use self::configured::ConfiguredTopic;
use super::key::{self, Choice, KAFKA};
use super::sample_statistics::{Field, Keys, SampleStatistics};
use super::types::type_of;
use crate::config::{InsertMode, PkMode};
use crate::decode::ValueFormat;
use crate::postgres::sql::TableName;
use crate::types::IDENTIFIER_MAX_BYTES;

/// PostgreSQL's limit of a table.
const COLUMNS: usize = 1600;
/// Names of the system columns that every table has.
const SYSTEM: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

#[derive(Debug)]
struct Column {
    name: String,
    type_name: String,
    doubts: Vec<String>,
}

/// A table, and what is uncertain about it.
#[derive(Debug)]
pub(super) struct Proposal {
    topic: String,
    table: TableName,
    records: u64,
    read: u64,
    columns: Vec<Column>,
    key_from: PkMode,
    key: Vec<String>,
    mode: InsertMode,
    other_settings: Table,
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
            doubts.push(match sample_statistics.not_objects {
                1 => "1 record is not a JSON object: it would become a dead letter".to_owned(),
                records => format!("{records} records are not JSON objects: they would become dead letters"),
            });
        }
        if configured.without_schema {
            doubts.push(
                "the events have no schema: decimals stay base64, and dates and times stay numbers, unless the \
                 converters of the connector have schemas.enable = true (for decimals alone: decimal.handling.mode = \
                 string)"
                    .to_owned(),
            );
        }
        let columns = columns(sample_statistics, configured, &mut doubts);
        let has = |name: &String| sample_statistics.fields().iter().any(|field| field.name == *name);
        doubts.extend(configured.version_field.as_ref().filter(|name| !has(name)).map(|name| {
            format!("version_field is {name:?}, but no record has such a field: add its column, which the sink needs")
        }));
        let mut proposal = Self {
            topic: configured.topic.clone(),
            table: configured.table.clone(),
            records: sample_statistics.objects,
            read: sample_statistics.records(),
            columns,
            key_from: PkMode::None,
            key: Vec::new(),
            mode: configured.mode,
            other_settings: configured.other_settings.clone(),
            deletes: false,
            format: configured.format,
            topics: configured.topics.clone(),
            doubts,
        };
        if !proposal.take_key(sample_statistics, configured) {
            proposal.choose_key(sample_statistics, configured);
        }
        if sample_statistics.tombstones > 0 && !proposal.deletes {
            let tombstones = match sample_statistics.tombstones {
                1 => "1 record is a tombstone".to_owned(),
                records => format!("{records} records are tombstones"),
            };
            proposal.doubts.push(format!(
                "{tombstones}, which delete nothing here: for rows that are deleted, set pk_mode = \"record_key\" and \
                 delete_enabled = true"
            ));
        }
        proposal
    }

    /// Takes the configured key. Returns whether there is one.
    fn take_key(&mut self, statistics: &SampleStatistics, configured: &ConfiguredTopic) -> bool {
        let Some((from, key)) = &configured.key else { return false };
        match from {
            PkMode::None => self.doubts.push("no key, because pk_mode is \"none\"".to_owned()),
            PkMode::RecordValue => {
                let exists = |column: &String| self.columns.iter().any(|c| c.name == *column);
                let missing: Vec<&String> = key.iter().filter(|column| !exists(column)).collect();
                if !missing.is_empty() {
                    self.doubts.push(format!("pk_fields has {missing:?}, but no record has such a field"));
                    return false;
                }
                let all = statistics.fields();
                let valued = |column: &&String| {
                    all.iter()
                        .any(|f| configured.column(&f.name) == *column && f.valued() < statistics.objects)
                };
                self.doubts.extend(key.iter().filter(valued).map(|column| {
                    format!("pk_fields has {column:?}, which some records do not have: they would become dead letters")
                }));
            }
            PkMode::RecordKey => self.add_key_columns(&statistics.keys, key, configured),
            PkMode::Kafka => {}
        }
        (self.key_from, self.deletes) = (*from, configured.deletes);
        self.key.clone_from(key);
        true
    }

    /// The configured columns of the record's key, with the types that the keys of the sample have.
    fn add_key_columns(&mut self, keys: &Keys, key: &[String], configured: &ConfiguredTopic) {
        let mut new = Vec::new();
        for name in key {
            let whole = (key.len() == 1 && keys.objects == 0).then_some(&keys.whole);
            let of_object = || keys.fields.iter().find(|field| configured.column(&field.name) == name);
            let field = whole.or_else(of_object).filter(|field| field.valued() > 0);
            let (type_name, doubt) = match field {
                Some(field) => (key_type(field, configured), "from the record's key"),
                None => ("text".to_owned(), "from the record's key, where no record of the sample has it"),
            };
            match self.columns.iter_mut().find(|column| column.name == *name) {
                Some(column) => column.type_name = type_name,
                None => new.push(Column { name: name.clone(), type_name, doubts: vec![doubt.to_owned()] }),
            }
        }
        self.columns.splice(0..0, new);
    }

    fn choose_key(&mut self, sample_statistics: &SampleStatistics, configured: &ConfiguredTopic) {
        let (choice, doubts) = key::choose(sample_statistics, &configured.topic);
        self.doubts.extend(doubts);
        let column_named = |name: &String| configured.column(name).clone();
        let keys = &sample_statistics.keys;
        match choice {
            Choice::Value(fields) => {
                self.key_from = PkMode::RecordValue;
                self.key = fields.iter().map(column_named).collect();
            }
            Choice::RecordKey(fields) => {
                self.key = fields.iter().map(column_named).collect();
                self.record_key(keys.fields.iter(), configured, sample_statistics.tombstones);
            }
            Choice::EqualRecordKey(field) => {
                self.key = vec![column_named(&field)];
                self.record_key(std::iter::once(&keys.whole), configured, sample_statistics.tombstones);
            }
            Choice::WholeRecordKey => {
                let free = ["key", "record_key", "kafka_record_key"];
                let name = free.into_iter().find(|name| self.columns.iter().all(|c| c.name != *name));
                self.key = vec![name.unwrap_or("__record_key").to_owned()];
                self.record_key(std::iter::once(&keys.whole), configured, sample_statistics.tombstones);
            }
            Choice::Kafka => {
                self.key_from = PkMode::Kafka;
                // Records that another sink has written to a table may have fields of these names, and so may metadata columns.
                let is_used = |name: &str| self.columns.iter().any(|column| column.name == name);
                let free = |name: &str| {
                    if is_used(name) { name.replace("__connect", "__kafka") } else { name.to_owned() }
                };
                let columns = KAFKA.map(|(name, type_name)| Column {
                    name: free(name),
                    type_name: type_name.to_owned(),
                    doubts: Vec::new(),
                });
                self.key = columns.iter().map(|column| column.name.clone()).collect();
                self.columns.splice(0..0, columns);
            }
        }
        if self
            .key
            .iter()
            .any(|name| name.len() > IDENTIFIER_MAX_BYTES || self.columns.iter().all(|c| c.name != *name))
        {
            self.doubts.push("the key's field cannot be a column: map it in [sink.rename]".to_owned());
            self.key_from = PkMode::None;
            self.key.clear();
        }
    }

    /// The key columns, in order, are filled from the record's key, whose `fields` these are.
    fn record_key<'a>(
        &mut self,
        fields: impl Iterator<Item = &'a Field>,
        configured: &ConfiguredTopic,
        tombstones: u64,
    ) {
        self.key_from = PkMode::RecordKey;
        self.deletes = tombstones > 0 || self.format == ValueFormat::Debezium;
        let mut new = Vec::new();
        for (name, field) in self.key.iter().zip(fields) {
            let type_name = key_type(field, configured);
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
}

/// The columns of the fields, and those that are filled from elsewhere.
fn columns(
    sample_statistics: &SampleStatistics,
    configured: &ConfiguredTopic,
    left_out: &mut Vec<String>,
) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let mut taken = BTreeSet::new();
    let filled = configured.filled();
    for field in sample_statistics.fields() {
        let name = configured.rename.get(&field.name).unwrap_or(&field.name);
        if filled.iter().any(|column| column.name == *name) {
            // A metadata column: the field is not read.
            continue;
        }
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
            left_out.push(format!("field {name:?} {problem}: it is left out; map it in [sink.rename]"));
            continue;
        }
        let declared = configured.declared.of(&field.name);
        let (mut type_name, mut doubts) = type_of(field, declared, sample_statistics.objects);
        if type_name != "jsonb" && field.json_texts > 0 && field.json_texts == field.valued() {
            if configured.parses_strings {
                (type_name, doubts) = ("jsonb".to_owned(), vec!["JSON text (json_strings)".to_owned()]);
            } else {
                doubts.push(
                    "every value in the sample is JSON text, which jsonb takes with json_strings = \"parse\""
                        .to_owned(),
                );
            }
        }
        columns.push(Column { name: name.clone(), type_name, doubts });
    }
    columns.extend(filled);
    columns
}

/// The type of a key column. A key that is not an object has no name.
fn key_type(field: &Field, configured: &ConfiguredTopic) -> String {
    let types = &configured.declared_keys;
    let declared = if field.name.is_empty() { types.of_whole() } else { types.of(&field.name) };
    type_of(field, declared, field.present).0
}

#[cfg(test)]
mod tests;
