//! The table for what a survey has seen. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::survey::{Field, Survey};
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

fn type_of(field: &Field, records: u64) -> (&'static str, Vec<String>) {
    let mut doubts = Vec::new();
    let (type_name, doubt) = choose(field);
    doubts.extend(doubt.map(str::to_owned));
    if field.unwrapped > 0 && type_name != "jsonb" {
        doubts.push("arrays of one element, stored as the element".to_owned());
    }
    if field.null_bytes > 0 {
        doubts.push("has U+0000, which sink.null_bytes decides about".to_owned());
    }
    if field.present < records {
        doubts.push(format!("in {} of {records} records only", field.present));
    }
    (type_name, doubts)
}

fn choose(field: &Field) -> (&'static str, Option<&'static str>) {
    let takes = field.takes;
    let kinds =
        [field.booleans, field.numbers, field.strings, field.nested].iter().filter(|n| **n > 0).count();
    if field.valued() == 0 {
        return ("text", Some("only nulls seen"));
    }
    if field.nested > 0 {
        let doubt = if kinds > 1 { "objects or arrays mixed with scalars" } else { "nested: stored as JSON" };
        return ("jsonb", Some(doubt));
    }
    if kinds > 1 {
        return if takes.text {
            ("text", Some("types mixed: numbers and truth values are stored as their text"))
        } else {
            ("jsonb", Some("types mixed: stored as JSON"))
        };
    }
    if field.booleans > 0 {
        return ("boolean", None);
    }
    if field.strings > 0 {
        return match takes {
            _ if takes.uuid => ("uuid", Some("every value is a UUID; text takes anything else as well")),
            _ if takes.date => ("date", Some("every value is a date; text takes anything else as well")),
            _ if takes.timestamptz => {
                ("timestamptz", Some("every value is a time with an offset; the offset itself is not kept"))
            }
            _ if takes.timestamp => (
                "timestamp",
                Some("every value is a time without an offset; timestamptz would read it as UTC"),
            ),
            _ => ("text", None),
        };
    }
    if field.fractions == 0 && takes.bigint {
        let millis = field.epochs == field.numbers;
        return (
            "bigint",
            millis.then_some("may be milliseconds since 1970, which timestamptz takes as they are"),
        );
    }
    if field.fractions == 0 && takes.numeric {
        return ("numeric", Some("integers beyond bigint"));
    }
    if field.inexact == 0 && takes.double {
        return ("double precision", Some("fractions: numeric would keep every digit, as money needs"));
    }
    if takes.numeric {
        return ("numeric", Some("more digits than double precision keeps"));
    }
    ("jsonb", Some("numbers beyond every numeric type: stored as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(records: &[(Option<&str>, &str)]) -> Survey {
        let mut survey = Survey::new(true);
        for (key, payload) in records {
            survey.add(key.map(str::as_bytes), Some(payload.as_bytes()));
        }
        survey
    }

    fn wishes() -> Wishes {
        Wishes { topic: "t".into(), table: TableName::parse("t"), ..Wishes::default() }
    }

    fn column_of(value: &str) -> (String, String) {
        let proposal = Proposal::new(&survey(&[(None, &format!("{{\"f\": {value}}}"))]), &wishes());
        let column = &proposal.columns[0];
        (column.type_name.to_owned(), column.doubts.join("; "))
    }

    #[test]
    fn a_value_gets_a_type_that_takes_it() {
        for (value, type_name, doubt) in [
            ("true", "boolean", ""),
            ("1", "bigint", ""),
            ("9223372036854775807", "bigint", ""),
            ("9223372036854775808", "numeric", "beyond bigint"),
            ("1772366400000", "bigint", "milliseconds"),
            ("1.5", "double precision", "money"),
            ("0.1234567890123456789", "numeric", "digits"),
            ("1e400", "numeric", "digits"),
            ("\"x\"", "text", ""),
            ("\"123\"", "text", ""),
            ("\"20240517\"", "text", ""),
            ("\"2024-05-17\"", "date", "date"),
            ("\"2024-02-30\"", "text", ""),
            ("\"2024-05-17T10:00:00Z\"", "timestamptz", "offset"),
            ("\"2024-05-17 10:00:00.123\"", "timestamp", "UTC"),
            ("\"8c5f0e7e-6a3b-4a52-9d1e-0d3c9a7b1f00\"", "uuid", "UUID"),
            ("null", "text", "nulls"),
            ("{}", "jsonb", "nested"),
            ("[1,2]", "jsonb", "nested"),
            ("[[1]]", "jsonb", "nested"),
            ("[\"x\"]", "text", "one element"),
            ("[]", "jsonb", "nested"),
        ] {
            let (seen, doubts) = column_of(value);
            assert_eq!(seen, type_name, "{value}: {doubts}");
            assert!(doubts.contains(doubt) && doubt.is_empty() == doubts.is_empty(), "{value}: {doubts}");
        }
    }

    #[test]
    fn values_of_several_types_meet_in_one_that_takes_all() {
        for (values, type_name) in [
            (["1", "\"x\""], "text"),
            (["true", "1"], "text"),
            (["1", "1.5"], "double precision"),
            (["1", "{}"], "jsonb"),
            (["[\"x\"]", "[\"x\", \"y\"]"], "jsonb"),
            (["[\"x\"]", "\"y\""], "text"),
            (["\"2024-05-17\"", "\"2024-05-17T10:00:00\""], "text"),
            (["null", "1"], "bigint"),
        ] {
            let records = values.map(|value| format!("{{\"f\": {value}}}"));
            let proposal = Proposal::new(&survey(&records.each_ref().map(|r| (None, r.as_str()))), &wishes());
            assert_eq!(proposal.columns[0].type_name, type_name, "{values:?}");
        }
    }

    #[test]
    fn the_key_is_the_records_key_or_what_is_unique() {
        let by_key = [(Some("a"), "{\"n\": 1, \"code\": \"a\"}"), (Some("a"), "{\"n\": 2, \"code\": \"a\"}")];
        let proposal = Proposal::new(&survey(&by_key), &wishes());
        assert_eq!(proposal.key, ["code"]);
        assert!(proposal.doubts.iter().any(|d| d.contains("other candidates") && d.contains("\"n\"")));
        let unique = [(None, "{\"n\": 1, \"row_id\": 7}"), (None, "{\"n\": 2, \"row_id\": 8}")];
        assert_eq!(Proposal::new(&survey(&unique), &wishes()).key, ["row_id"]);
        let none = [(None, "{\"n\": 1}"), (None, "{\"n\": 1}")];
        let proposal = Proposal::new(&survey(&none), &wishes());
        assert!(proposal.key.is_empty() && proposal.sql().contains("pk_mode = \"none\""));
        let configured = Wishes { key: vec!["n".into()], ..wishes() };
        assert_eq!(Proposal::new(&survey(&none), &configured).key, ["n"]);
    }

    #[test]
    fn names_that_no_column_can_have_are_left_out_and_said() {
        let long = "x".repeat(64);
        let record = format!("{{\"\": 1, \"ctid\": 2, \"{long}\": 3, \"a\\nb\": 4, \"q\\\"\": 5}}");
        let sql = Proposal::new(&survey(&[(None, &record)]), &wishes()).sql();
        assert_eq!(sql.matches("is left out").count(), 3, "{sql}");
        assert!(sql.contains("\"a\nb\" bigint") && sql.contains("\"q\"\"\" bigint"), "{sql}");
    }
}
