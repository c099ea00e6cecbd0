//! Errors of settings, with their origin.

use std::fmt;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file, by its path as given.
    File(String),
    /// An environment variable, by its name as given.
    Variable(String),
    /// A command-line flag, such as `--name`.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {path}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// One error, printed on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// Dotted key; empty for an error of a whole file.
    pub key: String,
    /// The origin of the value; `None` for a default or a missing value.
    pub origin: Option<Origin>,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.problem)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SettingError {}

/// The errors of all layers, in their order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsErrors(pub Vec<SettingError>);

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

/// A broken rule between keys of the merged layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The keys of the rule; the first one is reported. If one of them has an error, the rule is not reported, because it
    /// was evaluated with a default.
    pub keys: Vec<String>,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl RuleError {
    /// A broken rule over `keys`.
    pub fn new<K: Into<String>>(keys: impl IntoIterator<Item = K>, problem: impl Into<String>) -> Self {
        Self { keys: keys.into_iter().map(Into::into).collect(), problem: problem.into() }
    }
}

/// A key's display form: parts joined by dots, parts that are not bare TOML keys quoted.
pub(super) fn dotted(parts: &[String]) -> String {
    let bare = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let quoted = parts.iter().map(|part| if bare(part) { part.clone() } else { format!("{part:?}") });
    quoted.collect::<Vec<_>>().join(".")
}
