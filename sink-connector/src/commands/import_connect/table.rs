//! Topics, tables, keys and modes.

use std::collections::HashMap;

use toml::Value;

use super::report::Outcome;
use super::translation::{Family, Translation, list};
use crate::config::is_topic;
use crate::config::pattern::Pattern;
use crate::types::IDENTIFIER_MAX_BYTES;

const TABLE_FORMAT: [&str; 2] = ["table.name.format", "collection.name.format"];
const PK_MODE: [&str; 2] = ["pk.mode", "primary.key.mode"];
const PK_FIELDS: [&str; 2] = ["pk.fields", "primary.key.fields"];
/// What chooses the fields that are written.
const FIELD_LISTS: [&str; 5] = [
    "fields.whitelist",
    "field.include.list",
    "field.exclude.list",
    "column.include.list",
    "column.exclude.list",
];
/// Aiven's list of topics and their tables.
const MAPPING: &str = "topics.to.tables.mapping";
/// Aiven's switch: in the name of a table, every character that is not alphanumeric in ASCII becomes `_`.
const NORMALIZE: &str = "table.name.normalize";
const BY_HAND: &str = "set the table of each topic in [topics.\"…\"]";
/// Stands for key columns that the input does not name.
const UNKNOWN_KEY: &str = "id";

pub(super) fn topics(t: &mut Translation) {
    if let Some(name) = t.get("name") {
        let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '-' };
        let own: String = name.chars().map(printable).take(52).collect();
        let group = t.get("consumer.override.group.id").unwrap_or_else(|| format!("connect-{name}"));
        t.set(&["kafka", "group_id"], group.clone());
        if own == name {
            t.taken(
                "name",
                format!("name = {name:?}, kafka.group_id = {group:?}, where Connect committed its positions"),
            );
        } else {
            t.not_supported(
                "name",
                format!("a name has at most 52 characters of ASCII; name = {own:?} stands there"),
            );
        }
        t.set(&["name"], own);
    }
    if let Some(topics) = t.get("topics") {
        let (good, bad): (Vec<String>, Vec<String>) =
            list(&topics).into_iter().partition(|topic| is_topic(topic));
        if !bad.is_empty() {
            t.not_supported("topics", format!("{} cannot be topics", bad.join(", ")));
        }
        if !good.is_empty() {
            t.take("topics", &["kafka", "topics"], good.into_iter().map(Value::from).collect::<Vec<_>>());
        }
    }
    if let Some(regex) = t.get("topics.regex") {
        let anchored = format!("^({})$", regex.trim_start_matches('^').trim_end_matches('$'));
        let java = regex.contains("(?") || regex.contains('\\') && regex.replace("\\.", "").contains('\\');
        if t.value(&["kafka", "topics"]).is_some() {
            t.not_supported("topics.regex", "topics is given as well; leave one of them out");
        } else if java || Pattern::new(&anchored).is_err() {
            t.not_supported(
                "topics.regex",
                "is not a POSIX extended regular expression: write kafka.topics_regex yourself",
            );
        } else {
            t.take("topics.regex", &["kafka", "topics_regex"], anchored);
        }
    }
    if t.value(&["kafka", "topics"]).is_none() && t.value(&["kafka", "topics_regex"]).is_none() {
        t.set(&["kafka", "topics"], vec![Value::from("TOPIC")]);
        t.todo.push("[kafka] topics = [\"TOPIC\"]   # which topics?".to_owned());
    }
}

