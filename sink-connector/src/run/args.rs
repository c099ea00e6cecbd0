//! The flags of `run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

/// The help text after the flags.
pub const AFTER: &str = "\
Without --max-records, --until-end, --idle-timeout and --deadline it runs until SIGTERM or SIGINT. \
If several are given, the first one reached ends the run.

Example:
  sink-connector run --until-end --idle-timeout 10s --deadline 10m --summary json";

/// The bounds of a run.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(group(ArgGroup::new("bound").multiple(true).args(["max_records", "until_end", "idle_timeout", "deadline"])))]
pub struct RunArgs {
    /// Stop after exactly N records; no further record is committed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_records: Option<u64>,
    /// Stop at the current ends of the partitions
    #[arg(long)]
    pub until_end: bool,
    /// Stop when no record has arrived for this long, such as 10s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub idle_timeout: Option<Duration>,
    /// Stop with exit code 5 after this long, such as 10m, unless another bound is reached first; a bound by itself
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Exit with code 3 if there were dead letters; only for a run with a bound
    #[arg(long, requires = "bound")]
    pub fail_on_dead_letters: bool,
    /// Print a summary at the end of standard output, also if the run fails. A bounded run on a terminal prints the text on
    /// standard error anyway
    #[arg(long, value_name = "FORMAT")]
    pub summary: Option<SummaryFormat>,
    /// Write the same JSON to this file as well, such as /airflow/xcom/return.json
    #[arg(long, value_name = "FILE")]
    pub summary_file: Option<PathBuf>,
}

/// The format of the summary of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SummaryFormat {
    /// One JSON object.
    Json,
    /// Some lines for people.
    Text,
}

impl RunArgs {
    /// Whether a bound other than the deadline is given.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.max_records.is_some() || self.until_end || self.idle_timeout.is_some()
    }
}

#[derive(Debug, thiserror::Error)]
enum InvalidDuration {
    #[error("must be greater than zero")]
    Zero,
    #[error("{0}; write 500ms, 10s, 10m or 1h 30m")]
    Syntax(#[from] humantime::DurationError),
}

fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    let duration = humantime::parse_duration(text)?;
    if duration.is_zero() { Err(InvalidDuration::Zero) } else { Ok(duration) }
}
