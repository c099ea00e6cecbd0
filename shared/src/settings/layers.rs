//! Merges the layers into settings.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use config::builder::DefaultState;
use config::{Config, ConfigBuilder, ConfigError, Map, Source, ValueKind};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::environment::parts;
use super::errors::{Problem, RuleError, SettingError, SettingsErrors, dotted};
use super::schema::Schema;
use super::{check, environment};
use crate::log;

/// Layers of settings. A later layer overrides earlier ones; all override the defaults of the structs.
///
/// Tables merge key by key; lists and values are replaced.
#[derive(Debug)]
pub struct Layers {
    schema: &'static Schema,
    builder: ConfigBuilder<DefaultState>,
    errors: Errors,
}

/// The settings of all layers, not yet checked against the rules between keys.
#[derive(Debug)]
pub struct Loaded<T> {
    /// A key with an error has its default.
    pub settings: T,
    origins: BTreeMap<String, String>,
    errors: Errors,
}

/// The errors so far.
#[derive(Debug, Default)]
struct Errors {
    all: Vec<SettingError>,
    /// The keys that have one.
    keys: BTreeSet<String>,
    unread_file: bool,
}

/// The valid values of one layer. The sources of the crate stop at the first error, and know no variable by its name.
#[derive(Clone, Debug)]
struct Layer {
    values: Table,
    origin: String,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, config::Value>, ConfigError> {
        Ok(with_origin(self.values.clone(), &self.origin))
    }
}

fn with_origin(table: Table, origin: &String) -> Map<String, config::Value> {
    fn one(value: Value, origin: &String) -> config::Value {
        let kind: ValueKind = match value {
            Value::String(text) => text.into(),
            Value::Integer(number) => number.into(),
            Value::Float(number) => number.into(),
            Value::Boolean(flag) => flag.into(),
            Value::Datetime(time) => time.to_string().into(),
            Value::Array(values) => ValueKind::Array(values.into_iter().map(|v| one(v, origin)).collect()),
            Value::Table(table) => ValueKind::Table(with_origin(table, origin)),
        };
        config::Value::new(Some(origin), kind)
    }
    table.into_iter().map(|(name, v)| (name, one(v, origin))).collect()
}

impl Layers {
    /// The defaults only.
    #[must_use]
    pub fn new(schema: &'static Schema) -> Self {
        Self { schema, builder: Config::builder(), errors: Errors::default() }
    }

    /// Adds a TOML file, which must exist.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => self.text(&name, &text),
            Err(error) => {
                self.errors.unread(&name, Problem::Unreadable(error.to_string()));
                self
            }
        }
    }

    /// Adds the text of a TOML file; `name` is its name in errors.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                self.errors.unread(name, Problem::Invalid(one_line(&error.to_string())));
                return self;
            }
        };
        let checked = check::table(self.schema, table);
        let origin = format!("file {name}");
        for (key, problem) in checked.problems {
            self.errors.add(key, &origin, problem);
        }
        self.add(checked.values, origin)
    }

    /// Adds the variables that begin with the schema's prefix and `__`, in any case. Of others, only the log filter matters.
    #[must_use]
    pub fn environment<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables: Vec<(String, OsString)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())))
            .collect();
        let filter = variables.iter().find(|(name, _)| name == log::VARIABLE);
        if let Some(filter) = filter.and_then(|(_, value)| value.to_str())
            && let Err(error) = log::check(filter)
        {
            self.errors.other(Problem::Invalid(error.to_string()));
        }
        let mut found: Vec<(String, String, OsString)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((environment::ours(self.schema, &name)?, name, value)))
            .collect();
        found.sort();
        let mut seen = BTreeSet::new();
        for (ours, variable, value) in found {
            let origin = format!("variable {variable}");
            let (path, key) = match environment::place(self.schema, &ours) {
                Ok(place) => place,
                Err((key, problem)) => {
                    self.errors.add(key, &origin, problem);
                    continue;
                }
            };
            let parsed = match value.into_string() {
                _ if !seen.insert(path.clone()) => Err(Problem::TwoCases),
                Ok(text) => environment::parse(key, &text),
                Err(_) => Err(Problem::NotUtf8),
            };
            self = self.set(&path, parsed, origin);
        }
        self
    }

    /// Sets a declared key from a command-line flag, if it was given.
    #[must_use]
    pub fn flag(self, flag: &str, path: &str, value: Option<&str>) -> Self {
        let Some(value) = value else { return self };
        let parsed = match self.schema.find(path) {
            Some(key) => environment::parse(key, value),
            None => Err(Problem::UnknownKey(None)),
        };
        self.set(&parts(path), parsed, format!("flag {flag}"))
    }

    /// Merges the layers into the settings.
    ///
    /// # Errors
    /// Only if the settings cannot be deserialized. Other errors are returned by [`Loaded::finish`], together with broken
    /// rules.
    pub fn load<T: DeserializeOwned>(mut self) -> Result<Loaded<T>, SettingsErrors> {
        let merged = self.builder.build().and_then(|merged| {
            let origins = origins(&merged.cache);
            merged.try_deserialize().map(|settings| (settings, origins))
        });
        match merged {
            Ok((settings, origins)) => Ok(Loaded { settings, origins, errors: self.errors }),
            Err(error) => {
                if self.errors.all.is_empty() {
                    let problem = Problem::Invalid(one_line(&error.to_string()));
                    self.errors.all.push(SettingError { key: String::new(), origin: None, problem });
                }
                Err(SettingsErrors(self.errors.all))
            }
        }
    }

    /// Sets one key to a value that may be wrong.
    fn set(mut self, path: &[String], value: Result<Value, Problem>, origin: String) -> Self {
        match value {
            Ok(value) => {
                let nested = path
                    .iter()
                    .rev()
                    .fold(value, |value, name| Table::from_iter([(name.clone(), value)]).into());
                if let Value::Table(values) = nested { self.add(values, origin) } else { self }
            }
            Err(problem) => {
                self.errors.add(dotted(path), &origin, problem);
                self
            }
        }
    }

    fn add(self, values: Table, origin: String) -> Self {
        Self { builder: self.builder.add_source(Layer { values, origin }), ..self }
    }
}

