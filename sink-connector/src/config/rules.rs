//! What one key demands of another, and what a value demands beyond its type.

use std::collections::{BTreeMap, BTreeSet};

use shared::kafka::{addresses, is_topic, not_a_topic};
use shared::settings::RuleError;
use shared::settings::properties::{property_key, property_of};
use toml::Table;

use super::librdkafka::{consumer_protocol, of_other_protocol, owned};
use super::sections::DEFAULT_TOPIC;
use super::table::DEFAULT_TABLE;
use super::{Config, DeadLetters, InsertMode, PkMode, TableConfig};
use crate::config::pattern::Pattern;
use crate::decode::ValueFormat;
use crate::types::IDENTIFIER_MAX_BYTES;

/// A sink's sessions are found by their `application_name`, which is `kafka-sink:<name>`.
const NAME_MAX_BYTES: usize = IDENTIFIER_MAX_BYTES - "kafka-sink:".len();

/// Every broken rule, each once.
pub(super) fn check(config: &Config) -> Vec<RuleError> {
    let mut broken = Vec::new();
    let mut topics: BTreeSet<&str> =
        config.kafka.topics.iter().chain(config.topics.keys()).map(String::as_str).collect();
    if config.kafka.topics_regex.is_some() {
        // Whatever topic may come must have its place: one that is called like the placeholder stands for all.
        topics.insert("${topic}");
    }
    for topic in topics {
        let keys = TopicKeys { topic, overrides: config.topics.get(topic) };
        broken.extend(of_table(&keys, &config.topic(topic), config.has_table(topic)));
    }
    broken.extend(missing_table(config));
    broken.extend(shared_table(config));
    // One line per key: what several topics inherit is one mistake.
    let mut seen = BTreeSet::new();
    broken.retain(|rule| seen.insert(rule.keys.first().cloned()));
    broken.extend(without_tables(config));
    broken
}

/// The broken rules that have nothing to do with tables.
pub(super) fn without_tables(config: &Config) -> Vec<RuleError> {
    [of_sink(config), of_kafka(config)].concat()
}

/// The topics that are read and have no table. The default one is that of the default topic: another topic's records
/// would fill it with nothing but NULLs, or be rejected.
fn missing_table(config: &Config) -> Option<RuleError> {
    let topics = config.kafka.topics.iter().filter(|topic| is_topic(topic) && !config.has_table(topic));
    let mut names: Vec<String> = topics.map(|topic| format!("{topic:?}")).collect();
    // A pattern may match any topic.
    let regex = config.kafka.topics_regex.as_ref().filter(|_| !config.has_table("${topic}"));
    names.extend(regex.map(|regex| format!("those that match {regex:?}")));
    if names.is_empty() {
        return None;
    }
    let or_override = if regex.is_some() { "" } else { ", or in a section [topics.\"…\"]" };
    let problem = format!(
        "must be given for the topics that are read: {}. Write table = \"…\" in [sink] (variable SINK__SINK__TABLE; \
         \"${{topic}}\" stands for the name of the topic){or_override}. The default {DEFAULT_TABLE:?} is only for the \
         topic {DEFAULT_TOPIC:?}",
        names.join(", ")
    );
    Some(RuleError::new(["sink.table", "kafka.topics", "kafka.topics_regex"], problem))
}

/// A table of the sink's own that has the name of another.
fn shared_table(config: &Config) -> Option<RuleError> {
    let (offsets, letters) = (&config.offsets.table, &config.errors.dead_letter_table);
    let letters = (config.errors.dead_letters == DeadLetters::Table).then_some(letters);
    if letters == Some(offsets) {
        let keys = ["errors.dead_letter_table", "offsets.table"];
        return Some(RuleError::new(keys, "are the same table: each needs one of its own"));
    }
    let topics = config.kafka.topics.iter().filter(|topic| is_topic(topic));
    let targets: BTreeSet<String> = topics.map(|topic| config.topic(topic).table).collect();
    let own = [("offsets.table", Some(offsets)), ("errors.dead_letter_table", letters)];
    let (key, table) =
        own.into_iter().find(|(_, table)| table.is_some_and(|table| targets.contains(table)))?;
    let problem = format!(
        "{:?} is the table of a topic: the sink needs one of its own",
        table.map_or("", String::as_str)
    );
    Some(RuleError::new([key, "sink.table"], problem))
}

