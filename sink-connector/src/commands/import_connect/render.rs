//! Our configuration as TOML or as Helm values, with the report above it.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::report::Report;
use super::translation::Translation;

/// What is to be done before the first start.
const FIRST: &str = "\
Before the first start:
  1. Stop or delete the connector, so that its group has no members: its positions stay.
  2. Run `sink-connector check`: it says at which offset each partition begins, from the group's offset.
";

/// The TOML file.
pub(super) fn toml(t: &Translation) -> Result<String, toml::ser::Error> {
    Ok(head(t) + "\n" + &toml::to_string(t.settings())?)
}

/// The chart's values: what all connectors share is set for this one only.
pub(super) fn helm(t: &Translation) -> String {
    let mut config = t.settings().clone();
    let mut connector = Table::new();
    let mut kafka = Table::new();
    if let Some(Value::Table(own)) = config.get_mut("kafka") {
        kafka.extend(own.remove("bootstrap_servers").map(|servers| ("bootstrapServers".to_owned(), servers)));
        let properties = own.get_mut("properties").and_then(Value::as_table_mut);
        if properties.is_some_and(|properties| properties.remove("sasl.password").is_some()) {
            // The chart refuses a password in its values.
            kafka.insert("existingSecret".to_owned(), "kafka-credentials".into());
            let secret = Table::from_iter([("sasl.password".to_owned(), "password".into())]);
            kafka.insert("secretProperties".to_owned(), Value::Table(secret));
        }
    }
    let mut postgres = Table::new();
    if let Some(Value::Table(own)) = config.get_mut("postgres") {
        postgres.extend(own.remove("url").map(|url| ("url".to_owned(), url)));
    }
    if t.has_password {
        postgres.insert("existingSecret".to_owned(), "postgres-credentials".into());
    }
    config.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
    for (name, table) in [("kafka", kafka), ("postgres", postgres), ("config", config)] {
        if !table.is_empty() {
            connector.insert(name.to_owned(), Value::Table(table));
        }
    }
    let id = id(t.text(&["name"]));
    let connectors = Table::from_iter([(id, Value::Table(connector))]);
    let mut text = head(t) + "\n";
    yaml(&Table::from_iter([("connectors".to_owned(), Value::Table(connectors))]), 0, &mut text);
    text
}

/// What the chart takes as the key of a connector, which becomes part of names of objects: at most 20 of a-z, 0-9 and -,
/// and no name that the chart has itself.
fn id(name: &str) -> String {
    const LONGEST: usize = 20;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let plain: String = name.chars().map(plain).collect();
    let plain = plain.trim_matches('-');
    let mut id = plain.to_owned();
    if !id.starts_with(|c: char| c.is_ascii_alphabetic()) {
        id.insert_str(0, "c-");
    }
    if id.len() > LONGEST {
        // Two names that begin alike stay different.
        id = format!("{}-{}", id[..LONGEST - 5].trim_end_matches('-'), checksum(name));
    }
    let used = ["producer", "kafka", "postgres", "jobs", "migration"].contains(&id.as_str())
        || ["check", "test", "keda"].iter().any(|end| id == *end || id.ends_with(&format!("-{end}")));
    if used {
        id = format!("{}-c", id[..id.len().min(LONGEST - 2)].trim_end_matches('-'));
    }
    id.trim_end_matches('-').to_owned()
}

/// Four digits of a name (FNV-1a), the same in every version.
fn checksum(name: &str) -> String {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{:04x}", (hash >> 16) ^ (hash & 0xffff))
}

/// The report and what is left to do, as comments.
fn head(t: &Translation) -> String {
    let mut text = String::from("Translated from a configuration of Kafka Connect.\n");
    for part in [report(&t.report), FIRST.to_owned(), todo(t)] {
        if !part.is_empty() {
            text = text + "\n" + &part;
        }
    }
    text.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}

fn report(report: &Report) -> String {
    report.to_string()
}

fn todo(t: &Translation) -> String {
    if t.todo.is_empty() {
        return String::new();
    }
    t.todo.iter().fold("To be completed:\n".to_owned(), |text, line| text + "  " + line + "\n")
}

fn yaml(table: &Table, depth: usize, out: &mut String) {
    for (name, value) in table {
        let indent = "  ".repeat(depth);
        let name = json(name);
        match value {
            Value::Table(table) => {
                writeln!(out, "{indent}{name}:").expect("writing to a String cannot fail");
                yaml(table, depth + 1, out);
            }
            Value::Array(values) => {
                let values: Vec<String> = values.iter().map(scalar).collect();
                writeln!(out, "{indent}{name}: [{}]", values.join(", "))
                    .expect("writing to a String cannot fail");
            }
            value => {
                writeln!(out, "{indent}{name}: {}", scalar(value)).expect("writing to a String cannot fail");
            }
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => json(text),
        other => other.to_string(),
    }
}

/// Every JSON string is one in YAML, too. Plain names stay as they are.
fn json(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
            .contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_texts_are_what_kubernetes_takes() {
        assert_eq!(id("My Orders_sink"), "my-orders-sink");
        assert_eq!(id("7"), "c-7");
        assert_eq!(id("postgres"), "postgres-c");
        assert_eq!(id("orders-sink-test"), "orders-sink-test-c");
        assert_eq!(id("check"), "check-c");
        assert_eq!(id("\u{f6}"), "c");
        let long = ["jdbc-sink-postgres-orders", "jdbc-sink-postgres-returns"].map(id);
        assert!(long.iter().all(|id| id.len() == 20 && id.starts_with("jdbc-sink-postg-")), "{long:?}");
        assert_ne!(long[0], long[1]);
        assert_eq!(json("no"), "\"no\"");
        assert_eq!(json("a.b"), "a.b");
        assert_eq!(json("a: b"), "\"a: b\"");
    }
}
