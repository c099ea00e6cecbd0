//! Errors of settings, with their origin.

use std::fmt;

/// What is wrong with a setting, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// No such key. Another one may be meant.
    #[error("unknown key{}", meant(.0.as_ref()))]
    UnknownKey(Option<String>),
    /// A key of another program, which has no meaning here.
    #[error("unknown key: {0}")]
    ForeignKey(&'static str),
    /// No such name in a map that has these only.
    #[error("unknown name; allowed: {}", .0.join(", "))]
    UnknownName(Vec<String>),
    /// A value where a section belongs.
    #[error("is a section: write [{0}] and its keys below")]
    Section(String),
    /// A variable with the name of a section.
    #[error("is a section: a variable sets one key of it")]
    SectionVariable,
    /// A variable with the name of a map; this is a name for one of its entries.
    #[error("is a map: name one property, such as {0}")]
    MapVariable(String),
    /// A variable for a key whose names no variable can hold.
    #[error("[{0}] comes from configuration files only")]
    FileOnly(String),
    /// A value of another type.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What the key takes.
        expected: String,
        /// What was given; never free text of a file, which may be a secret.
        found: String,
    },
    /// A table for a name of a map of texts.
    #[error("expected a string, found a table; quote a name that has dots")]
    TableForText,
    /// A blank text.
    #[error("must not be empty")]
    Empty,
    /// An integer below its lower bound, with no upper one.
    #[error("{0} is too small: at least {1}")]
    TooSmall(i64, i64),
    /// A number that is not within its bounds.
    #[error("{number} is out of range: {min} to {max}")]
    OutOfRange {
        /// The number, as it was given.
        number: String,
        /// The least that is allowed.
        min: String,
        /// The most that is allowed.
        max: String,
    },
    /// None of the words that the key takes.
    #[error("{word:?} is not one of {}{}", .choices.join(", "), meant_word(.meant.as_ref()))]
    Choice {
        /// What was given.
        word: String,
        /// What is allowed.
        choices: Vec<String>,
        /// Which of them may be meant.
        meant: Option<String>,
    },
    /// An element of a list is wrong.
    #[error("element {0}: {1}")]
    Element(usize, Box<Problem>),
    /// A dotted name twice in one file.
    #[error("given twice, once quoted and once as a table")]
    TwoSpellings,
    /// A variable twice.
    #[error("given twice, in different cases")]
    TwoCases,
    /// A value that is no text.
    #[error("is not valid UTF-8")]
    NotUtf8,
    /// A file that cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A file that is not TOML, or values that the settings do not take.
    #[error("{0}")]
    Invalid(String),
    /// A broken rule between keys.
    #[error("{0}")]
    Rule(String),
}

fn meant(key: Option<&String>) -> String {
    key.map_or_else(String::new, |key| format!("; did you mean {key}?"))
}

fn meant_word(word: Option<&String>) -> String {
    word.map_or_else(String::new, |word| format!("; did you mean {word:?}?"))
}

/// One error, printed on one line.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingError {
    /// Dotted key; empty for an error of a whole file.
    pub key: String,
    /// The origin of the value, such as `file sink.toml`; `None` for a default or a missing value.
    pub origin: Option<String>,
    /// What is wrong, and what to do.
    pub problem: Problem,
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
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
