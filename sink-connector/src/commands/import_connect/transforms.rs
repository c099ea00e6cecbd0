//! `transforms`: what a single message transform does, as keys of ours where they can say it.

use regex::Regex;
use toml::Value;

use super::formats::last;
use super::table::set_table;
use super::translation::{Family, Translation, list};

const RENAME: [&str; 2] = ["sink", "rename"];

/// One transform: its name, and whether it changes keys.
struct Transform<'a> {
    prefix: &'a str,
    of_key: bool,
}

impl Transform<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn get(&self, t: &Translation, name: &str) -> Option<String> {
        t.get(&self.key(name))
    }
}

pub(super) fn convert(t: &mut Translation) {
    let names = t.get("transforms").map(|names| list(&names)).unwrap_or_default();
    if t.input.contains_key("transforms") {
        t.taken("transforms", format!("each transform is below: {}", names.join(", ")));
    }
    for name in &names {
        let prefix = format!("transforms.{name}");
        let Some(class) = t.get(&format!("{prefix}.type")) else { continue };
        let transform = Transform { prefix: &prefix, of_key: class.ends_with("$Key") };
        if t.get(&transform.key("predicate")).is_some() {
            reject(
                t,
                &transform,
                "a transform with a predicate is not there: it would apply to every record",
            );
            continue;
        }
        one(t, &transform, last(&class));
    }
    for key in t.input.keys().filter(|key| is_of_transforms(key)).cloned().collect::<Vec<_>>() {
        if t.report.has(&key) {
            continue;
        }
        let known = names.iter().any(|name| key.starts_with(&format!("transforms.{name}.")));
        let predicate = key.starts_with("predicates");
        match (known, predicate) {
            (false, false) => t.not_needed(&key, "belongs to a transform that `transforms` does not name"),
            (_, true) => t.not_supported(&key, "predicates are not there"),
            (true, false) => t.not_supported(&key, "this option of the transform is not known here"),
        }
    }
}

fn is_of_transforms(key: &str) -> bool {
    key.starts_with("transforms.") || key == "predicates" || key.starts_with("predicates.")
}

fn one(t: &mut Translation, transform: &Transform<'_>, class: &str) {
    match class {
        "ReplaceField" => replace_field(t, transform),
        "InsertField" => insert_field(t, transform),
        "RegexRouter" | "ByLogicalTableRouter" => router(t, transform, class),
        "ExtractField" => extract_field(t, transform),
        "ExtractNewRecordState" => new_record_state(t, transform),
        "TimestampConverter" => timestamp_converter(t, transform),
        "ValueToKey" => value_to_key(t, transform),
        "Cast" => accept(t, transform, "the type of the column decides"),
        "SetSchemaMetadata" => accept(t, transform, "names of schemas are not read"),
        "TombstoneHandler" | "DropHeaders" | "InsertHeader" => {
            accept(
                t,
                transform,
                "tombstones are skipped or delete rows, and headers are not written unless sink.metadata.headers is set",
            );
        }
        "Flatten" => reject(
            t,
            transform,
            "an object goes into a column of type jsonb as it is; a generated column can take a part of it",
        ),
        "MaskField" => reject(t, transform, "leave the column out of the table: the field is then ignored"),
        "Filter" => reject(
            t,
            transform,
            "every record is written; a trigger of the table that returns NULL skips rows",
        ),
        "TimestampRouter" => {
            reject(t, transform, "partition the table by time: PostgreSQL then chooses the partition");
        }
        "HoistField" if is_only_key_column(t, transform) => {
            accept(t, transform, "a key that is one value is the value of the only key column");
        }
        "HoistField" | "HeaderFrom" => reject(t, transform, "fields are columns of the same names"),
        other => reject(t, transform, &format!("{other} is not known here")),
    }
}

/// Whether the field that the transform makes of a key is the key of the table.
fn is_only_key_column(t: &Translation, transform: &Transform<'_>) -> bool {
    let column = transform.get(t, "field");
    transform.of_key
        && t.text(&["sink", "pk_mode"]) == "record_key"
        && t.texts(&["sink", "pk_fields"]).into_iter().eq(column)
}

/// Every key of the transform is not needed.
fn accept(t: &mut Translation, transform: &Transform<'_>, why: &str) {
    for key in own_keys(t, transform) {
        t.not_needed(&key, why);
    }
}

/// No key of the transform is supported.
fn reject(t: &mut Translation, transform: &Transform<'_>, instead: &str) {
    for key in own_keys(t, transform) {
        t.not_supported(&key, instead);
    }
}

fn own_keys(t: &Translation, transform: &Transform<'_>) -> Vec<String> {
    let prefix = format!("{}.", transform.prefix);
    t.input.keys().filter(|key| key.starts_with(&prefix) && !t.report.has(key)).cloned().collect()
}

