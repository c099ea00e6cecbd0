//! What can be wrong with settings, and where each mistake was made.

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

/// One mistake, printed on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// Dotted key, empty when a whole file is at fault.
    pub key: String,
    /// Where the value came from; `None` when it was not given at all or is a default.
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

/// Every mistake of all layers. The process ends with exit code 2 for it, before it touched anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsErrors(
    /// The mistakes, in the order of the layers.
    pub Vec<SettingError>,
);

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

/// A broken rule between keys, found by the owner of the settings after the layers were merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The keys that the rule read; the first is the one reported. The rule is not reported when one of them has an
    /// error of its own, because the rule saw a default then.
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
