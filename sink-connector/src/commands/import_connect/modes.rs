//! `insert.mode`, and the key: `pk.mode`, `pk.fields`, `delete.enabled`.

use toml::Value;

use super::transforms::Key;
use super::translation::{Family, Translation, list};
use crate::types::IDENTIFIER_MAX_BYTES;

const PK_MODE: [&str; 2] = ["pk.mode", "primary.key.mode"];
const PK_FIELDS: [&str; 2] = ["pk.fields", "primary.key.fields"];
/// Stands for key columns that the input does not name.
const UNKNOWN_KEY: &str = "id";

/// The modes and the columns of the key, as the input says them.
pub(super) fn convert(t: &mut Translation) {
    insert_mode(t);
    pk_mode(t);
    let Some((key, given)) = t.either(&PK_FIELDS) else { return };
    let fields: Vec<String> = list(&given);
    if fields.iter().any(|field| field.len() > IDENTIFIER_MAX_BYTES) {
        t.not_supported(key, "is longer than a name of PostgreSQL: name the columns in sink.pk_fields");
    } else if t.text(&["sink", "pk_mode"]) == "none" {
        t.not_needed(key, "there is no key: pk_mode = \"none\"");
    } else {
        t.taken(key, format!("sink.pk_fields = {fields:?}"));
        set_fields(t, fields);
    }
}

fn pk_mode(t: &mut Translation) {
    const PATH: [&str; 2] = ["sink", "pk_mode"];
    let given = t.either(&PK_MODE);
    // The default of all three connectors.
    let mode = given.as_ref().map_or_else(|| "none".to_owned(), |(_, mode)| mode.to_lowercase());
    let problem = match mode.as_str() {
        "none" if t.text(&["sink", "insert_mode"]) == "upsert" => "upsert needs a key".to_owned(),
        own @ ("none" | "record_key" | "record_value" | "kafka") => {
            return match given {
                Some((key, _)) => t.take(key, &PATH, own),
                None => t.set(&PATH, own),
            };
        }
        other => format!("{other} is not there"),
    };
    t.set(&PATH, "record_key");
    let insert_mode = given.is_none() && t.input.contains_key("insert.mode");
    let key = if insert_mode { "insert.mode" } else { pk_mode_key(t) };
    t.not_supported(key, format!("{problem}; pk_mode = \"record_key\" stands there"));
}

fn insert_mode(t: &mut Translation) {
    const KEY: &str = "insert.mode";
    let path = ["sink", "insert_mode"];
    match t.get(KEY).map(|mode| mode.to_lowercase()).as_deref() {
        Some(own @ ("insert" | "upsert")) => t.take(KEY, &path, own),
        // Aiven's insert of several rows by one statement.
        Some("multi") => t.take(KEY, &path, "insert"),
        Some(other) => {
            t.not_supported(KEY, format!("{other} is not there: upsert also inserts rows that are missing"));
            t.set(&path, "upsert");
        }
        None => t.set(&path, "insert"),
    }
    if is_debezium(t) && t.text(&path) != "upsert" {
        t.not_supported(KEY, "change events are applied by upsert: a row for each change cannot be written");
        t.set(&path, "upsert");
    }
}

/// The key of the table, which the transforms may have changed.
pub(super) fn complete(t: &mut Translation, key: &Key) {
    key.resolve(t);
    let fields = t.texts(&["sink", "pk_fields"]);
    match t.text(&["sink", "pk_mode"]) {
        "record_key" | "record_value" if fields.is_empty() => {
            let why = format!(
                "the fields of the key are not in the configuration: name its columns in sink.pk_fields; {UNKNOWN_KEY:?} stands there"
            );
            t.not_supported(pk_mode_key(t), why);
            set_fields(t, vec![UNKNOWN_KEY.to_owned()]);
        }
        "kafka" if !fields.is_empty() && fields.len() != 3 => {
            let key = t.either(&PK_FIELDS).map_or(PK_FIELDS[0], |(key, _)| key);
            t.not_supported(
                key,
                "pk_mode = \"kafka\" needs three columns, for topic, partition and offset; its own names stand there",
            );
            t.unset(&["sink", "pk_fields"]);
        }
        _ => {}
    }
    deletes(t);
}

pub(super) fn set_fields(t: &mut Translation, fields: Vec<String>) {
    t.set(&["sink", "pk_fields"], fields.into_iter().map(Value::from).collect::<Vec<_>>());
}

fn deletes(t: &mut Translation) {
    const KEY: &str = "delete.enabled";
    let path = ["sink", "delete_enabled"];
    // A filter may have decided.
    let filtered = t.value(&path).is_some();
    match t.get(KEY).map(|flag| flag.to_lowercase()).as_deref() {
        None => {}
        Some("true") if filtered => {
            t.not_needed(KEY, "a transform removes all deletions: sink.delete_enabled = false");
        }
        Some("true") => {
            let pk_mode = t.text(&["sink", "pk_mode"]);
            if pk_mode == "record_key" || pk_mode == "record_value" && is_debezium(t) {
                t.take(KEY, &path, true);
            } else {
                t.not_supported(KEY, "deletes need pk_mode = \"record_key\": a tombstone has no value");
            }
        }
        Some(_) => t.take(KEY, &path, false),
    }
}

pub(super) fn is_debezium(t: &Translation) -> bool {
    t.text(&["sink", "value_format"]) == "debezium"
}

/// The key of the input that says where keys come from, given or not.
fn pk_mode_key(t: &Translation) -> &'static str {
    let default = PK_MODE[usize::from(t.family == Family::Debezium)];
    t.either(&PK_MODE).map_or(default, |(key, _)| key)
}
