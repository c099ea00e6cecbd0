//! What becomes of each key of the input. No key is left out, and none is there twice.

use std::collections::BTreeMap;
use std::fmt;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// A key of ours says the same.
    Taken,
    /// The sink does it without a key, or has no use for it.
    NotNeeded,
    /// The sink does something else.
    NotSupported,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Taken, Self::NotNeeded, Self::NotSupported];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::NotNeeded => "not needed",
            Self::NotSupported => "not supported",
        }
    }
}

/// The keys of the input, each with its outcome and the reason.
#[derive(Debug, Default)]
pub(super) struct Report {
    entries: BTreeMap<String, (Outcome, String)>,
    /// Keys that the input does not have, and what stands there instead.
    not_given: BTreeMap<String, String>,
}

impl Report {
    /// Adds a key. If it is there already, the worse outcome stays, and both reasons.
    pub(super) fn add(&mut self, key: &str, outcome: Outcome, why: impl Into<String>) {
        let why = why.into().replace(['\n', '\r'], " ");
        match self.entries.get_mut(key) {
            None => drop(self.entries.insert(key.to_owned(), (outcome, why))),
            Some((before, reason)) => {
                *before = outcome.max(*before);
                *reason = format!("{reason}; {why}");
            }
        }
    }

    /// Replaces what was reported of a key.
    pub(super) fn replace(&mut self, key: &str, outcome: Outcome, why: &str) {
        self.entries.insert(key.to_owned(), (outcome, why.to_owned()));
    }

    /// Adds a key that the input lacks, with what stands there instead.
    pub(super) fn add_not_given(&mut self, key: &str, why: impl Into<String>) {
        let why = why.into().replace(['\n', '\r'], " ");
        match self.not_given.get_mut(key) {
            None => drop(self.not_given.insert(key.to_owned(), why)),
            Some(reason) => *reason = format!("{reason}; {why}"),
        }
    }

    /// The keys that the input lacks.
    pub(super) fn not_given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.not_given.iter().map(|(key, why)| (key.as_str(), why.as_str()))
    }

    /// Whether the configuration says what the input does.
    pub(super) fn is_complete(&self) -> bool {
        self.count(Outcome::NotSupported) == 0 && self.not_given.is_empty()
    }

    pub(super) fn is_taken(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|(outcome, _)| *outcome == Outcome::Taken)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn with(&self, outcome: Outcome) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .filter(move |(_, (of, _))| *of == outcome)
            .map(|(key, (_, why))| (key.as_str(), why.as_str()))
    }

    /// How many keys have this outcome.
    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.with(outcome).count()
    }
}

/// One line for each key, by outcome.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in Outcome::ALL.into_iter().filter(|outcome| self.count(*outcome) > 0) {
            writeln!(f, "{}:", outcome.as_str())?;
            for (key, why) in self.with(outcome) {
                writeln!(f, "  {key}: {why}")?;
            }
        }
        if !self.not_given.is_empty() {
            writeln!(f, "not given:")?;
            for (key, why) in self.not_given() {
                writeln!(f, "  {key}: {why}")?;
            }
        }
        Ok(())
    }
}
