//! The column types that Kafka Connect's schemas declare. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::decode::ValueFormat;

/// Types of the fields of a sample, by the schemas in its values or keys.
#[derive(Debug, Default)]
pub(super) struct DeclaredTypes {
    fields: BTreeMap<String, BTreeSet<String>>,
    /// Of what is not a struct.
    whole: BTreeSet<String>,
}

/// `{"schema", "payload"}`, as JsonConverter writes it.
#[derive(Deserialize)]
struct Envelope {
    schema: Option<Schema>,
    /// An object without it is no envelope, and its `schema` a field like others.
    #[serde(rename = "payload")]
    _payload: IgnoredAny,
}

#[derive(Deserialize)]
struct Schema {
    #[serde(default, rename = "type")]
    base: String,
    name: Option<String>,
    field: Option<String>,
    fields: Option<Vec<Schema>>,
    items: Option<Box<Schema>>,
}

impl DeclaredTypes {
    /// Adds what the schema in a value of this format declares. Returns whether there is one.
    pub(super) fn add_value(&mut self, format: ValueFormat, value: &[u8]) -> bool {
        let Some(schema) = schema(value) else { return false };
        match format {
            ValueFormat::Json => return false,
            ValueFormat::JsonSchema => self.add(&schema),
            ValueFormat::Debezium => {
                let images = schema.fields.iter().flatten();
                images
                    .filter(|image| matches!(image.field.as_deref(), Some("before" | "after")))
                    .for_each(|image| self.add(image));
            }
        }
        true
    }

    /// Adds what the schema in a key declares.
    pub(super) fn add_key(&mut self, key: &[u8]) {
        if let Some(schema) = schema(key) {
            self.add(&schema);
        }
    }

    fn add(&mut self, schema: &Schema) {
        if schema.base != "struct" {
            self.whole.extend(column_type(schema));
        }
        for field in schema.fields.iter().flatten() {
            if let (Some(name), Some(type_name)) = (&field.field, column_type(field)) {
                self.fields.entry(name.clone()).or_default().insert(type_name);
            }
        }
    }

    /// The type of a field, if all schemas of the sample agree on it.
    pub(super) fn of(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(only)
    }

    /// The type of a key that is not a struct.
    pub(super) fn of_whole(&self) -> Option<&str> {
        only(&self.whole)
    }
}

fn schema(envelope: &[u8]) -> Option<Schema> {
    serde_json::from_slice::<Envelope>(envelope).ok()?.schema
}

fn only(types: &BTreeSet<String>) -> Option<&str> {
    types.first().filter(|_| types.len() == 1).map(String::as_str)
}

/// The column type for the values of a schema. The names are those of `org.apache.kafka.connect.data` and of Debezium.
fn column_type(schema: &Schema) -> Option<String> {
    let type_name = match schema.name.as_deref().unwrap_or_default() {
        "org.apache.kafka.connect.data.Decimal" | "io.debezium.data.VariableScaleDecimal" => "numeric",
        "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date" => "date",
        "org.apache.kafka.connect.data.Time"
        | "io.debezium.time.Time"
        | "io.debezium.time.MicroTime"
        | "io.debezium.time.NanoTime" => "time",
        "org.apache.kafka.connect.data.Timestamp"
        | "io.debezium.time.Timestamp"
        | "io.debezium.time.MicroTimestamp"
        | "io.debezium.time.NanoTimestamp" => "timestamp",
        "io.debezium.time.ZonedTimestamp" => "timestamptz",
        "io.debezium.time.ZonedTime" => "timetz",
        "io.debezium.time.Interval" => "interval",
        "io.debezium.data.Json" => "jsonb",
        "io.debezium.data.Uuid" => "uuid",
        "io.debezium.data.Xml" => "xml",
        _ => match schema.base.as_str() {
            "boolean" => "boolean",
            "int8" | "int16" => "smallint",
            "int32" => "integer",
            "int64" => "bigint",
            "float" | "float32" => "real",
            "double" | "float64" => "double precision",
            "string" => "text",
            "bytes" => "bytea",
            "struct" | "map" => "jsonb",
            "array" => return schema.items.as_deref().and_then(array_type),
            _ => return None,
        },
    };
    Some(type_name.to_owned())
}

fn array_type(items: &Schema) -> Option<String> {
    let element = column_type(items)?;
    Some(if element == "jsonb" || element.ends_with("[]") { "jsonb".to_owned() } else { element + "[]" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_the_type_and_schemas_that_disagree_do_not() {
        for (schema, wanted) in [
            (r#"{"type":"int16"}"#, "smallint"),
            (r#"{"type":"float"}"#, "real"),
            (r#"{"type":"bytes"}"#, "bytea"),
            (r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal"}"#, "numeric"),
            (r#"{"type":"int64","name":"io.debezium.time.MicroTime"}"#, "time"),
            (r#"{"type":"string","name":"io.debezium.time.ZonedTimestamp"}"#, "timestamptz"),
            (r#"{"type":"string","name":"io.debezium.data.Enum"}"#, "text"),
            (r#"{"type":"struct","name":"io.debezium.data.VariableScaleDecimal","fields":[]}"#, "numeric"),
            (r#"{"type":"struct","fields":[]}"#, "jsonb"),
            (r#"{"type":"array","items":{"type":"int32","name":"io.debezium.time.Date"}}"#, "date[]"),
            (r#"{"type":"array","items":{"type":"struct"}}"#, "jsonb"),
            (r#"{"type":"array","items":{"type":"array","items":{"type":"int32"}}}"#, "jsonb"),
        ] {
            let field = format!("{{\"field\":\"f\",{}", &schema[1..]);
            let value =
                format!(r#"{{"schema":{{"type":"struct","fields":[{field}]}},"payload":{{"f":1e999}}}}"#);
            let mut declared = DeclaredTypes::default();
            assert!(declared.add_value(ValueFormat::JsonSchema, value.as_bytes()));
            assert_eq!(declared.of("f"), Some(wanted));
            let other = value.replace(&field, r#"{"field":"f","type":"int8"}"#);
            declared.add_value(ValueFormat::JsonSchema, other.as_bytes());
            assert_eq!(declared.of("f").is_some(), wanted == "smallint");
        }
    }

    #[test]
    fn a_key_is_a_struct_or_one_value_and_without_a_schema_nothing_is_declared() {
        let mut declared = DeclaredTypes::default();
        declared.add_key(br#"{"schema":{"type":"int32"},"payload":1}"#);
        assert_eq!((declared.of_whole(), declared.of("id")), (Some("integer"), None));
        for value in [
            r#"{"a":1}"#,
            r#"{"schema":null,"payload":{}}"#,
            r#"{"schema":{"type":"string"},"id":1}"#,
            r#"{"schema":{"type":1},"payload":1}"#,
            "not JSON",
        ] {
            assert!(!declared.add_value(ValueFormat::JsonSchema, value.as_bytes()), "{value}");
            declared.add_key(value.as_bytes());
        }
        assert_eq!(declared.of_whole(), Some("integer"));
        let without_fields = br#"{"schema":{"type":"struct","fields":null},"payload":{}}"#;
        assert!(declared.add_value(ValueFormat::JsonSchema, without_fields));
    }
}
