//! `dead-letters`: list them, write them after all, discard them.

mod replay;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Output, Usage, postgres, print_json};
use crate::config::{self, Config};
use crate::dead_letters::{DeadLetters, Filter, Stored};
use crate::session;
use crate::sql::TableName;

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
The row and the removal of its dead letter are one transaction, so that nothing is written twice, however often this is \
run or killed, and the sink may go on meanwhile. What still fails stays, with its new reason. In upsert mode the replayed \
record wins over the row that is there, unless version_field is set.

Example:
  sink-connector dead-letters replay --topic scores --reason missing_field";

const DISCARD_AFTER: &str = "\
Without --execute it only shows what it would discard.

Example:
  sink-connector dead-letters discard --reason invalid_json --execute";

/// What is to be done with dead letters.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum DeadLettersCommand {
    /// Show dead letters, in the order of topic, partition and offset
    #[command(after_help = LIST_AFTER)]
    List(ListArgs),
    /// Write dead letters to their tables, at most once each
    #[command(after_help = REPLAY_AFTER)]
    Replay(ReplayArgs),
    /// Delete dead letters
    #[command(after_help = DISCARD_AFTER)]
    Discard(DiscardArgs),
}

/// Which dead letters are meant; without any of these flags, all of this connector.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct FilterArgs {
    /// Of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Of this partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// At this offset
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    offset: Option<i64>,
    /// With this reason, such as wrong_type
    #[arg(long)]
    reason: Option<String>,
    /// Stored in this time, such as 2h, or since then, such as 2026-04-08T19:30:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
}

/// What `list` takes.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Show so many, at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// What `replay` takes.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ReplayArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// How to print what came of it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// What `discard` takes.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct DiscardArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Really delete them
    #[arg(long)]
    execute: bool,
    /// How to print what came of it
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

/// Runs the command.
///
/// # Errors
/// PostgreSQL is away or refuses, or this connector has its dead letters elsewhere.
pub fn run(config: &Config, command: &DeadLettersCommand) -> anyhow::Result<ExitCode> {
    if let (config::DeadLetters::Topic, Some(topic)) =
        (config.errors.dead_letters, &config.errors.dead_letter_topic)
    {
        let problem = format!(
            "errors.dead_letters is \"topic\": the dead letters are in Kafka's topic {topic}, and any consumer reads them. \
             This command is for those in a table"
        );
        return Err(Usage(problem).into());
    }
    let letters = DeadLetters::new(&TableName::parse(&config.errors.dead_letter_table), &config.name);
    let connections = postgres::pool(config)?;
    let mut connection = postgres::open(&connections, config)?;
    anyhow::ensure!(
        session::exists(&mut connection, letters.table())?,
        "there is no table {}, which the sink makes when it first runs: has this connector run on this database?",
        letters.table()
    );
    match command {
        DeadLettersCommand::List(args) => {
            let filter = args.filter.filter();
            let total = letters.count(&mut connection, &filter)?;
            let shown = letters.read(&mut connection, &filter, None, args.limit)?;
            list(&shown, total, args.output)?;
        }
        DeadLettersCommand::Replay(args) => {
            drop(connection);
            let replayed = replay::replay(config, &connections, &letters, &args.filter.filter())?;
            replayed.print(args.output)?;
        }
        DeadLettersCommand::Discard(args) => {
            let filter = args.filter.filter();
            let discarded = if args.execute {
                i64::try_from(letters.discard(&mut connection, &filter)?)?
            } else {
                letters.count(&mut connection, &filter)?
            };
            match (args.output, args.execute) {
                (Output::Json, executed) => {
                    print_json(&json!({"executed": executed, "discarded": discarded}))?;
                }
                (Output::Text, true) => println!("{discarded} dead letters discarded"),
                (Output::Text, false) => {
                    list(&letters.read(&mut connection, &filter, None, 20)?, discarded, Output::Text)?;
                    println!("would be discarded; give --execute to do it");
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(shown: &[Stored], total: i64, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => {
            let letters: Vec<Value> = shown.iter().map(as_json).collect();
            print_json(&json!({"total": total, "dead_letters": letters}))
        }
        Output::Text => {
            for letter in shown {
                let detail: String =
                    letter.detail.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
                println!(
                    "{} at offset {}, {}  {}: {detail}",
                    letter.partition, letter.offset, letter.created_at, letter.reason
                );
            }
            match usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(shown.len()) {
                0 => println!("{total} dead letters"),
                more => println!("{total} dead letters, of which {more} are not shown"),
            }
            Ok(())
        }
    }
}

fn as_json(letter: &Stored) -> Value {
    let bytes = |bytes: Option<&Vec<u8>>| match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => {
            json!({"hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()})
        }
    };
    json!({
        "topic": &*letter.partition.topic,
        "partition": letter.partition.partition.0,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "sqlstate": letter.sqlstate,
        "constraint": letter.constraint,
        "created_at": letter.created_at,
        "timestamp": letter.timestamp,
        "key": bytes(letter.key.as_ref()),
        "payload": bytes(letter.payload.as_ref()),
        "headers": letter.headers,
    })
}

/// A span of time that ends now, or a moment.
fn since(text: &str) -> Result<SystemTime, String> {
    let ago = |span: Duration| SystemTime::now().checked_sub(span);
    match humantime::parse_duration(text) {
        Ok(span) => ago(span).ok_or_else(|| "is too long ago".to_owned()),
        Err(_) => humantime::parse_rfc3339_weak(text).map_err(|_| {
            "write 30m, 2h or 7days, or a moment in UTC such as 2026-04-08T19:30:00Z".to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_moment() {
        let hour = since("1h").unwrap();
        assert!(hour < SystemTime::now() && hour > SystemTime::now() - Duration::from_secs(3_700));
        let moment = since("2026-04-08T19:30:00Z").unwrap();
        assert_eq!(moment.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_775_676_600);
        assert!(since("yesterday").is_err());
    }
}
