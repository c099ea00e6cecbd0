//! What the values of a topic look like. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::decode::ValueFormat;

/// The members of an object. Their values are not read: a number may exceed every type of Rust.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The format that all values of the sample have; plain JSON if they have none in common.
pub(super) fn detect<'a>(values: impl Iterator<Item = &'a [u8]>) -> ValueFormat {
    let mut seen = BTreeMap::new();
    for value in values {
        let Ok(object) = serde_json::from_slice::<Members<'_>>(value) else { continue };
        *seen.entry(format_of(&object)).or_insert(0_u64) += 1;
    }
    if seen.contains_key("json") {
        return ValueFormat::Json;
    }
    match (seen.contains_key("debezium"), seen.contains_key("json_schema")) {
        (true, _) => ValueFormat::Debezium,
        (false, true) => ValueFormat::JsonSchema,
        (false, false) => ValueFormat::Json,
    }
}

fn format_of(object: &Members<'_>) -> &'static str {
    let wrapped = object.len() == 2 && object.contains_key("schema");
    match object.get("payload").filter(|_| wrapped).map(|payload| serde_json::from_str(payload.get())) {
        Some(Ok(payload)) if is_change(&payload) => "debezium",
        Some(_) => "json_schema",
        None if is_change(object) => "debezium",
        None => "json",
    }
}

/// Debezium's events have an operation and the images of the row.
fn is_change(object: &Members<'_>) -> bool {
    let op = object.get("op").and_then(|op| serde_json::from_str::<String>(op.get()).ok());
    op.is_some_and(|op| ["c", "u", "d", "r", "t", "m"].contains(&op.as_str()))
        && ["after", "before"].iter().any(|image| object.contains_key(*image))
}
