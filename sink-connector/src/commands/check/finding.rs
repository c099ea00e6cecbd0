//! What `check` found, a line each.

use std::fmt;

use serde_json::{Value, json};

use crate::commands::kafka::Trouble;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// As it should be.
    Ok,
    /// The sink works; somebody should know.
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

/// All findings, in the order of the look.
#[derive(Debug, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    /// Something is as it should be.
    pub fn ok(&mut self, subject: &str, text: impl Into<String>) {
        self.push(Level::Ok, subject, text.into(), String::new());
    }

    /// The sink works; somebody should know.
    pub fn warning(&mut self, subject: &str, text: impl Into<String>, action: impl Into<String>) {
        self.push(Level::Warning, subject, text.into(), action.into());
    }

    /// The sink, or a part of it, would wait or stop.
    pub fn error(&mut self, subject: &str, text: impl Into<String>, action: impl Into<String>) {
        self.push(Level::Error, subject, text.into(), action.into());
    }

    /// An error that knows its remedy.
    pub fn trouble(&mut self, subject: &str, trouble: &Trouble) {
        self.error(subject, trouble.problem.clone(), trouble.action.clone());
    }

    fn push(&mut self, level: Level, subject: &str, text: String, action: String) {
        self.0.push(Finding { level, subject: subject.to_owned(), text, action });
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count(Level::Error)
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// For machines.
    pub fn to_json(&self) -> Value {
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
            // A line is a finding, whatever the server's words.
            let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            write!(f, "{:<8} {}: {}", finding.level.word(), finding.subject, line(&finding.text))?;
            if !finding.action.is_empty() {
                write!(f, " -> {}", line(&finding.action))?;
            }
            writeln!(f)?;
        }
        let (errors, warnings) = (self.errors(), self.count(Level::Warning));
        writeln!(f, "{errors} errors, {warnings} warnings")
    }
}
