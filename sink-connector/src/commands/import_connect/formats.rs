//! Converters and error handling.

use shared::kafka::is_topic;

use super::translation::{Family, Translation, is_reference};
use crate::config::pattern::Pattern;

const VALUE_FORMAT: [&str; 2] = ["sink", "value_format"];
const CONVERTER: &str = "value.converter";
const SCHEMAS: &str = "value.converter.schemas.enable";
/// What Confluent Cloud has in place of converters.
const CLOUD_FORMAT: &str = "input.data.format";

/// The format of values: of change events if the connector or a transform opens them, whatever the converter.
pub(super) fn values(t: &mut Translation) {
    let unwraps = |(key, class): (&String, &String)| {
        key.starts_with("transforms.") && key.ends_with(".type") && last(class) == "ExtractNewRecordState"
    };
    if t.family != Family::Debezium && t.input.iter().any(unwraps) {
        // What the transform would unwrap.
        t.opens_events = true;
    }
    let events = t.opens_events || t.family == Family::Debezium;
    let schemas = t.get(SCHEMAS).map(|flag| flag.eq_ignore_ascii_case("true"));
    let class = t.get(CONVERTER).map(|class| last(&class).to_owned());
    // Connect's own default of the converter for JSON.
    let enveloped = schemas.unwrap_or(class.as_deref() == Some("JsonConverter"));
    let format = match (events, enveloped) {
        (true, _) => "debezium",
        (false, true) => "json_schema",
        (false, false) => "json",
    };
    t.set(&VALUE_FORMAT, format);
    match class.as_deref() {
        Some("JsonConverter") => {
            t.take(CONVERTER, &VALUE_FORMAT, format);
            if t.family == Family::Debezium {
                let flat = if enveloped { "json_schema" } else { "json" };
                t.taken(CONVERTER, format!("if the source flattens its events, set {flat:?} instead"));
            }
        }
        Some(class) => {
            let why = format!(
                "{class}: this sink reads JSON; have the producer write JSON, or convert the topic. sink.value_format = {format:?} \
                 stands there"
            );
            t.not_supported(CONVERTER, why);
            let prefix = format!("{CONVERTER}.");
            for key in t.input.keys().filter(|key| key.starts_with(&prefix)).cloned().collect::<Vec<_>>() {
                t.not_supported(&key, format!("belongs to {class}"));
            }
        }
        None if !t.input.contains_key(CONVERTER) && !t.input.contains_key(CLOUD_FORMAT) => t.todo.push(format!(
            "[sink] value_format = {format:?}   # value.converter is not given, so that of the Connect workers counts: \
             JsonConverter with schemas is \"json_schema\"; Avro and Protobuf cannot be read"
        )),
        None => {}
    }
    if !t.report.has(SCHEMAS) && schemas.is_some() {
        t.taken(SCHEMAS, format!("sink.value_format = {format:?}"));
    }
    others(t, "value.converter.", "the sink reads JSON without settings");
    // They cast a string to the type of its column.
    t.set(&["sink", "json_strings"], "parse");
}

/// Where keys that the connector reads as text are read in another way.
pub(super) const TEXT_KEYS: &str = "a key that is JSON is not read as text here: \"a\" in quotation marks is stored without \
     them, of {\"id\": 1} the field of the key column is stored, and null is rejected; other texts are the same, so this is of \
     no importance if the producer writes none of these";

