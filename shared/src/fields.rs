//! The fields of a JSON document as Markdown, from the structs that it is written from and their doc comments.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// A table of every field of a document: name, type, meaning. `a.b` is a field of an object, `a[].b` of each object of a list.
#[must_use]
pub fn fields<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let mut text = String::from("| field | type | meaning |\n|---|---|---|\n");
    add(&mut text, &schema, "");
    text
}

fn add(text: &mut String, object: &Value, path: &str) {
    let Some(properties) = object["properties"].as_object() else { return };
    for (name, described) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let (schema, nullable) = without_null(described);
        let words = described["description"].as_str().or_else(|| schema["description"].as_str());
        let words = words.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let null = if nullable { " or null" } else { "" };
        *text += &format!("| `{path}` | {}{null} | {} |\n", kind(schema), words.replace('|', "\\|"));
        match schema["items"].is_object() {
            true => add(text, without_null(&schema["items"]).0, &format!("{path}[]")),
            false => add(text, schema, &path),
        }
    }
}

/// The schema of a value that is there, and whether it may be null.
fn without_null(schema: &Value) -> (&Value, bool) {
    let null = |variant: &&Value| variant["type"] == "null";
    if let Some(variants) = schema["anyOf"].as_array() {
        let other = variants.iter().find(|variant| !null(variant)).unwrap_or(schema);
        return (other, variants.iter().any(|variant| null(&variant)));
    }
    let types = schema["type"].as_array();
    (schema, types.is_some_and(|types| types.iter().any(|kind| kind == "null")))
}

fn kind(schema: &Value) -> String {
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().find(|kind| *kind != "null").and_then(Value::as_str),
        one => one.as_str(),
    };
    match types {
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("array") => {
            let (items, nullable) = without_null(&schema["items"]);
            format!("list of {}{}", kind(items), if nullable { " or null" } else { "" })
        }
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map of {}", kind(&schema["additionalProperties"]))
        }
        Some(other) => other.to_owned(),
        // An enum: words, each with a meaning.
        None if schema["oneOf"].is_array() => "text".to_owned(),
        None => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    /// Not shown.
    #[derive(Serialize, JsonSchema)]
    struct Document {
        /// How many
        /// there are.
        count: u64,
        parts: Vec<Part>,
        /// The first one.
        first: Option<Part>,
        /// By name.
        by_name: BTreeMap<String, u64>,
        seen: Vec<Option<f64>>,
    }

    /// A part.
    #[derive(Serialize, JsonSchema)]
    struct Part {
        /// a | b
        name: Option<String>,
    }

    #[test]
    fn every_field_has_its_type_and_its_meaning() {
        let table = fields::<Document>();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `by_name` | map of integer | By name. |",
                "| `count` | integer | How many there are. |",
                "| `first` | object or null | The first one. |",
                "| `first.name` | text or null | a \\| b |",
                "| `parts` | list of object |  |",
                "| `parts[].name` | text or null | a \\| b |",
                "| `seen` | list of number or null |  |",
            ]
        );
    }
}