pub(super) fn table(t: &mut Translation) {
    let mut format = "${topic}".to_owned();
    if let Some((key, given)) = t.either(&TABLE_FORMAT) {
        let rest = given.replace("${topic}", "");
        if rest.contains("${") {
            t.not_supported(
                key,
                format!(
                    "only ${{topic}} can stand in sink.table; ${{topic}} stands there instead of {given}: {BY_HAND}"
                ),
            );
        } else if rest.split('.').any(|part| part.len() > IDENTIFIER_MAX_BYTES) {
            t.not_supported(key, "is longer than a name of PostgreSQL; ${topic} stands in sink.table");
        } else {
            t.take(key, &["sink", "table"], given.clone());
            format = given;
        }
    }
    t.set(&["sink", "table"], format.clone());
    for topic in t.texts(&["kafka", "topics"]) {
        // Debezium writes topic a.b to the table a_b.
        let name = if t.family == Family::Debezium { topic.replace('.', "_") } else { topic.clone() };
        set_table(t, &topic, &format.replace("${topic}", &name));
    }
    aiven_tables(t, &format);
}

/// The tables that Aiven's keys name.
fn aiven_tables(t: &mut Translation, format: &str) {
    let normalizes = t.get(NORMALIZE).is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if !normalizes && t.input.contains_key(NORMALIZE) {
        t.not_needed(NORMALIZE, "the name of the table is that of the topic");
    }
    let pairs = t.get(MAPPING).map(|mapping| list(&mapping)).unwrap_or_default();
    let given = [(NORMALIZE, normalizes), (MAPPING, t.input.contains_key(MAPPING))];
    let given = given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key);
    // A router comes first and changes the topic; and topics of a pattern are not known.
    let routed =
        t.input.iter().any(|(key, class)| key.starts_with("transforms.") && class.contains("Router"));
    if routed || t.value(&["kafka", "topics_regex"]).is_some() {
        given.for_each(|key| t.not_supported(key, BY_HAND));
        return;
    }
    let mapped: HashMap<&str, &str> = pairs
        .iter()
        .filter_map(|pair| pair.split_once(':'))
        .map(|(topic, table)| (topic.trim(), table.trim()))
        .collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut tables = Vec::new();
    for topic in t.texts(&["kafka", "topics"]) {
        let table = match mapped.get(topic.as_str()) {
            Some(table) => (*table).to_owned(),
            None if normalizes => format.replace("${topic}", &topic).chars().map(plain).collect(),
            None => continue,
        };
        set_table(t, &topic, &table);
        tables.push(format!("{topic} to {table}"));
    }
    given.for_each(|key| t.taken(key, format!("tables of topics: {}", tables.join(", "))));
}

/// Sets the table of a topic where it differs from what `sink.table` says.
pub(super) fn set_table(t: &mut Translation, topic: &str, table: &str) {
    let general = t.text(&["sink", "table"]).replace("${topic}", topic);
    let mut parts: Vec<&str> = table.split('.').collect();
    if parts.len() > 2 || parts.iter().any(|part| part.len() > IDENTIFIER_MAX_BYTES || part.is_empty()) {
        t.not_supported(
            "topics",
            format!("the table of {topic:?} has no usable name: set it in [topics.{topic:?}]"),
        );
        parts = vec!["table_of_topic"];
    }
    let table = parts.join(".");
    if table != general {
        t.set(&["topics", topic, "table"], table);
    }
}

pub(super) fn modes(t: &mut Translation) {
    let debezium = t.text(&["sink", "value_format"]) == "debezium";
    let mode = t.get("insert.mode").map(|mode| mode.to_lowercase());
    let pk_mode = t.either(&PK_MODE);
    let fields = fields(t);
    match &pk_mode {
        Some((key, mode)) => match mode.to_lowercase().as_str() {
            own @ ("none" | "record_key" | "record_value" | "kafka") => {
                t.take(key, &["sink", "pk_mode"], own);
            }
            _ => {
                t.not_supported(key, format!("{mode} is not there; pk_mode = \"record_key\" stands there"));
                t.set(&["sink", "pk_mode"], "record_key");
            }
        },
        // The default of all three connectors.
        None => t.set(&["sink", "pk_mode"], "none"),
    }
    match mode.as_deref() {
        Some(own @ ("insert" | "upsert")) => t.take("insert.mode", &["sink", "insert_mode"], own),
        // Aiven's insert of several rows by one statement.
        Some("multi") => t.take("insert.mode", &["sink", "insert_mode"], "insert"),
        Some(other) => {
            t.not_supported(
                "insert.mode",
                format!("{other} is not there: upsert also inserts rows that are missing"),
            );
            t.set(&["sink", "insert_mode"], "upsert");
        }
        None => t.set(&["sink", "insert_mode"], "insert"),
    }
    if debezium && t.text(&["sink", "insert_mode"]) != "upsert" {
        let why = "change events are applied by upsert: a row for each change cannot be written";
        t.not_supported("insert.mode", why);
        t.set(&["sink", "insert_mode"], "upsert");
    }
    keys(t, pk_mode.map(|(key, _)| key), fields);
    deletes(t, debezium);
}

