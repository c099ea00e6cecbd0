//! The findings of `check`, one per line.

use std::fmt;

use serde_json::{Value, json};
use shared::output::counted;

use crate::commands::kafka::CommandError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    /// The sink works, but the operator should know.
    Warning,
    /// The sink, or a part of it, would wait or stop.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

#[derive(Clone, Debug)]
struct Finding {
    level: Level,
    subject: String,
    text: String,
    action: String,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn ok(&mut self, subject: &str, text: impl Into<String>) {
        self.push(Level::Ok, subject, text.into(), String::new());
    }

    /// The sink works, but the operator should know.
    pub(super) fn warning(&mut self, subject: &str, text: impl Into<String>, action: impl Into<String>) {
        self.push(Level::Warning, subject, text.into(), action.into());
    }

    /// The sink, or a part of it, would wait or stop.
    pub(super) fn error(&mut self, subject: &str, text: impl Into<String>, action: impl Into<String>) {
        self.push(Level::Error, subject, text.into(), action.into());
    }

    /// A check failed with an error.
    pub(super) fn failed(&mut self, subject: &str, error: &CommandError) {
        self.error(subject, error.problem.clone(), error.action.clone());
    }

    fn push(&mut self, level: Level, subject: &str, text: String, action: String) {
        self.0.push(Finding { level, subject: subject.to_owned(), text, action });
    }

    /// The number of errors.
    pub(super) fn errors(&self) -> usize {
        self.count(Level::Error)
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    pub(super) fn to_json(&self) -> Value {
        let findings: Vec<Value> = self
            .0
            .iter()
            .map(|f| {
                json!({"level": f.level.word(), "subject": f.subject, "finding": f.text, "action": f.action})
            })
            .collect();
        json!({
            "ok": self.errors() == 0,
            "errors": self.errors(),
            "warnings": self.count(Level::Warning),
            "findings": findings,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            // One line for each finding, even if a message of the server has several.
            let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            write!(f, "{:<8} {}: {}", finding.level.word(), finding.subject, line(&finding.text))?;
            if !finding.action.is_empty() {
                write!(f, " -> {}", line(&finding.action))?;
            }
            writeln!(f)?;
        }
        let (errors, warnings) = (self.errors(), self.count(Level::Warning));
        writeln!(f, "{}, {}", counted(errors, "error"), counted(warnings, "warning"))
    }
}
