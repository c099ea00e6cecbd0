//! The proposal as SQL, as configuration and as JSON.

use serde_json::{Value, json};
use shared::output::counted;

use super::Proposal;
use crate::config::{InsertMode, PkMode};
use crate::decode::ValueFormat;
use crate::postgres::sql::{TableName, ident, literal};

impl Proposal {
    /// The CREATE TABLE statement with its comments.
    pub(in crate::commands::infer_ddl) fn sql(&self) -> String {
        let mut text = format!(
            "-- Proposed from {} of {} read from topic {:?}.\n",
            self.records,
            counted(self.read, "record"),
            self.topic
        );
        for doubt in &self.doubts {
            text += &format!("-- {}\n", one_line(doubt));
        }
        if let Some(schema) = self.table.schema.as_ref().filter(|schema| *schema != "public") {
            let (name, create) = (literal(&ident(schema)), ident(schema));
            let body =
                format!("BEGIN IF to_regnamespace({name}) IS NULL THEN CREATE SCHEMA {create}; END IF; END");
            text += &format!("DO {};\n", literal(&body));
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

    pub(super) fn configuration(&self) -> String {
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
        for (name, value) in &self.other_settings {
            // Rows without a key cannot be compared.
            if name != "version_field" || self.mode == InsertMode::Upsert && self.key_from != PkMode::None {
                text += &format!("{name} = {value}\n");
            }
        }
        let from = match self.key_from {
            PkMode::None => return text + "pk_mode = \"none\"\ninsert_mode = \"insert\"\n",
            PkMode::RecordValue => "record_value",
            PkMode::RecordKey => "record_key",
            PkMode::Kafka => "kafka",
        };
        let mode = match self.mode {
            _ if self.format == ValueFormat::Debezium => "upsert",
            InsertMode::Insert => "insert",
            InsertMode::InsertIgnore => "insert_ignore",
            InsertMode::Upsert => "upsert",
        };
        text += &format!("pk_mode = {from:?}\npk_fields = {:?}\ninsert_mode = {mode:?}\n", self.key);
        if self.deletes {
            text += "delete_enabled = true\n";
        }
        text
    }

    pub(in crate::commands::infer_ddl) fn to_json(&self) -> Value {
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