fn of_sink(config: &Config) -> Vec<RuleError> {
    let mut broken = Vec::new();
    if config.name.len() > NAME_MAX_BYTES {
        broken.push(RuleError::new(["name"], format!("is longer than {NAME_MAX_BYTES} characters")));
    } else if !config.name.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        broken.push(RuleError::new(["name"], "must be printable ASCII"));
    }
    let errors = &config.errors;
    for (key, table) in
        [("offsets.table", &config.offsets.table), ("errors.dead_letter_table", &errors.dead_letter_table)]
    {
        if has_other_parts(table) {
            broken.push(RuleError::new([key], not_a_table(table)));
        } else if let Some(part) = cut_off(table) {
            broken.push(RuleError::new([key], too_long(part)));
        }
    }
    if errors.dead_letters == DeadLetters::Topic && errors.dead_letter_topic.is_none() {
        let keys = ["errors.dead_letter_topic", "errors.dead_letters"];
        broken.push(RuleError::new(keys, "must be given with dead_letters = \"topic\""));
    }
    if let Some(topic) = errors.dead_letter_topic.as_deref() {
        if !is_topic(topic) {
            broken.push(RuleError::new(["errors.dead_letter_topic"], not_a_topic(topic)));
        } else if config.kafka.reads(topic) {
            let by = if config.kafka.topics_regex.is_some() { "kafka.topics_regex" } else { "kafka.topics" };
            let keys = ["errors.dead_letter_topic", by];
            broken.push(RuleError::new(keys, "is a topic that the sink reads: dead letters would go round"));
        }
    }
    let listen = &config.http.listen;
    let address =
        listen.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if listen != shared::http::OFF && !address {
        broken.push(RuleError::new(
            ["http.listen"],
            format!("{listen:?} is not host:port, such as 127.0.0.1:9464, or off"),
        ));
    }
    broken
}

fn of_kafka(config: &Config) -> Vec<RuleError> {
    let mut broken = Vec::new();
    let kafka = &config.kafka;
    let both = ["kafka.topics", "kafka.topics_regex"];
    match &kafka.topics_regex {
        Some(_) if !kafka.topics.is_empty() => {
            broken.push(RuleError::new(both, "give either topics or topics_regex, not both"));
        }
        Some(regex) if !regex.starts_with('^') => {
            broken.push(RuleError::new(["kafka.topics_regex"], "must begin with ^"));
        }
        Some(regex) => {
            if let Err(error) = Pattern::new(regex) {
                broken.push(RuleError::new(["kafka.topics_regex"], error.to_string()));
            }
        }
        None if kafka.topics.is_empty() => {
            broken.push(RuleError::new(both, "is empty: name a topic to read"));
        }
        _ => {}
    }
    if let Some(problem) = addresses::problem(&kafka.bootstrap_servers) {
        broken.push(RuleError::new(["kafka.bootstrap_servers"], problem));
    }
    let mut seen = BTreeSet::new();
    for topic in &kafka.topics {
        if !is_topic(topic) {
            broken.push(RuleError::new(["kafka.topics"], not_a_topic(topic)));
        } else if !seen.insert(topic) {
            broken.push(RuleError::new(["kafka.topics"], format!("names {topic:?} twice")));
        }
    }
    let consumer_protocol = consumer_protocol(kafka.librdkafka());
    for name in kafka.properties.keys() {
        if let Some(problem) = of_other_protocol(property_of(name), consumer_protocol) {
            broken.push(RuleError::new([property_key(name)], problem));
        }
        if let Some(instead) = owned(property_of(name)) {
            let problem = format!("belongs to the sink and cannot be set here: {instead}");
            broken.push(RuleError::new([property_key(name)], problem));
        }
    }
    broken
}

