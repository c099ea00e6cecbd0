//! Converters and error handling.

use super::translation::{Family, Translation};
use crate::config::is_topic;

const VALUE_FORMAT: [&str; 2] = ["sink", "value_format"];

/// The format of values, before transforms have their say.
pub(super) fn values(t: &mut Translation) {
    let unwraps = |(key, class): (&String, &String)| {
        key.starts_with("transforms.") && key.ends_with(".type") && class.contains("ExtractNewRecordState")
    };
    if t.input.iter().any(unwraps) && t.family == Family::Jdbc {
        // What the transform would unwrap.
        t.family = Family::Events;
    }
    let schemas = t.get("value.converter.schemas.enable").map(|flag| flag == "true");
    match t.get("value.converter").as_deref().map(last) {
        Some("JsonConverter") => {
            // Connect's own default.
            let schemas = schemas.unwrap_or(true);
            let format = match (t.family, schemas) {
                (Family::Debezium | Family::Events, _) => "debezium",
                (_, true) => "json_schema",
                (_, false) => "json",
            };
            t.take("value.converter", &VALUE_FORMAT, format);
            if t.family == Family::Debezium {
                let flat = if schemas { "json_schema" } else { "json" };
                t.taken(
                    "value.converter",
                    format!("if the source flattens its events, set {flat:?} instead"),
                );
            }
            if t.input.contains_key("value.converter.schemas.enable") {
                t.taken("value.converter.schemas.enable", format!("sink.value_format = {format:?}"));
            }
        }
        Some(class) => {
            let class = class.to_owned();
            t.not_supported(
                "value.converter",
                format!("{class}: this sink reads JSON; have the producer write JSON, or convert the topic"),
            );
            for key in
                t.input.keys().filter(|key| key.starts_with("value.converter.")).cloned().collect::<Vec<_>>()
            {
                t.not_supported(&key, format!("belongs to {class}"));
            }
        }
        None => {
            let format = match (t.family, schemas) {
                (Family::Debezium | Family::Events, _) => "debezium",
                (_, Some(true)) => "json_schema",
                _ => "json",
            };
            t.set(&VALUE_FORMAT, format);
            if schemas.is_some() {
                t.taken("value.converter.schemas.enable", format!("sink.value_format = {format:?}"));
            }
        }
    }
    others(t, "value.converter.", "the sink reads JSON without settings");
    // They cast a string to the type of its column.
    t.set(&["sink", "json_strings"], "parse");
}

pub(super) fn keys(t: &mut Translation) {
    if let Some(class) = t.get("key.converter") {
        match last(&class) {
            "JsonConverter" | "StringConverter" => {
                t.not_needed("key.converter", "keys are read as JSON, or as text");
            }
            other => t.not_supported("key.converter", format!("{other}: keys are read as JSON, or as text")),
        }
    }
    if let Some(flag) = t.get("key.converter.schemas.enable") {
        let opened = matches!(t.text(&VALUE_FORMAT), "json_schema" | "debezium");
        if flag == "true" && !opened {
            t.not_supported(
                "key.converter.schemas.enable",
                "a key's envelope is opened only where values have one",
            );
        } else {
            t.not_needed("key.converter.schemas.enable", "the envelope of a key is recognised");
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
        if !t.report.has(&key) {
            t.not_needed(&key, why);
        }
    }
}

pub(super) fn errors(t: &mut Translation) {
    match t.get("errors.tolerance").as_deref() {
        Some(own @ ("all" | "none")) => t.take("errors.tolerance", &["errors", "tolerance"], own),
        Some(_) => t.not_supported("errors.tolerance", "is all or none"),
        // Connect's default.
        None => t.set(&["errors", "tolerance"], "none"),
    }
    let key = "errors.deadletterqueue.topic.name";
    if let Some(topic) = t.get(key) {
        if !is_topic(&topic) || t.texts(&["kafka", "topics"]).contains(&topic) {
            t.not_supported(
                key,
                "cannot be the topic of dead letters: they go to a table, errors.dead_letter_table",
            );
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
