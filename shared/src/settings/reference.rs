//! The reference documentation of a schema, as Markdown.

use serde_json::Value;

use super::schema::{Key, Kind, Schema};

/// A table of every key: values, default, unit, environment variable, help.
#[must_use]
pub fn keys(schema: &Schema) -> String {
    let mut text =
        String::from("| key | values | default | variable | what it is for |\n|---|---|---|---|---|\n");
    for key in &schema.keys {
        let variable = if key.kind.is_file_only() {
            "files only".to_owned()
        } else if key.kind == Kind::Properties {
            format!("`{}__…`", schema.variable(&key.path))
        } else {
            format!("`{}`", schema.variable(&key.path))
        };
        let help = key.json["description"].as_str().unwrap_or_default().to_owned();
        let cells = [format!("`{}`", key.path), values(key), default(key), variable, help];
        text += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    text
}

fn values(key: &Key) -> String {
    let unit = unit(key);
    let words = |words: &[String]| words.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
    match &key.kind {
        Kind::Text => "text".to_owned(),
        Kind::Integer { min, max: i64::MAX } => format!("from {min}{unit}"),
        Kind::Integer { min, max } => format!("{min} to {max}{unit}"),
        Kind::Float { min, max } => format!("{min} to {max}{unit}"),
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Choice(choices) => words(choices),
        Kind::List => "list of text".to_owned(),
        Kind::Properties => "properties".to_owned(),
        Kind::Map(names) if names.is_empty() => "map of text".to_owned(),
        Kind::Map(names) => format!("map of text; names: {}", words(names)),
        Kind::Tables(section) => format!("tables with the keys of `[{section}]`"),
    }
}

fn default(key: &Key) -> String {
    match (&key.json["x-default"], &key.json["default"]) {
        (Value::String(words), _) => words.clone(),
        (_, Value::Null) => "none".to_owned(),
        (_, Value::Number(number)) => format!("{number}{}", unit(key)),
        (_, Value::String(text)) => format!("`{text}`"),
        (_, value) => format!("`{value}`"),
    }
}

fn unit(key: &Key) -> String {
    key.json["x-unit"].as_str().map_or_else(String::new, |unit| format!(" {unit}"))
}
