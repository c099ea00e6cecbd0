//! `dead-letters`: list, replay and discard dead letters.

mod replay;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Output, Usage, postgres, print_json};
use crate::config::{self, Config};
use crate::postgres::session;
use crate::postgres::sql::TableName;
use crate::rejects::dead_letters::{DeadLetters, Filter, StoredDeadLetter};

/// The end of `dead-letters --help`.
pub const AFTER: &str = "\
Examples:
  sink-connector dead-letters list --reason wrong_type --since 2h
  sink-connector dead-letters replay --topic scores
  sink-connector dead-letters discard --topic scores --partition 0 --offset 5000 --execute";

const LIST_AFTER: &str = "\
Example:
  sink-connector dead-letters list --since 2026-04-08T19:30:00Z --output json";

const REPLAY_AFTER: &str = "\
A record is written and its dead letter deleted in one transaction. So nothing is written twice, even if this command is \
killed and run again, and the sink may run at the same time. A record that still fails stays a dead letter, with its new \
reason. In upsert mode, a replayed record overwrites the existing row, unless version_field is set.

Example:
  sink-connector dead-letters replay --topic scores --reason missing_field";

const DISCARD_AFTER: &str = "\
Without --execute, it lists the dead letters and deletes nothing.

Example:
  sink-connector dead-letters discard --reason invalid_json --execute";

/// Subcommands of `dead-letters`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum DeadLettersCommand {
    /// List dead letters, ordered by topic, partition and offset
    #[command(after_help = LIST_AFTER)]
    List(ListArgs),
    /// Write dead letters to their tables, each at most once
    #[command(after_help = REPLAY_AFTER)]
    Replay(ReplayArgs),
    /// Delete dead letters
    #[command(after_help = DISCARD_AFTER)]
    Discard(DiscardArgs),
}

/// Which dead letters to select; all of this connector without these flags.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct FilterArgs {
    /// Only of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only of this partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Only at this offset
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    offset: Option<i64>,
    /// Only with this reason, such as wrong_type
    #[arg(long)]
    reason: Option<String>,
    /// Only stored within this time span, such as 2h, or since this time, such as 2026-04-08T19:30:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
}

/// Flags of `dead-letters list`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Maximum number to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// Flags of `dead-letters replay`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ReplayArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// Flags of `dead-letters discard`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct DiscardArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Delete them; without this flag, they are only listed
    #[arg(long)]
    execute: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        Filter {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            reason: self.reason.clone(),
            since: self.since,
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
/// If PostgreSQL is unreachable or refuses a statement, or if this connector keeps its dead letters in a topic.
pub fn run(config: &Config, command: &DeadLettersCommand) -> anyhow::Result<ExitCode> {
    if let (config::DeadLetters::Topic, Some(topic)) =
        (config.errors.dead_letters, &config.errors.dead_letter_topic)
    {
        let problem = format!(
            "errors.dead_letters is \"topic\": the dead letters are in the Kafka topic {topic}; read them with any consumer. \
             This command needs dead letters in a table"
        );
        return Err(Usage(problem).into());
    }
    let dead_letters = DeadLetters::new(&TableName::parse(&config.errors.dead_letter_table), &config.name);
    let connections = postgres::pool(config)?;
    let mut connection = postgres::open(&connections, config)?;
    anyhow::ensure!(
        session::exists(&mut connection, dead_letters.table())?,
        "table {} does not exist. The sink creates it when it first runs: has this connector run on this database?",
        dead_letters.table()
    );
    match command {
        DeadLettersCommand::List(args) => {
            let filter = args.filter.filter();
            let total = dead_letters.count(&mut connection, &filter)?;
            let shown = dead_letters.read(&mut connection, &filter, None, args.limit)?;
            list(&shown, total, args.output)?;
        }
        DeadLettersCommand::Replay(args) => {
            drop(connection);
            let replayed = replay::replay(config, &connections, &dead_letters, &args.filter.filter())?;
            replayed.print(args.output)?;
        }
        DeadLettersCommand::Discard(args) => {
            let filter = args.filter.filter();
            let discarded = if args.execute {
                i64::try_from(dead_letters.discard(&mut connection, &filter)?)?
            } else {
                dead_letters.count(&mut connection, &filter)?
            };
            match (args.output, args.execute) {
                (Output::Json, executed) => {
                    print_json(&json!({"executed": executed, "discarded": discarded}))?;
                }
                (Output::Text, true) => shared::outln!("{discarded} dead letters discarded")?,
                (Output::Text, false) => {
                    list(&dead_letters.read(&mut connection, &filter, None, 20)?, discarded, Output::Text)?;
                    shared::outln!("Nothing was deleted. Run again with --execute.")?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(shown: &[StoredDeadLetter], total: i64, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => {
            let dead_letters: Vec<Value> = shown.iter().map(as_json).collect();
            print_json(&json!({"total": total, "dead_letters": dead_letters}))
        }
        Output::Text => {
            for dead_letter in shown {
                let detail: String =
                    dead_letter.detail.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
                shared::outln!(
                    "{} at offset {}, {}  {}: {detail}",
                    dead_letter.partition,
                    dead_letter.offset,
                    dead_letter.created_at,
                    dead_letter.reason
                )?;
            }
            match usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(shown.len()) {
                0 => shared::outln!("{total} dead letters")?,
                more => shared::outln!("{total} dead letters, {more} of them not shown")?,
            }
            Ok(())
        }
    }
}

fn as_json(dead_letter: &StoredDeadLetter) -> Value {
    let bytes = |bytes: Option<&Vec<u8>>| match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => {
            json!({"hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()})
        }
    };
    json!({
        "topic": &*dead_letter.partition.topic,
        "partition": dead_letter.partition.partition.0,
        "offset": dead_letter.offset,
        "reason": dead_letter.reason,
        "detail": dead_letter.detail,
        "sqlstate": dead_letter.sqlstate,
        "constraint": dead_letter.constraint,
        "created_at": dead_letter.created_at,
        "timestamp": dead_letter.timestamp,
        "key": bytes(dead_letter.key.as_ref()),
        "payload": bytes(dead_letter.payload.as_ref()),
        "headers": dead_letter.headers,
    })
}

/// Text that is not a value for `--since`.
#[derive(Debug, thiserror::Error)]
enum InvalidSince {
    #[error("too long ago")]
    TooLongAgo,
    #[error("write a time span such as 30m, 2h or 7days, or a time in UTC such as 2026-04-08T19:30:00Z")]
    Syntax,
}

/// The beginning of a time span that ends now, or a time.
fn since(text: &str) -> Result<SystemTime, InvalidSince> {
    match humantime::parse_duration(text) {
        Ok(span) => SystemTime::now().checked_sub(span).ok_or(InvalidSince::TooLongAgo),
        Err(_) => humantime::parse_rfc3339_weak(text).map_err(|_| InvalidSince::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn since_is_a_time_span_or_a_time() {
        let hour = since("1h").unwrap();
        assert!(hour < SystemTime::now() && hour > SystemTime::now() - Duration::from_secs(3_700));
        let time = since("2026-04-08T19:30:00Z").unwrap();
        assert_eq!(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_775_676_600);
        assert!(since("yesterday").is_err());
    }
}
