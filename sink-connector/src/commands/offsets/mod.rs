//! `offsets show` and `offsets reset`: print the positions, and move them, for example those of stopped partitions.

pub mod partition_status;
mod reset;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Output;
use crate::config::Config;
use crate::encode::{Kind, Value, encode};

const FROM_1970_TO_2000_MICROS: i64 = 10_957 * 86_400_000_000;

/// The end of `offsets --help`.
pub const AFTER: &str = "\
Examples:
  sink-connector offsets show
  sink-connector offsets reset --to-earliest --topic scores --partition 3 --execute";

const SHOW_AFTER: &str = "\
A partition without a position starts at kafka.auto_offset_reset. If it cannot start there, the reason is shown. If a topic is \
missing or a partition cannot be read, the others are shown, then the reason, and the exit code is 1.

Example:
  sink-connector --config sink.toml offsets show --output json";

const RESET_AFTER: &str = "\
Without --execute, it prints the plan and changes nothing. Stop all sinks of the group first (scale to 0): positions \
cannot be reset while the group has an active member. If a position moves forward, the records in between are never \
written. If it moves back, they are written again: upsert and insert_ignore absorb that, insert does not.

--to-stored moves nothing. It is for a target table that was replaced by one with the same rows, by a restore or by renaming: \
the sink stops its partitions (table_recreated) until the new table is accepted.

Examples:
  sink-connector offsets reset --to-datetime 2026-03-01T00:00:00Z
  sink-connector offsets reset --to-stored --topic scores --execute
  sink-connector offsets reset --to-offset 4711 --topic scores --partition 3 --execute";

/// Subcommands of `offsets`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum OffsetsCommand {
    /// Show position, log start, log end and lag of every partition
    #[command(after_help = SHOW_AFTER)]
    Show(ShowArgs),
    /// Reset partition positions
    #[command(after_help = RESET_AFTER)]
    Reset(ResetArgs),
}

/// Flags of `offsets show`.
#[derive(Args, Clone, Copy, Debug, PartialEq)]
pub struct ShowArgs {
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Flags of `offsets reset`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ResetArgs {
    /// The new position.
    #[command(flatten)]
    pub to: To,
    /// Only this topic [default: all configured topics]
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Only this partition [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// Reset the positions; without this flag, only the plan is printed
    #[arg(long)]
    pub execute: bool,
    /// Output format of the plan
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// The new position: exactly one of these.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[group(required = true, multiple = false)]
pub struct To {
    /// The first record in the log
    #[arg(long)]
    pub to_earliest: bool,
    /// After the current last record
    #[arg(long)]
    pub to_latest: bool,
    /// The stored position: accept the target table as it is now, with all rows before the position
    #[arg(long)]
    pub to_stored: bool,
    /// This offset, which must be in the log
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,
    /// The first record at this time or later, such as 2026-03-01T12:00:00Z or 2026-03-01T12:00:00+05:30;
    /// UTC without an offset
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub to_datetime: Option<Instant>,
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub i64);

/// Runs the subcommand.
///
/// # Errors
/// If Kafka or PostgreSQL is unreachable or refuses a request.
pub fn run(config: &Config, command: &OffsetsCommand) -> anyhow::Result<ExitCode> {
    match command {
        OffsetsCommand::Show(args) => show::run(config, *args),
        OffsetsCommand::Reset(args) => reset::run(config, args),
    }
}

/// Text that is not a time for `--to-datetime`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time since 1970; write 2026-03-01T12:00:00Z or 2026-03-01T12:00:00+05:30")]
struct InvalidInstant;

fn instant(text: &str) -> Result<Instant, InvalidInstant> {
    // In the syntax of a timestamptz column: microseconds since 2000-01-01 UTC.
    let mut bytes = Vec::new();
    let read = encode(&Kind::Timestamptz { precision: None }, Value::Str(text), &mut bytes).ok();
    let micros = read.and_then(|()| bytes.try_into().ok()).map(i64::from_be_bytes);
    micros
        .and_then(|micros| micros.checked_add(FROM_1970_TO_2000_MICROS))
        .filter(|micros| *micros >= 0)
        .map(|micros| Instant(micros.div_euclid(1000)))
        .ok_or(InvalidInstant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_with_its_offset() {
        for (text, millis) in [
            ("1970-01-02", 86_400_000),
            ("1970-01-01T00:00:00.5Z", 500),
            ("1970-01-01 05:30:00+05:30", 0),
            ("2026-03-01T12:00:00", 1_772_366_400_000),
        ] {
            assert_eq!(instant(text), Ok(Instant(millis)), "{text}");
        }
        for text in ["yesterday", "12:00", "2026-13-01", "infinity", "-infinity", "1969-12-31"] {
            assert!(instant(text).is_err(), "{text}");
        }
    }
}