/// The broken rules of a topic's section. Without a table, its key columns are not missed either.
fn of_table(keys: &TopicKeys<'_>, table: &TableConfig, has_table: bool) -> Vec<RuleError> {
    let mut broken = Vec::new();
    let mut rule = |names: &[&str], problem: String| {
        broken.push(RuleError::new(names.iter().map(|name| keys.key(name)), problem));
    };
    match (table.insert_mode, table.pk_mode) {
        (mode @ (InsertMode::Upsert | InsertMode::InsertIgnore), PkMode::None) => {
            let mode = if mode == InsertMode::Upsert { "upsert" } else { "insert_ignore" };
            let problem = format!("{mode:?} needs a key: set pk_mode, or use \"insert\"");
            rule(&["insert_mode", "pk_mode"], problem);
        }
        (_, from @ (PkMode::RecordValue | PkMode::RecordKey)) if has_table && table.pk_fields.is_empty() => {
            let from = if from == PkMode::RecordValue { "record_value" } else { "record_key" };
            let problem = format!(
                "must name the key columns of table {:?} with pk_mode = {from:?}; for a table without a key \
                 set pk_mode = \"none\" and insert_mode = \"insert\"",
                table.table
            );
            rule(&["pk_fields", "pk_mode", "table"], problem);
        }
        (_, PkMode::Kafka) if table.pk_fields.len() != 3 => {
            let problem =
                "must name three columns with pk_mode = \"kafka\", for topic, partition and offset, or none";
            rule(&["pk_fields", "pk_mode"], problem.into());
        }
        _ => {}
    }
    let columns =
        [("pk_fields", table.pk_fields.iter().collect()), ("rename", table.rename.values().collect())];
    let columns = columns.into_iter().chain([("metadata", table.metadata.values().collect::<Vec<_>>())]);
    for (key, name) in columns.flat_map(|(key, names)| names.into_iter().map(move |name| (key, name))) {
        if name.len() > IDENTIFIER_MAX_BYTES {
            rule(&[key], too_long(name));
        }
    }
    if has_other_parts(&table.table) {
        rule(&["table"], not_a_table(&table.table));
    } else if let Some(part) = cut_off(&table.table) {
        rule(&["table"], too_long(part));
    }
    if let Some(name) = repeated(&table.pk_fields) {
        rule(&["pk_fields"], format!("names {name:?} twice"));
    }
    match (table.delete_enabled, table.pk_mode, table.value_format) {
        (false, ..) | (_, PkMode::RecordKey, _) | (_, PkMode::RecordValue, ValueFormat::Debezium) => {}
        _ => rule(&["delete_enabled", "pk_mode"], "needs pk_mode = \"record_key\"".into()),
    }
    if table.value_format == ValueFormat::Debezium && table.insert_mode != InsertMode::Upsert {
        rule(&["value_format", "insert_mode"], "changes of rows need insert_mode = \"upsert\"".into());
    }
    if table.version_field.is_some() && table.insert_mode != InsertMode::Upsert {
        rule(&["version_field", "insert_mode"], "needs insert_mode = \"upsert\"".into());
    }
    if !table.read_before_write && (table.insert_mode == InsertMode::Insert || table.pk_mode == PkMode::None)
    {
        let problem = "false needs insert_mode = \"upsert\" or \"insert_ignore\"";
        rule(&["read_before_write", "insert_mode"], problem.into());
    }
    let columns: Vec<&String> = table.rename.values().chain(table.metadata.values()).collect();
    if let Some(column) = repeated(&columns) {
        rule(&["rename", "metadata"], format!("column {column:?} has two sources in rename and metadata"));
    }
    // With record_value a column of the key may come from metadata: a topic's name beside an id, say.
    if matches!(table.pk_mode, PkMode::RecordKey | PkMode::Kafka)
        && let Some(column) = table.metadata.values().find(|column| table.pk_fields.contains(column))
    {
        rule(&["metadata", "pk_fields"], format!("column {column:?} is part of the key already"));
    }
    broken
}

/// Names the keys of one topic's settings: in its own table if they were given there, else in `[sink]`.
pub(super) struct TopicKeys<'a> {
    topic: &'a str,
    overrides: Option<&'a Table>,
}

impl TopicKeys<'_> {
    /// The display form of a key of `[sink]` as it applies to the topic.
    pub(super) fn key(&self, name: &str) -> String {
        if !self.overrides.is_some_and(|overrides| overrides.contains_key(name)) {
            return format!("sink.{name}");
        }
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let topic =
            if self.topic.chars().all(bare) { self.topic.to_owned() } else { format!("{:?}", self.topic) };
        format!("topics.{topic}.{name}")
    }
}

/// Whether a text is neither `table` nor `schema.table`: it has more parts, or an empty one.
fn has_other_parts(table: &str) -> bool {
    let mut quoted = false;
    let parts: Vec<&str> = table
        .split(|c| {
            quoted ^= c == '"';
            c == '.' && !quoted
        })
        .collect();
    parts.len() > 2 || parts.iter().any(|part| part.trim_matches('"').is_empty())
}

fn not_a_table(table: &str) -> String {
    format!(
        "{table:?} is neither table nor schema.table; write a part that has dots in double quotes, for example \
         schema.\"a.b\""
    )
}

/// The part of a table's name that PostgreSQL would cut off. Names with quotes are left to the one who reads them.
fn cut_off(table: &str) -> Option<&str> {
    let (schema, name) = table.split_once('.').unwrap_or(("", table));
    [schema, name].into_iter().find(|part| part.len() > IDENTIFIER_MAX_BYTES && !table.contains('"'))
}

fn too_long(name: &str) -> String {
    format!(
        "{name:?} has {} bytes, and PostgreSQL would cut it off after {IDENTIFIER_MAX_BYTES}: another name may then mean \
         the same",
        name.len()
    )
}

fn repeated<T: Ord>(names: &[T]) -> Option<&T> {
    let mut seen = BTreeMap::new();
    names.iter().find(|name| seen.insert(*name, ()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_table_or_a_schema_and_a_table() {
        for name in ["t", "s.t", "\"a.b\"", "s.\"a.b.c\"", "\"a.b\".t", "Live Scores", "${topic}"] {
            assert!(!has_other_parts(name), "{name}");
        }
        for name in ["a.b.c", "a.b.c.d", "", ".t", "t.", "a..b", "s.t."] {
            assert!(has_other_parts(name), "{name}");
        }
    }
}
