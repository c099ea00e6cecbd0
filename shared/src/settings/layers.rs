//! Merges the layers into settings.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::environment::parts;
use super::errors::{Origin, RuleError, SettingError, SettingsErrors, dotted};
use super::schema::Schema;
use super::{check, environment};

/// Layers of settings. A later layer overrides earlier ones; all override the defaults of the structs.
///
/// Tables merge key by key; lists and values are replaced.
#[derive(Debug)]
pub struct Layers {
    schema: &'static Schema,
    values: Table,
    origins: BTreeMap<String, Origin>,
    errors: Vec<SettingError>,
    broken: BTreeSet<String>,
    unread_file: bool,
}

/// The settings of all layers, not yet checked against the rules between keys.
#[derive(Debug)]
pub struct Loaded<T> {
    /// A key with an error has its default.
    pub settings: T,
    origins: BTreeMap<String, Origin>,
    errors: Vec<SettingError>,
    broken: BTreeSet<String>,
    unread_file: bool,
}

impl Layers {
    /// The defaults only.
    #[must_use]
    pub fn new(schema: &'static Schema) -> Self {
        Self {
            schema,
            values: Table::new(),
            origins: BTreeMap::new(),
            errors: Vec::new(),
            broken: BTreeSet::new(),
            unread_file: false,
        }
    }

    /// Adds a TOML file, which must exist.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => self.text(&name, &text),
            Err(error) => {
                self.unread(&name, format!("cannot be read: {error}"));
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
                self.unread(name, one_line(&error));
                return self;
            }
        };
        let checked = check::table(self.schema, table);
        let origin = Origin::File(name.to_owned());
        self.origins.extend(checked.given.into_iter().map(|key| (key, origin.clone())));
        for (key, problem) in checked.problems {
            self.error(key, origin.clone(), problem);
        }
        merge(&mut self.values, checked.values);
        self
    }

    /// Adds the variables that begin with the schema's prefix and `__`, in any case, and ignores others.
    #[must_use]
    pub fn environment<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut found: Vec<(String, String, OsString)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())))
            .filter_map(|(name, value)| Some((environment::ours(self.schema, &name)?, name, value)))
            .collect();
        found.sort();
        let mut seen = BTreeSet::new();
        for (ours, variable, value) in found {
            let origin = Origin::Variable(variable);
            let (path, key) = match environment::place(self.schema, &ours) {
                Ok(place) => place,
                Err((key, problem)) => {
                    self.error(key, origin, problem);
                    continue;
                }
            };
            let shown = dotted(&path);
            let parsed = match value.into_string() {
                _ if !seen.insert(shown.clone()) => Err("given twice, in different cases".to_owned()),
                Ok(text) => environment::parse(&key.kind, &text),
                Err(_) => Err("is not valid UTF-8".to_owned()),
            };
            self.origins.insert(shown.clone(), origin.clone());
            match parsed {
                Ok(value) => insert(&mut self.values, &path, value),
                Err(problem) => self.error(shown, origin, problem),
            }
        }
        self
    }

    /// Sets a declared key from a command-line flag, if it was given.
    #[must_use]
    pub fn flag(mut self, flag: &str, path: &str, value: Option<&str>) -> Self {
        let Some(value) = value else { return self };
        let origin = Origin::Flag(flag.to_owned());
        let parsed = match self.schema.find(path) {
            Some(key) => environment::parse(&key.kind, value),
            None => Err(check::unknown(None)),
        };
        self.origins.insert(path.to_owned(), origin.clone());
        match parsed {
            Ok(value) => insert(&mut self.values, &parts(path), value),
            Err(problem) => self.error(path.to_owned(), origin, problem),
        }
        self
    }

    /// Merges the layers into the settings.
    ///
    /// # Errors
    /// Only if the settings cannot be deserialized. Other errors are returned by [`Loaded::finish`], together with broken
    /// rules.
    pub fn load<T: DeserializeOwned>(self) -> Result<Loaded<T>, SettingsErrors> {
        match self.values.try_into() {
            Ok(settings) => Ok(Loaded {
                settings,
                origins: self.origins,
                errors: self.errors,
                broken: self.broken,
                unread_file: self.unread_file,
            }),
            Err(error) if self.errors.is_empty() => {
                let problem = one_line(&error);
                Err(SettingsErrors(vec![SettingError { key: String::new(), origin: None, problem }]))
            }
            Err(_) => Err(SettingsErrors(self.errors)),
        }
    }

    fn error(&mut self, key: String, origin: Origin, problem: String) {
        self.broken.insert(key.clone());
        self.errors.push(SettingError { key, origin: Some(origin), problem });
    }

    fn unread(&mut self, file: &str, problem: String) {
        self.unread_file = true;
        let origin = Some(Origin::File(file.to_owned()));
        self.errors.push(SettingError { key: String::new(), origin, problem });
    }
}

impl<T> Loaded<T> {
    /// Where the value of a key comes from, by its display form; `None` for a default.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }

    /// The settings, if no layer had an error and no rule is broken.
    ///
    /// # Errors
    /// All errors. A rule is omitted if a file could not be read or one of its keys has an error, because it was evaluated
    /// with defaults.
    pub fn finish(mut self, rules: Vec<RuleError>) -> Result<T, SettingsErrors> {
        for rule in rules {
            if self.unread_file || rule.keys.iter().any(|key| self.broken.contains(key)) {
                continue;
            }
            let key = rule.keys.first().cloned().unwrap_or_default();
            let origin = rule.keys.iter().find_map(|key| self.origins.get(key)).cloned();
            self.errors.push(SettingError { key, origin, problem: rule.problem });
        }
        if self.errors.is_empty() { Ok(self.settings) } else { Err(SettingsErrors(self.errors)) }
    }
}

/// Merges tables key by key; lists and values are replaced.
fn merge(values: &mut Table, over: Table) {
    for (name, value) in over {
        match (values.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(over)) => merge(below, over),
            (_, value) => drop(values.insert(name, value)),
        }
    }
}

/// Inserts a value at a path, and creates its tables.
fn insert(values: &mut Table, path: &[String], value: Value) {
    let nested =
        path.iter().rev().fold(value, |value, name| Table::from_iter([(name.clone(), value)]).into());
    if let Value::Table(over) = nested {
        merge(values, over);
    }
}

/// The parser's message on one line, without the quoted source line, which may hold a secret.
fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let head = text.lines().next().unwrap_or_default().trim();
    let tail: Vec<&str> = text.lines().skip(1).filter(|line| !line.contains('|')).map(str::trim).collect();
    if tail.is_empty() { head.to_owned() } else { format!("{head}: {}", tail.join(" ")) }
}
