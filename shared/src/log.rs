//! Logs of both binaries: to standard error, as text for people or as JSON for collectors.

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsStr;
use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use parking_lot::RwLock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::time;

pub use lines::{flush, line, lost_lines};

/// How a log line is written; `log.format` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line to read, coloured when standard error is a terminal and the variable `NO_COLOR` is unset or empty.
    #[default]
    Text,
    /// One JSON object per line, the fields beside the message at the top level.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, Error)]
pub enum LogError {
    /// The log filter is not valid.
    #[error("{origin} is not a log filter such as \"info\" or \"info,librdkafka=debug\": {reason}")]
    Filter {
        /// `RUST_LOG`, or the default of the program.
        origin: &'static str,
        /// The error of the parser.
        reason: String,
    },
    /// A subscriber is already installed.
    #[error("logging is already set up")]
    Installed,
}

/// The log is JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Clears the last line of the terminal, calls what it gets, and draws the line again.
pub type MakeRoom = Box<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

static ROOM: RwLock<Option<MakeRoom>> = RwLock::new(None);

/// Sets what makes room on the terminal for a log line, such as a progress bar; `None`: nothing does any more.
pub fn make_room(room: Option<MakeRoom>) {
    *ROOM.write() = room;
}

/// Writes a line above what makes room for it.
fn write_above(line: &[u8]) {
    let mut write = || lines::write(&mut stderr(), line);
    match &*ROOM.read() {
        Some(room) => room(&mut write),
        None => write(),
    }
}

/// Starts logging to standard error. `default_filter` applies if `RUST_LOG` is unset or empty. If the log is JSON, panics are
/// reported as lines of it.
///
/// # Errors
/// See [`LogError`].
pub fn init(format: LogFormat, default_filter: &str) -> Result<(), LogError> {
    let filter = filter(std::env::var(VARIABLE).ok().as_deref(), default_filter)?;
    // `log_internal_errors` would report them on standard error, and panic.
    let log = tracing_subscriber::fmt()
        .with_timer(Timestamps)
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(|| lines::Queued);
    let installed = match format {
        LogFormat::Text => log
            .with_ansi(is_coloured(std::env::var_os("NO_COLOR").as_deref(), stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_ansi(false).try_init(),
    };
    installed.map_err(|_| LogError::Installed)?;
    if format == LogFormat::Json {
        JSON.store(true, Ordering::Relaxed);
        std::panic::set_hook(Box::new(|panic| {
            write_error(&panic.to_string(), &Backtrace::capture());
            lines::flush();
        }));
    }
    lines::start(write_above);
    Ok(())
}

/// Reports why the process ends: as a line of the log if that is JSON, which no filter hides; otherwise as text for people, after
/// `prefix`.
pub fn report(prefix: &str, error: &str) {
    if JSON.load(Ordering::Relaxed) {
        write_error(error, &Backtrace::disabled());
    } else {
        crate::errln!("{prefix}{error}");
    }
}

/// Writes a line of the log in JSON, without the subscriber, which a filter may limit or a panic may have left half-way.
fn write_error(message: &str, backtrace: &Backtrace) {
    let mut line = json!({"timestamp": time::text(SystemTime::now()), "level": "ERROR", "message": message});
    if let Some(name) = std::thread::current().name() {
        line["thread"] = name.into();
    }
    if backtrace.status() == BacktraceStatus::Captured {
        line["backtrace"] = backtrace.to_string().into();
    }
    lines::line(format!("{line}\n").as_bytes());
}

/// The timestamps of log lines, in the format of every other time.
struct Timestamps;

impl FormatTime for Timestamps {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        line.write_str(&time::text(SystemTime::now()))
    }
}

/// Whether text is coloured; <https://no-color.org> describes the variable.
fn is_coloured(no_color: Option<&OsStr>, terminal: bool) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

/// The name of the variable with the log filter.
pub const VARIABLE: &str = "RUST_LOG";

/// Whether this value of the variable would be accepted by [`init`].
///
/// # Errors
/// [`LogError::Filter`]
pub fn check(value: &str) -> Result<(), LogError> {
    filter(Some(value), "info").map(drop)
}

/// The filter of `RUST_LOG` unless it is unset or empty.
fn filter(rust_log: Option<&str>, default_filter: &str) -> Result<EnvFilter, LogError> {
    let (origin, filter) = match rust_log {
        Some(filter) if !filter.trim().is_empty() => (VARIABLE, filter),
        _ => ("the default filter", default_filter),
    };
    EnvFilter::try_new(filter).map_err(|error| LogError::Filter { origin, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_are_named_in_lower_case() {
        let read = |json: &str| serde_json::from_str::<LogFormat>(json);
        assert_eq!(read("\"text\"").unwrap(), LogFormat::Text);
        assert_eq!(read("\"json\"").unwrap(), LogFormat::Json);
        assert!(read("\"JSON\"").is_err());
    }

    #[test]
    fn rust_log_overrides_the_default_unless_it_is_empty() {
        assert_eq!(filter(Some("debug"), "info").unwrap().to_string(), "debug");
        assert_eq!(filter(Some(" "), "info").unwrap().to_string(), "info");
        assert_eq!(filter(None, "info").unwrap().to_string(), "info");
    }

    #[test]
    fn colours_are_for_terminals_without_no_color() {
        let coloured = |no_color: Option<&str>, terminal| is_coloured(no_color.map(OsStr::new), terminal);
        assert!(coloured(None, true) && coloured(Some(""), true));
        assert!(!coloured(Some("1"), true) && !coloured(None, false));
    }

    #[test]
    fn a_filter_that_cannot_be_read_names_its_origin() {
        let error = filter(Some("info,=nonsense="), "info").unwrap_err().to_string();
        assert!(error.starts_with("RUST_LOG is not a log filter"), "{error}");
    }
}