fn replace_field(t: &mut Translation, transform: &Transform<'_>) {
    t.taken(&transform.key("type"), "its options are below");
    if let Some(renames) = transform.get(t, "renames") {
        let key = transform.key("renames");
        for pair in list(&renames) {
            match pair.split_once(':') {
                Some((field, column)) => rename(t, &key, field.trim(), column.trim()),
                None => t.not_supported(&key, format!("{pair} is not field:column")),
            }
        }
    }
    for option in ["exclude", "blacklist", "include", "whitelist"] {
        let key = transform.key(option);
        if t.get(&key).is_some() {
            t.not_supported(
                &key,
                "a field without a column is left out: the table decides which fields are written",
            );
        }
    }
}

/// Stores a field in a column of another name, unless the column has another source.
fn rename(t: &mut Translation, key: &str, field: &str, column: &str) {
    if field.is_empty() || column.is_empty() || column.len() > 63 {
        return t.not_supported(key, format!("{field:?} cannot be stored in a column {column:?}"));
    }
    if has_source(t, column) && t.text(&["sink", "rename", field]) != column {
        return t.not_supported(key, format!("column {column:?} has another source already"));
    }
    t.set(&["sink", "rename", field], column);
    t.taken(key, format!("sink.rename.{field:?} = {column:?}"));
}

fn has_source(t: &Translation, column: &str) -> bool {
    [RENAME, ["sink", "metadata"]].iter().any(|map| t.texts(map).iter().any(|used| used == column))
}

fn insert_field(t: &mut Translation, transform: &Transform<'_>) {
    if transform.of_key {
        return reject(t, transform, "keys get no further fields: sink.metadata fills columns of the row");
    }
    t.taken(&transform.key("type"), "its options are below");
    for (option, metadata) in [
        ("topic.field", "topic"),
        ("partition.field", "partition"),
        ("offset.field", "offset"),
        ("timestamp.field", "timestamp"),
    ] {
        let key = transform.key(option);
        let Some(field) = t.get(&key) else { continue };
        let column = field.trim_end_matches(['!', '?']).to_owned();
        let in_key = t.texts(&["sink", "pk_fields"]).contains(&column)
            && t.text(&["sink", "pk_mode"]) != "record_value";
        if has_source(t, &column)
            || in_key
            || t.value(&["sink", "metadata", metadata]).is_some()
            || column.len() > 63
        {
            t.not_supported(&key, format!("column {column:?} has another source already"));
        } else {
            t.take(&key, &["sink", "metadata", metadata], column);
        }
    }
    for option in ["static.field", "static.value"] {
        let key = transform.key(option);
        if t.get(&key).is_some() {
            t.not_supported(&key, "give the column a DEFAULT with this value");
        }
    }
    let key = transform.key("replace.null.with.default");
    if t.input.contains_key(&key) {
        t.not_needed(&key, "metadata columns have no schema");
    }
}

/// A router renames topics, and so tables.
fn router(t: &mut Translation, transform: &Transform<'_>, class: &str) {
    let [regex, replacement] = match class {
        "RegexRouter" => ["regex", "replacement"],
        _ => ["topic.regex", "topic.replacement"],
    };
    let topics = t.texts(&["kafka", "topics"]);
    let Some((pattern, with)) = transform.get(t, regex).zip(transform.get(t, replacement)) else {
        return reject(t, transform, "regex and replacement are both needed");
    };
    // Java replaces only if the whole name matches.
    let Ok(pattern) = Regex::new(&format!("^(?:{pattern})$")) else {
        return reject(
            t,
            transform,
            "the regular expression is only known to Java: set the table of each topic in [topics.\"…\"]",
        );
    };
    if t.value(&["kafka", "topics_regex"]).is_some() {
        return reject(
            t,
            transform,
            "with topics_regex a table has the name of its topic: set the others in [topics.\"…\"]",
        );
    }
    let with = Regex::new(r"\$(\d+)")
        .map_or_else(|_| with.clone(), |group| group.replace_all(&with, "$${$1}").into_owned());
    let format = t.text(&["sink", "table"]).to_owned();
    let mut tables = Vec::new();
    for topic in topics {
        let routed = pattern.replace(&topic, with.as_str()).into_owned();
        let name = if t.family == Family::Debezium { routed.replace('.', "_") } else { routed };
        let table = format.replace("${topic}", &name);
        set_table(t, &topic, &table);
        tables.push(format!("{topic} to {table}"));
    }
    for key in own_keys(t, transform) {
        let known = [transform.key("type"), transform.key(regex), transform.key(replacement)].contains(&key);
        if known {
            t.taken(&key, format!("tables of topics: {}", tables.join(", ")));
        } else {
            t.not_supported(&key, "the keys of records are not changed");
        }
    }
}