impl Errors {
    fn add(&mut self, key: String, origin: &str, problem: Problem) {
        self.keys.insert(key.clone());
        self.all.push(SettingError { key, origin: Some(origin.to_owned()), problem });
    }

    /// An error of what is no key.
    fn other(&mut self, problem: Problem) {
        self.all.push(SettingError { key: String::new(), origin: None, problem });
    }

    fn unread(&mut self, file: &str, problem: Problem) {
        self.unread_file = true;
        self.all.push(SettingError { key: String::new(), origin: Some(format!("file {file}")), problem });
    }
}

impl<T> Loaded<T> {
    /// Where the value of a key comes from, by its display form; `None` for a default.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str)
    }

    /// The settings, if no layer had an error and no rule is broken.
    ///
    /// # Errors
    /// All errors. A rule is omitted if a file could not be read or one of its keys has an error, because it was evaluated
    /// with defaults.
    pub fn finish(mut self, rules: Vec<RuleError>) -> Result<T, SettingsErrors> {
        for rule in rules {
            if self.errors.unread_file || rule.keys.iter().any(|key| self.errors.keys.contains(key)) {
                continue;
            }
            let key = rule.keys.first().cloned().unwrap_or_default();
            let origin = rule.keys.iter().find_map(|key| self.origins.get(key)).cloned();
            self.errors.all.push(SettingError { key, origin, problem: Problem::Rule(rule.problem) });
        }
        if self.errors.all.is_empty() { Ok(self.settings) } else { Err(SettingsErrors(self.errors.all)) }
    }
}

/// The origins of all values, by the display form of their keys. A table has that of its first value.
fn origins(root: &config::Value) -> BTreeMap<String, String> {
    fn collect(at: &[String], value: &config::Value, found: &mut BTreeMap<String, String>) {
        if let ValueKind::Table(table) = &value.kind {
            for (name, value) in BTreeMap::from_iter(table) {
                collect(&[at, std::slice::from_ref(name)].concat(), value, found);
            }
        } else if let Some(origin) = value.origin() {
            for parts in 1..=at.len() {
                found.entry(dotted(&at[..parts])).or_insert_with(|| origin.to_owned());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(&[], root, &mut found);
    found
}

/// The parser's message on one line, without the quoted source line, which may hold a secret.
fn one_line(text: &str) -> String {
    let head = text.lines().next().unwrap_or_default().trim();
    let tail: Vec<&str> = text.lines().skip(1).filter(|line| !line.contains('|')).map(str::trim).collect();
    if tail.is_empty() { head.to_owned() } else { format!("{head}: {}", tail.join(" ")) }
}
