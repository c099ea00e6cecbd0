//! The alerts without Helm: the chart's rules, filled in from its defaults.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::paths;

const SOURCE: &str = "helm/livescores/files/rules.yaml";
const DEFAULTS: &str = "helm/livescores/files/alerts.json";

/// The values that the rules are filled in from.
#[derive(Clone, Debug)]
pub struct Values(Map<String, Value>);

impl Values {
    /// The chart's defaults, for every connector that Prometheus knows.
    ///
    /// # Errors
    /// The file is missing or no JSON.
    pub fn defaults() -> Result<Self> {
        let text = fs::read_to_string(paths::workspace(DEFAULTS)).context(DEFAULTS)?;
        let values = Self(serde_json::from_str(&text).context(DEFAULTS)?);
        Ok(values
            .with("group", "livescores")
            .with("runbookUrl", super::RUNBOOK_URL)
            .with("selector", "")
            .with("targetSelector", r#"job=~"sink-connector|producer""#)
            .with("orAbsent", r#"or absent(up{job=~"sink-connector|producer"})"#)
            .with("cronJobSelector", r#"cronjob=~".*producer.*""#))
    }

    /// Another value, by its dotted path.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        match path.split_once('.') {
            Some((alert, key)) => self.0.entry(alert).or_insert_with(|| json!({}))[key] = value.into(),
            None => {
                self.0.insert(path.to_owned(), value.into());
            }
        }
        self
    }

    fn get(&self, path: &str) -> Result<String> {
        let pointer = format!("/{}", path.replace('.', "/"));
        match Value::Object(self.0.clone()).pointer(&pointer) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ Value::Number(_)) => Ok(value.to_string()),
            _ => bail!("{SOURCE} asks for {path}, which {DEFAULTS} does not have"),
        }
    }
}

/// The rules with these values. `{{ .path }}` is a value; `{{ $… }}` is Prometheus's own and stays.
///
/// # Errors
/// A value is missing, or the rules hold something that only Helm would understand.
pub fn render(values: &Values) -> Result<String> {
    let source = fs::read_to_string(paths::workspace(SOURCE)).context(SOURCE)?;
    // What stands above the first key explains the source, not what is made of it.
    let mut rest = &source[source.find("groups:").context("no groups")?..];
    let mut text = String::new();
    while let Some(begin) = rest.find("{{") {
        let end = begin + rest[begin..].find("}}").context("{{ without }}")? + 2;
        let inside = rest[begin + 2..end - 2].trim();
        text += &rest[..begin];
        match inside.strip_prefix('.') {
            Some(path) => text += &values.get(path)?,
            None if inside.starts_with('$') => text += &rest[begin..end],
            None => bail!("{{{{ {inside} }}}} in {SOURCE} is neither a value nor Prometheus's own"),
        }
        rest = &rest[end..];
    }
    Ok(text + rest)
}

/// monitoring/rules.yaml: for a Prometheus without Helm.
///
/// # Errors
/// As [`render`].
pub fn plain() -> Result<String> {
    let head = "# Made by `make monitoring` from helm/livescores/files/rules.yaml and alerts.json. Do not edit.\n\
                # The jobs that scrape the sinks and the producers are expected to be called `sink-connector` and `producer`.\n";
    Ok(head.to_owned() + &render(&Values::defaults()?)?)
}
