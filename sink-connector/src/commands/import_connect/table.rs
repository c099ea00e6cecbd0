//! The table of each topic.

use std::collections::{BTreeMap, HashMap};

use super::formats::last;
use super::report::Outcome;
use super::translation::{Family, Translation, list};
use crate::types::IDENTIFIER_MAX_BYTES;

const TABLE_FORMAT: [&str; 2] = ["table.name.format", "collection.name.format"];
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
    let any_topic = t.value(&["kafka", "topics_regex"]).is_some() && format.contains("${topic}");
    if t.family == Family::Debezium && any_topic {
        let why = format!(
            "Debezium writes topic a.b to the table that it calls a_b, and here ${{topic}} keeps the dot, which separates \
             schema and table: {BY_HAND}"
        );
        t.not_supported("topics.regex", why);
    }
}

/// The table of each topic. A transform may have given it another name.
pub(super) fn of_topics(t: &mut Translation, routed: &BTreeMap<String, String>) {
    let format = t.text(&["sink", "table"]).to_owned();
    let own = aiven_tables(t, &format, routed.iter().any(|(topic, name)| topic != name));
    for (topic, name) in routed {
        let table = own.get(topic).cloned().unwrap_or_else(|| named(t, &format, name));
        set_table(t, topic, &table);
    }
}

/// The tables that Aiven's keys give topics.
fn aiven_tables(t: &mut Translation, format: &str, routed: bool) -> BTreeMap<String, String> {
    let normalizes = t.get(NORMALIZE).is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if !normalizes && t.get(NORMALIZE).is_some() {
        t.not_needed(NORMALIZE, "the name of the table is that of the topic");
    }
    let mapping = t.get(MAPPING);
    let given = [(NORMALIZE, normalizes), (MAPPING, mapping.is_some())];
    let given = given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key);
    // A router comes first and changes the topic; and topics of a pattern are not known.
    if routed || t.value(&["kafka", "topics_regex"]).is_some() {
        given.for_each(|key| t.not_supported(key, BY_HAND));
        return BTreeMap::new();
    }
    let pairs = list(&mapping.unwrap_or_default());
    let mapped: HashMap<&str, &str> = pairs
        .iter()
        .filter_map(|pair| pair.split_once(':'))
        .map(|(topic, table)| (topic.trim(), table.trim()))
        .collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut tables = BTreeMap::new();
    for topic in t.texts(&["kafka", "topics"]) {
        let table = match mapped.get(topic.as_str()) {
            Some(table) => (*table).to_owned(),
            None if normalizes => format.replace("${topic}", &topic).chars().map(plain).collect(),
            None => continue,
        };
        tables.insert(topic, table);
    }
    let named: Vec<String> = tables.iter().map(|(topic, table)| format!("{topic} to {table}")).collect();
    given.for_each(|key| t.taken(key, format!("tables of topics: {}", named.join(", "))));
    tables
}

/// The table that a format gives a topic. Debezium writes topic a.b to the table a_b.
fn named(t: &Translation, format: &str, topic: &str) -> String {
    let name = if t.family == Family::Debezium { topic.replace('.', "_") } else { topic.to_owned() };
    format.replace("${topic}", &name)
}

/// Sets the table of a topic where it differs from what `sink.table` says.
fn set_table(t: &mut Translation, topic: &str, table: &str) {
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
    if table == general {
        t.unset(&["topics", topic, "table"]);
    } else {
        t.set(&["topics", topic, "table"], table);
    }
}

/// A field without a column fails in the connectors, unless the configuration chooses among the fields.
pub(super) fn unknown_fields(t: &mut Translation) {
    let chooses = FIELD_LISTS.iter().any(|key| t.input.contains_key(*key))
        || t.report.with(Outcome::NotSupported).any(|(key, _)| may_remove_fields(t, key));
    if !chooses {
        t.set(&["sink", "unknown_fields"], "reject");
    }
}

/// Whether a key belongs to a transform that may leave fields out: all but those that convert values.
fn may_remove_fields(t: &Translation, key: &str) -> bool {
    let Some(rest) = key.strip_prefix("transforms") else { return false };
    let name = rest.trim_start_matches('.').split('.').next().unwrap_or_default();
    let class = t.get(&format!("transforms.{name}.type")).unwrap_or_default();
    !["Cast", "TimestampConverter"].contains(&last(&class))
}
