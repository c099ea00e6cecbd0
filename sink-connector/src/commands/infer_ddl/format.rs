//! What the values of a topic look like, and which of their fields are decimals. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::decode::ValueFormat;

/// Connect's types of exact numbers, whose values do not show that they are.
const DECIMALS: [&str; 2] =
    ["org.apache.kafka.connect.data.Decimal", "io.debezium.data.VariableScaleDecimal"];

/// The format that all values of the sample have; plain JSON if they have none in common.
pub(super) fn detect<'a>(values: impl Iterator<Item = &'a [u8]>) -> ValueFormat {
    let mut seen = BTreeMap::new();
    for value in values {
        let Ok(Value::Object(object)) = serde_json::from_slice(value) else { continue };
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

fn format_of(object: &Map<String, Value>) -> &'static str {
    let wrapped = object.len() == 2 && object.contains_key("schema");
    match object.get("payload").filter(|_| wrapped) {
        Some(Value::Object(payload)) if is_change(payload) => "debezium",
        Some(_) => "json_schema",
        None if is_change(object) => "debezium",
        None => "json",
    }
}

/// Debezium's events have an operation and the images of the row.
fn is_change(object: &Map<String, Value>) -> bool {
    let op = object.get("op").and_then(Value::as_str);
    op.is_some_and(|op| ["c", "u", "d", "r", "t", "m"].contains(&op))
        && ["after", "before"].iter().any(|image| object.contains_key(*image))
}

/// The fields of the row that the schema in a value calls decimals.
pub(super) fn decimals(format: ValueFormat, value: &[u8]) -> BTreeSet<String> {
    let value: Value = serde_json::from_slice(value).unwrap_or_default();
    let fields = |schema: &Value| schema["fields"].as_array().cloned().unwrap_or_default();
    let structs = match format {
        ValueFormat::Json => Vec::new(),
        ValueFormat::JsonSchema => vec![value["schema"].clone()],
        ValueFormat::Debezium => fields(&value["schema"]),
    };
    let columns = structs.iter().flat_map(fields);
    let decimals =
        columns.filter(|column| column["name"].as_str().is_some_and(|name| DECIMALS.contains(&name)));
    decimals.filter_map(|column| column["field"].as_str().map(str::to_owned)).collect()
}