fn extract_field(t: &mut Translation, transform: &Transform<'_>) {
    let Some(field) = transform.get(t, "field") else {
        return reject(t, transform, "it names no field");
    };
    let format = t.text(&["sink", "value_format"]).to_owned();
    let columns = t.texts(&["sink", "pk_fields"]);
    if transform.of_key {
        match &columns[..] {
            _ if t.text(&["sink", "pk_mode"]) != "record_key" => {
                accept(t, transform, "the key of the record is not used");
            }
            [column] if *column == field => {
                accept(t, transform, "a key that is an object gives its field to the key column");
            }
            [column] => {
                let (key, column) = (transform.key("field"), column.clone());
                rename(t, &key, &field, &column);
                t.taken(&transform.key("type"), "a key that is an object gives its field to the key column");
                accept(t, transform, "a missing field makes a dead letter");
            }
            _ => reject(t, transform, "a key of several columns is an object with a field for each"),
        }
    } else if field == "after" && format == "debezium" {
        accept(t, transform, "value_format = \"debezium\" takes the row after the change");
    } else {
        reject(
            t,
            transform,
            "the row is the whole value: value_format opens the envelopes of Connect and Debezium",
        );
    }
}

fn new_record_state(t: &mut Translation, transform: &Transform<'_>) {
    t.set(&["sink", "value_format"], "debezium");
    t.taken(&transform.key("type"), "sink.value_format = \"debezium\"");
    for (option, fine, instead) in [
        (
            "delete.handling.mode",
            ["none", "drop"],
            "rows are deleted with sink.delete_enabled; there are no soft deletes",
        ),
        (
            "delete.tombstone.handling.mode",
            ["tombstone", "drop"],
            "rows are deleted with sink.delete_enabled; there are no soft deletes",
        ),
    ] {
        let key = transform.key(option);
        match t.get(&key) {
            Some(mode) if fine.contains(&mode.as_str()) => t.not_needed(&key, "sink.delete_enabled decides"),
            Some(_) => t.not_supported(&key, instead),
            None => {}
        }
    }
    let key = transform.key("drop.tombstones");
    if t.get(&key).is_some() {
        t.not_needed(&key, "sink.delete_enabled decides");
    }
    for option in ["add.fields", "add.headers", "add.fields.prefix", "add.headers.prefix", "route.by.field"] {
        let key = transform.key(option);
        if t.get(&key).is_some() {
            t.not_supported(&key, "only the row is written, and sink.metadata: topic, partition, offset, timestamp, key, headers");
        }
    }
}

fn timestamp_converter(t: &mut Translation, transform: &Transform<'_>) {
    let target = transform.get(t, "target.type").unwrap_or_default();
    let iso = |format: String| {
        let format = format.replace('\'', "");
        ["yyyy-MM-dd", "yyyy/MM/dd HH:mm:ss"].iter().any(|start| format.starts_with(start))
            && !format.contains('/')
    };
    let readable = transform.get(t, "format").is_none_or(iso);
    let millis = transform.get(t, "unix.precision").is_none_or(|unit| unit == "milliseconds");
    match target.as_str() {
        "Timestamp" | "Date" | "Time" if readable && millis => {
            accept(
                t,
                transform,
                "ISO 8601 text and milliseconds since 1970 are read as the type of the column",
            );
        }
        "Timestamp" | "Date" | "Time" => {
            reject(
                t,
                transform,
                "times are read as ISO 8601 text or as milliseconds since 1970; a column of type text takes anything",
            );
        }
        _ => reject(
            t,
            transform,
            "a value is stored as the type of its column: let the column have the type of the field",
        ),
    }
}

/// The key is made of fields of the value, which is `pk_mode = "record_value"`.
fn value_to_key(t: &mut Translation, transform: &Transform<'_>) {
    let fields = transform.get(t, "fields").map(|fields| list(&fields)).unwrap_or_default();
    let columns = t.texts(&["sink", "pk_fields"]);
    let same = columns.iter().all(|column| fields.contains(column)) || columns == ["id"];
    if t.text(&["sink", "pk_mode"]) != "record_key" || fields.is_empty() || !same {
        return accept(t, transform, "the key of the record is not used");
    }
    if t.value(&["sink", "delete_enabled"]).and_then(Value::as_bool) == Some(true) {
        return reject(t, transform, "deletes need the key of the record: have the producer set it");
    }
    t.set(&["sink", "pk_mode"], "record_value");
    t.set(&["sink", "pk_fields"], fields.iter().cloned().map(Value::from).collect::<Vec<_>>());
    for key in own_keys(t, transform) {
        t.taken(&key, format!("sink.pk_mode = \"record_value\", sink.pk_fields = {fields:?}"));
    }
}