/// The columns of the key that the input names.
fn fields(t: &mut Translation) -> Vec<String> {
    let Some((key, given)) = t.either(&PK_FIELDS) else { return Vec::new() };
    let fields: Vec<String> = list(&given);
    if fields.iter().any(|field| field.len() > IDENTIFIER_MAX_BYTES) {
        t.not_supported(key, "is longer than a name of PostgreSQL: name the columns in sink.pk_fields");
        return Vec::new();
    }
    t.taken(key, format!("sink.pk_fields = {fields:?}"));
    fields
}

/// Gives the mode the key that it needs.
fn keys(t: &mut Translation, pk_mode_key: Option<&str>, fields: Vec<String>) {
    let upsert = t.text(&["sink", "insert_mode"]) == "upsert";
    if upsert && t.text(&["sink", "pk_mode"]) == "none" {
        t.set(&["sink", "pk_mode"], "record_key");
        let why = "upsert needs a key; pk_mode = \"record_key\" stands there";
        t.not_supported(
            if t.input.contains_key("insert.mode") {
                "insert.mode"
            } else {
                pk_mode_key.unwrap_or("connector.class")
            },
            why,
        );
    }
    let named = |fields: Vec<String>| fields.into_iter().map(Value::from).collect::<Vec<_>>();
    match t.text(&["sink", "pk_mode"]) {
        "record_key" | "record_value" if fields.is_empty() => {
            let key = pk_mode_key.unwrap_or("connector.class");
            let why = format!(
                "the fields of the key are not in the configuration: name its columns in sink.pk_fields; {UNKNOWN_KEY:?} stands there"
            );
            t.not_supported(key, why);
            t.set(&["sink", "pk_fields"], vec![Value::from(UNKNOWN_KEY)]);
        }
        "kafka" if fields.is_empty() => {}
        "kafka" if fields.len() != 3 => {
            t.not_supported(
                "pk.fields",
                "pk_mode = \"kafka\" needs three columns, for topic, partition and offset",
            );
        }
        "none" => {}
        _ => t.set(&["sink", "pk_fields"], named(fields)),
    }
}

/// A field without a column fails in the connectors, unless the configuration chooses among the fields.
pub(super) fn unknown_fields(t: &mut Translation) {
    let chooses = FIELD_LISTS.iter().any(|key| t.input.contains_key(*key))
        || t.report.with(Outcome::NotSupported).any(|(key, _)| key.starts_with("transforms"));
    if !chooses {
        t.set(&["sink", "unknown_fields"], "reject");
    }
}

fn deletes(t: &mut Translation, debezium: bool) {
    match t.get("delete.enabled").as_deref() {
        None => {}
        Some("true") => {
            let pk_mode = t.text(&["sink", "pk_mode"]).to_owned();
            if pk_mode == "record_key" || pk_mode == "record_value" && debezium {
                t.take("delete.enabled", &["sink", "delete_enabled"], true);
            } else {
                t.not_supported("delete.enabled", "deletes need pk_mode = \"record_key\"");
            }
        }
        Some(_) => t.take("delete.enabled", &["sink", "delete_enabled"], false),
    }
}
