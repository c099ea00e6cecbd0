//! The state of a translation: the input, what is reported of it so far, and our configuration.

use std::collections::{BTreeMap, HashMap};

use toml::{Table, Value};

use super::report::{Outcome, Report};

/// Which connector the input is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Confluent's, or Aiven's, which began as a copy of it.
    Jdbc,
    Debezium,
    Other,
}

pub(super) struct Translation {
    pub family: Family,
    /// A transform opens change events.
    pub opens_events: bool,
    pub input: BTreeMap<String, String>,
    pub report: Report,
    /// What was set, by section and key.
    settings: Table,
    /// The key of the input that a key of ours was taken from.
    sources: HashMap<String, String>,
    /// Lines that the file has as comments, because only the user can complete them.
    pub todo: Vec<String>,
    /// The input has the database's password, which is not copied.
    pub has_password: bool,
}

impl Translation {
    pub(super) fn new(input: BTreeMap<String, String>) -> Self {
        let class = input.get("connector.class").map_or("", String::as_str);
        let family = match class.rsplit('.').next() {
            Some("JdbcSinkConnector") if class.contains("debezium") => Family::Debezium,
            Some("JdbcSinkConnector" | "JdbcSink" | "PostgresSink") => Family::Jdbc,
            _ => Family::Other,
        };
        Self {
            family,
            opens_events: false,
            input,
            report: Report::default(),
            settings: Table::new(),
            sources: HashMap::new(),
            todo: Vec::new(),
            has_password: false,
        }
    }

    /// The value of a key, without white space around it; `None` if it is missing or empty, or a reference: what the
    /// worker would put there is not known. [`super::plain::rest`] reports those.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        let value = self.input.get(key).map(|value| value.trim().to_owned());
        value.filter(|value| !value.is_empty() && !is_reference(value))
    }

    /// The first of these keys that the input has, with its value. Connectors have different names for the same.
    pub(super) fn either(&self, keys: &[&'static str]) -> Option<(&'static str, String)> {
        keys.iter().find_map(|key| Some((*key, self.get(key)?)))
    }

    /// Sets a key of ours. The path is the section, and then the key.
    pub(super) fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let (last, sections) = path.split_last().expect("a key has a name");
        let mut table = &mut self.settings;
        for section in sections {
            let entry = table.entry(*section).or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().expect("a section is a table");
        }
        table.insert((*last).to_owned(), value.into());
    }

    /// The value of a key of ours.
    pub(super) fn value(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.settings.get(*first)?, |value, name| value.get(name))
    }

    pub(super) fn text(&self, path: &[&str]) -> &str {
        self.value(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// The texts of a list or map of ours.
    pub(super) fn texts(&self, path: &[&str]) -> Vec<String> {
        let texts =
            |values: Vec<&Value>| values.into_iter().filter_map(Value::as_str).map(str::to_owned).collect();
        match self.value(path) {
            Some(Value::Array(values)) => texts(values.iter().collect()),
            Some(Value::Table(values)) => texts(values.values().collect()),
            _ => Vec::new(),
        }
    }

    /// Removes properties of librdkafka that were set.
    pub(super) fn remove_properties(&mut self, gone: impl Fn(&str) -> bool) {
        let properties = self.settings.get_mut("kafka").and_then(|kafka| kafka.get_mut("properties"));
        if let Some(properties) = properties.and_then(Value::as_table_mut) {
            properties.retain(|name, _| !gone(name));
        }
    }

    /// Removes a key of ours.
    pub(super) fn unset(&mut self, path: &[&str]) {
        let Some((last, sections)) = path.split_last() else { return };
        let table = sections.iter().try_fold(&mut self.settings, |table, section| {
            table.get_mut(*section).and_then(Value::as_table_mut)
        });
        table.map(|table| table.remove(*last));
    }

    pub(super) fn settings(&self) -> &Table {
        &self.settings
    }

    /// Reports a key that becomes `path`, and sets it.
    pub(super) fn take(&mut self, key: &str, path: &[&str], value: impl Into<Value>) {
        let value = value.into();
        let path_name = path.join(".");
        self.report_key(key, Outcome::Taken, format!("{path_name} = {value}"));
        self.sources.insert(path_name, key.to_owned());
        self.set(path, value);
    }

    /// The key of the input that a key of ours was taken from, by its display form in errors.
    pub(super) fn source(&self, own: &str) -> Option<&str> {
        self.sources.get(&own.replace('"', "")).map(String::as_str)
    }

    pub(super) fn taken(&mut self, key: &str, how: impl Into<String>) {
        self.report_key(key, Outcome::Taken, how.into());
    }

    pub(super) fn not_needed(&mut self, key: &str, why: impl Into<String>) {
        self.report_key(key, Outcome::NotNeeded, why.into());
    }

    pub(super) fn not_supported(&mut self, key: &str, instead: impl Into<String>) {
        self.report_key(key, Outcome::NotSupported, instead.into());
    }

    fn report_key(&mut self, key: &str, outcome: Outcome, why: String) {
        if self.input.contains_key(key) {
            self.report.add(key, outcome, why);
        } else if outcome == Outcome::NotSupported {
            // It has to be given, or is a default of Connect's.
            self.report.add_not_given(key, why);
        }
    }
}

/// The elements of a comma-separated list.
pub(super) fn list(value: &str) -> Vec<String> {
    let mut elements: Vec<String> = Vec::new();
    for element in value.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        if !elements.iter().any(|known| known == element) {
            elements.push(element.to_owned());
        }
    }
    elements
}

/// Whether a value is a reference such as `${file:/opt/secrets.properties:password}`, which a worker resolves.
pub(super) fn is_reference(value: &str) -> bool {
    value.contains("${")
        && value.split_once("${").is_some_and(|(_, rest)| rest.contains(':') && rest.contains('}'))
}
