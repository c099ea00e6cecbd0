//! What a process left: exit code, output, summary.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use crate::signals::Ended;

/// How one of our binaries ended and what it printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr: the log.
    pub stderr: String,
    /// User and system time of its whole life.
    pub cpu_seconds: f64,
    /// The most resident memory seen.
    pub peak_rss_bytes: u64,
    /// From its start to its end.
    pub elapsed: Duration,
}

impl Output {
    pub(crate) fn new(
        ended: Ended,
        stdout: String,
        stderr: String,
        peak_rss_bytes: u64,
        elapsed: Duration,
    ) -> Self {
        let Ended { code, signal, cpu_seconds } = ended;
        Self { code, signal, stdout, stderr, cpu_seconds, peak_rss_bytes, elapsed }
    }

    /// The JSON object that `--summary json` prints as the last line of stdout.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn summary(&self) -> serde_json::Value {
        let last = self.stdout.lines().rfind(|line| !line.trim().is_empty());
        last.and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| panic!("no summary on stdout: {:?}\n{}", self.stdout, self.stderr))
    }

    /// An integer of the summary, e.g. `rows_written`.
    ///
    /// # Panics
    /// When the summary has no such integer.
    #[track_caller]
    pub fn count(&self, field: &str) -> i64 {
        let summary = self.summary();
        summary[field].as_i64().unwrap_or_else(|| panic!("no integer {field} in {summary}"))
    }

    /// Asserts by its summary that records = written + deleted + skipped + dead letters, and returns how many that are.
    ///
    /// # Panics
    /// When a record is not accounted for.
    #[track_caller]
    pub fn assert_accounted(&self) -> i64 {
        let outcomes = ["rows_written", "rows_deleted", "skipped", "dead_letters"];
        let accounted: i64 = outcomes.iter().map(|field| self.count(field)).sum();
        assert_eq!(self.count("records"), accounted, "records not accounted for: {}", self.summary());
        accounted
    }

    /// Asserts that it exited with this code.
    ///
    /// # Panics
    /// With its log, when it did not.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        let (seen, signal) = (self.code, self.signal);
        assert!(seen == Some(code), "exit code {seen:?} (signal {signal:?}), not {code}\n{}", self.stderr);
        self
    }
}

/// The last `lines` lines of a file, or why there are none.
pub fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(64 * 1024);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| format!("(no {}: {error})", path.display()));
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
