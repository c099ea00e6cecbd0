//! The declared keys of a binary: path, kind, default, unit and help, written down once.

/// Every key that a binary understands.
#[derive(Debug)]
pub struct Schema {
    /// What environment variables start with, before `__`: `SINK` for `SINK__KAFKA__GROUP_ID`.
    pub prefix: &'static str,
    /// The keys, in the order of the reference documentation.
    pub keys: &'static [Key],
}

impl Schema {
    /// The key with this dotted path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.path == path)
    }

    /// Whether keys live below this dotted path.
    #[must_use]
    pub fn is_section(&self, path: &str) -> bool {
        self.keys.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// The environment variable that sets a key, such as `SINK__KAFKA__GROUP_ID` for `kafka.group_id`.
    #[must_use]
    pub fn variable(&self, path: &str) -> String {
        format!("{}__{}", self.prefix, path.replace('.', "__").to_uppercase())
    }
}

/// One declared key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path: `kafka.group_id`.
    pub path: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What applies when no layer gives it.
    pub default: Default,
    /// Unit of a number (`ms`, `rows`, `bytes`), empty for anything else.
    pub unit: &'static str,
    /// What it is for: one or two sentences of Markdown for the reference.
    pub help: &'static str,
}

/// The values that a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A string that is not blank.
    Text,
    /// An integer within bounds, both included.
    Integer {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// A number within bounds, both included.
    Float {
        /// The smallest value.
        min: f64,
        /// The largest value.
        max: f64,
    },
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Strings, none of them blank; comma-separated in a variable.
    List,
    /// A free map with dotted keys, such as librdkafka's properties. Numbers and booleans are taken as text, and
    /// `a.b = 1` means the same as `"a.b" = 1`. In a variable's name `_` stands for a dot and `__` for `_`.
    Properties,
    /// A map of names to strings, from files only; the names are one of these, or any if there are none here.
    Map(&'static [&'static str]),
    /// A map of free names to tables with the keys of the section named here, from files only.
    Tables(&'static str),
}

impl Kind {
    /// Whether it is left out of variables and flags, because free names do not survive there.
    #[must_use]
    pub fn is_file_only(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Tables(_))
    }
}

/// What applies when no layer gives a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// Nothing: the key is optional.
    None,
    /// This text, or this choice.
    Text(&'static str),
    /// This number.
    Integer(i64),
    /// This number.
    Float(f64),
    /// This truth value.
    Boolean(bool),
    /// These strings.
    List(&'static [&'static str]),
    /// Something that depends on other keys: the words are for the reference, the program fills it in.
    Depends(&'static str),
}

impl Key {
    const fn new(path: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { path, kind, default: Default::None, unit: "", help }
    }

    /// A key that takes a string.
    #[must_use]
    pub const fn text(path: &'static str, help: &'static str) -> Self {
        Self::new(path, Kind::Text, help)
    }

    /// A key that takes an integer between `min` and `max`.
    #[must_use]
    pub const fn integer(
        path: &'static str,
        min: i64,
        max: i64,
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        Self { unit, ..Self::new(path, Kind::Integer { min, max }, help) }
    }

    /// A key that takes a number between `min` and `max`.
    #[must_use]
    pub const fn float(path: &'static str, min: f64, max: f64, help: &'static str) -> Self {
        Self::new(path, Kind::Float { min, max }, help)
    }

    /// A key that takes `true` or `false`.
    #[must_use]
    pub const fn boolean(path: &'static str, help: &'static str) -> Self {
        Self::new(path, Kind::Boolean, help)
    }

    /// A key that takes one of some words.
    #[must_use]
    pub const fn choice(path: &'static str, choices: &'static [&'static str], help: &'static str) -> Self {
        Self::new(path, Kind::Choice(choices), help)
    }

    /// A key that takes a list of strings.
    #[must_use]
    pub const fn list(path: &'static str, help: &'static str) -> Self {
        Self::new(path, Kind::List, help)
    }

    /// A free map with dotted keys, which variables can set as well.
    #[must_use]
    pub const fn properties(path: &'static str, help: &'static str) -> Self {
        Self::new(path, Kind::Properties, help)
    }

    /// A map of names to strings, from files only; `names` empty allows any name.
    #[must_use]
    pub const fn map(path: &'static str, names: &'static [&'static str], help: &'static str) -> Self {
        Self::new(path, Kind::Map(names), help)
    }

    /// A map of free names to tables with the keys of `section`, from files only.
    #[must_use]
    pub const fn tables(path: &'static str, section: &'static str, help: &'static str) -> Self {
        Self::new(path, Kind::Tables(section), help)
    }

    /// With a default of text or a choice.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Default::Text(default), ..self }
    }

    /// With a default number.
    #[must_use]
    pub const fn or_integer(self, default: i64) -> Self {
        Self { default: Default::Integer(default), ..self }
    }

    /// With a default number.
    #[must_use]
    pub const fn or_float(self, default: f64) -> Self {
        Self { default: Default::Float(default), ..self }
    }

    /// With a default truth value.
    #[must_use]
    pub const fn or_boolean(self, default: bool) -> Self {
        Self { default: Default::Boolean(default), ..self }
    }

    /// With a default list.
    #[must_use]
    pub const fn or_list(self, default: &'static [&'static str]) -> Self {
        Self { default: Default::List(default), ..self }
    }

    /// With a default that depends on other keys, described for the reference.
    #[must_use]
    pub const fn depends(self, words: &'static str) -> Self {
        Self { default: Default::Depends(words), ..self }
    }
}
