//! The reference documentation of a schema, as Markdown.

use super::schema::{Default, Key, Kind, Schema};

/// A table of every key: values, default, unit, environment variable, help.
#[must_use]
pub fn keys(schema: &Schema) -> String {
    let mut text =
        String::from("| key | values | default | variable | what it is for |\n|---|---|---|---|---|\n");
    for key in schema.keys {
        let variable = if key.kind.is_file_only() {
            "files only".to_owned()
        } else if key.kind == Kind::Properties {
            format!("`{}__…`", schema.variable(key.path))
        } else {
            format!("`{}`", schema.variable(key.path))
        };
        let cells = [format!("`{}`", key.path), values(key), default(key), variable, key.help.to_owned()];
        text += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    text
}

fn values(key: &Key) -> String {
    let unit = if key.unit.is_empty() { String::new() } else { format!(" {}", key.unit) };
    match key.kind {
        Kind::Text => "text".to_owned(),
        Kind::Integer { min, max: i64::MAX } => format!("from {min}{unit}"),
        Kind::Integer { min, max } => format!("{min} to {max}{unit}"),
        Kind::Float { min, max } => format!("{min} to {max}{unit}"),
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Choice(choices) => choices.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", "),
        Kind::List => "list of text".to_owned(),
        Kind::Properties => "properties".to_owned(),
        Kind::Map([]) => "map of text".to_owned(),
        Kind::Map(names) => {
            let names = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            format!("map of text; names: {names}")
        }
        Kind::Tables(section) => format!("tables with the keys of `[{section}]`"),
    }
}

fn default(key: &Key) -> String {
    let unit = if key.unit.is_empty() { String::new() } else { format!(" {}", key.unit) };
    match key.default {
        Default::None => "none".to_owned(),
        Default::Text(text) => format!("`{text}`"),
        Default::Integer(number) => format!("{number}{unit}"),
        Default::Float(number) => number.to_string(),
        Default::Boolean(truth) => format!("`{truth}`"),
        Default::List(list) => format!("`{list:?}`"),
        Default::Depends(words) => words.to_owned(),
    }
}