pub(super) fn keys(t: &mut Translation) {
    if t.text(&["sink", "pk_mode"]) != "record_key" {
        for key in t.input.keys().filter(|key| key.starts_with("key.converter")).cloned().collect::<Vec<_>>()
        {
            t.not_needed(&key, "the keys of records are not read: see sink.pk_mode");
        }
    } else if !t.input.contains_key("key.converter") && !t.input.contains_key("input.key.format") {
        t.todo.push(
            "key.converter is not given, so that of the Connect workers counts: keys are read as JSON, or as text".to_owned(),
        );
    }
    if let Some(class) = t.get("key.converter").filter(|_| !t.report.has("key.converter")) {
        match last(&class) {
            "JsonConverter" => t.not_needed("key.converter", "keys are read as JSON, or as text"),
            "StringConverter" => t.not_supported("key.converter", TEXT_KEYS),
            other => t.not_supported("key.converter", format!("{other}: keys are read as JSON, or as text")),
        }
    }
    const KEY_SCHEMAS: &str = "key.converter.schemas.enable";
    if let Some(flag) = t.get(KEY_SCHEMAS).filter(|_| !t.report.has(KEY_SCHEMAS)) {
        let opened = matches!(t.text(&VALUE_FORMAT), "json_schema" | "debezium");
        if flag == "true" && !opened {
            t.not_supported(KEY_SCHEMAS, "a key's envelope is opened only where values have one");
        } else {
            t.not_needed(KEY_SCHEMAS, "the envelope of a key is recognised");
        }
    }
    let readable = t
        .get("key.converter")
        .is_none_or(|class| matches!(last(&class), "JsonConverter" | "StringConverter"));
    if readable {
        others(t, "key.converter.", "keys are read without settings");
    } else {
        for key in t.input.keys().filter(|key| key.starts_with("key.converter.")).cloned().collect::<Vec<_>>()
        {
            if !t.report.has(&key) {
                t.not_supported(&key, "belongs to a converter that is not there");
            }
        }
    }
    for key in ["header.converter"] {
        if t.input.contains_key(key) {
            t.not_needed(key, "headers are kept as they are");
        }
    }
    others(t, "header.converter.", "headers are kept as they are");
}

/// The keys with this prefix that are not reported yet.
fn others(t: &mut Translation, prefix: &str, why: &str) {
    for key in t.input.keys().filter(|key| key.starts_with(prefix)).cloned().collect::<Vec<_>>() {
        if !t.report.has(&key) && !is_reference(&t.input[&key]) {
            t.not_needed(&key, why);
        }
    }
}

const TO_A_TABLE: &str = "they go to a table instead, errors.dead_letter_table";

pub(super) fn errors(t: &mut Translation) {
    match t.get("errors.tolerance").as_deref() {
        Some(own @ ("all" | "none")) => t.take("errors.tolerance", &["errors", "tolerance"], own),
        Some(_) => t.not_supported("errors.tolerance", "is all or none"),
        // Connect's default.
        None => t.set(&["errors", "tolerance"], "none"),
    }
    let key = "errors.deadletterqueue.topic.name";
    if let Some(topic) = t.get(key) {
        let pattern = Pattern::new(t.text(&["kafka", "topics_regex"]));
        let matches = t.value(&["kafka", "topics_regex"]).is_some()
            && pattern.is_ok_and(|pattern| pattern.matches(&topic));
        if !is_topic(&topic) {
            t.not_supported(key, format!("{topic:?} cannot be a topic; {TO_A_TABLE}"));
        } else if matches || t.texts(&["kafka", "topics"]).contains(&topic) {
            let by =
                if matches { "topics.regex matches it" } else { "it is one of the topics that are read" };
            t.not_supported(key, format!("{by}, so dead letters would be read again; {TO_A_TABLE}"));
        } else {
            t.set(&["errors", "dead_letters"], "topic");
            t.take(key, &["errors", "dead_letter_topic"], topic);
        }
    }
    for (key, why) in [
        (
            "errors.deadletterqueue.topic.replication.factor",
            "the brokers' default applies: the sink creates no topic",
        ),
        (
            "errors.deadletterqueue.context.headers.enable",
            "dead letters in a topic always have Connect's headers",
        ),
        ("errors.log.enable", "rejected records are logged, once a minute by reason"),
        ("errors.retry.timeout", "the sink retries for as long as it takes"),
        ("errors.retry.delay.max.ms", "the sink waits up to 30 s between two tries"),
    ] {
        if t.input.contains_key(key) {
            t.not_needed(key, why);
        }
    }
    match t.get("errors.log.include.messages").as_deref() {
        None | Some("false") if !t.input.contains_key("errors.log.include.messages") => {}
        Some("true") => {
            t.not_supported(
                "errors.log.include.messages",
                "values are never logged: dead-letters list --payload shows them",
            );
        }
        _ => t.not_needed("errors.log.include.messages", "values are never logged"),
    }
}

/// A class without its package, and without `$Key` or `$Value`.
pub(super) fn last(class: &str) -> &str {
    let name = class.rsplit('.').next().unwrap_or(class);
    name.split('$').next().unwrap_or(name)
}
