//! `dead-letters`: list, replay and discard dead letters.

mod causes;
mod list;
mod replay;
mod replayed;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::json;
use shared::output::counted;

use super::lock_watch::LockWatch;
use super::{Output, Usage, postgres, print_json};
use crate::config::{self, Config};
use crate::decode::Reason;
use crate::postgres::session::{self, Connection};
use crate::postgres::sql::TableName;
use crate::rejects::dead_letters::{DeadLetters, Filter};

/// The end of `dead-letters --help`.
pub const AFTER: &str = "\
Examples:
  sink-connector dead-letters list --reason wrong_type --since 2h
  sink-connector dead-letters replay --topic scores
  sink-connector dead-letters discard --topic scores --partition 0 --offset 5000 --execute";

const LIST_AFTER: &str = "\
Dead letters are grouped by reason, with what to do. The payload is shown only with --payload, and in JSON.

Example:
  sink-connector dead-letters list --since 2026-04-08T19:30:00Z --output json";

const REPLAY_AFTER: &str = "\
A record is written and its dead letter deleted in one transaction. So nothing is written twice, even if this command is \
killed and run again, and the sink may run at the same time. A record that still fails stays a dead letter, with its new \
reason. In upsert mode, a replayed record overwrites the existing row, unless version_field is set. Exit code 3 means that \
some still fail, or are of topics that this configuration does not read. If the table of a topic cannot be written, because it is \
locked or missing, its dead letters are left, those of other topics are replayed, and the exit code is 1. The reasons are printed.

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
    /// Show the payload of each record, at most 1,000 characters; JSON output always has all of it
    #[arg(long)]
    payload: bool,
    /// Maximum number to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// The key that names the table.
/// The privileges to delete dead letters.
const TO_DELETE: &[&str] = &["SELECT", "DELETE"];
const TABLE_KEY: &str = "errors.dead_letter_table";

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

impl DeadLettersCommand {
    /// What it needs on the table.
    fn privileges(&self) -> &'static [&'static str] {
        match self {
            Self::List(_) | Self::Discard(DiscardArgs { execute: false, .. }) => &["SELECT"],
            Self::Discard(_) | Self::Replay(_) => TO_DELETE,
        }
    }

    fn filter(&self) -> &FilterArgs {
        match self {
            Self::List(ListArgs { filter, .. })
            | Self::Replay(ReplayArgs { filter, .. })
            | Self::Discard(DiscardArgs { filter, .. }) => filter,
        }
    }
}

impl FilterArgs {
    /// Refuses a topic that is neither read nor has dead letters, and a reason that does not exist: a typing mistake would
    /// look as if there were no dead letters.
    fn refuse_unknown(
        &self,
        config: &Config,
        dead_letters: &DeadLetters,
        connection: &mut Connection,
    ) -> anyhow::Result<()> {
        if let Some(reason) = &self.reason
            && !Reason::ALL.iter().any(|known| known.as_str() == reason)
        {
            let known = Reason::ALL.map(Reason::as_str).join(", ");
            return Err(Usage(format!(
                "--reason {reason}: there is no such reason; the reasons are: {known}"
            ))
            .into());
        }
        let Some(topic) = self.topic.as_ref().filter(|topic| !config.kafka.reads(topic)) else {
            return Ok(());
        };
        let mut known = dead_letters.topics(connection)?;
        if known.contains(topic) {
            return Ok(());
        }
        known.extend(config.kafka.topics.iter().cloned());
        known.extend(config.kafka.topics_regex.iter().map(|regex| format!("those that match {regex:?}")));
        known.sort_unstable();
        known.dedup();
        let known = known.join(", ");
        Err(Usage(format!(
            "--topic {topic}: this sink does not read that topic and has no dead letters of it; the topics are: {known}"
        ))
        .into())
    }

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
    let table = TableName::parse(&config.errors.dead_letter_table);
    let dead_letters = DeadLetters::new(&table, &config.name);
    let connections = postgres::pool(config)?;
    let mut connection = postgres::open(&connections, config)?;
    let checked = check(config, command, &dead_letters, &mut connection);
    let done = match command {
        DeadLettersCommand::List(args) => checked.and_then(|()| {
            let list = list::read(&dead_letters, &mut connection, &args.filter.filter(), args.limit)?;
            list.print(config, &mut connection, args)
        }),
        DeadLettersCommand::Discard(args) => {
            checked.and_then(|()| discard(config, args, &dead_letters, &mut connection))
        }
        DeadLettersCommand::Replay(args) => {
            match checked.and_then(|()| Ok(dead_letters.topics(&mut connection)?)) {
                Ok(topics) => {
                    drop(connection);
                    let filter = args.filter.filter();
                    let replayed = replay::replay(config, &connections, &dead_letters, topics, &filter)?;
                    replayed.print(args.output)?;
                    return Ok(replayed.exit_code());
                }
                Err(error) => Err(error),
            }
        }
    };
    match done.map_err(anyhow::Error::downcast::<::postgres::Error>) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Ok(error)) => {
            Err(postgres::unreadable(&mut connection, &table, TABLE_KEY, command.privileges(), error).into())
        }
        Err(Err(other)) => Err(other),
    }
}

/// Whether there is a table of dead letters, and what the filter names.
fn check(
    config: &Config,
    command: &DeadLettersCommand,
    dead_letters: &DeadLetters,
    connection: &mut Connection,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        session::exists(connection, dead_letters.table())?,
        "table {} does not exist. The sink creates it when it first runs: has this connector run on this database?",
        dead_letters.table()
    );
    command.filter().refuse_unknown(config, dead_letters, connection)
}

fn discard(
    config: &Config,
    args: &DiscardArgs,
    dead_letters: &DeadLetters,
    connection: &mut Connection,
) -> anyhow::Result<()> {
    let filter = args.filter.filter();
    let discarded = if args.execute {
        let locks = LockWatch::over(config, connection)?;
        let discarded = dead_letters.discard(connection, &filter).map_err(|error| {
            let (table, failure) = (TableName::parse(dead_letters.table()), locks.explain(error.into()));
            postgres::unusable(connection, &table, TABLE_KEY, TO_DELETE, &failure)
        });
        i64::try_from(discarded?)?
    } else {
        dead_letters.count(connection, &filter)?
    };
    match (args.output, args.execute) {
        (Output::Json, executed) => print_json(&json!({"executed": executed, "discarded": discarded})),
        (Output::Text, true) => Ok(shared::outln!("{} discarded", counted(discarded, "dead letter"))?),
        (Output::Text, false) => {
            let list = list::read(dead_letters, connection, &filter, 20)?;
            list.print(config, connection, &ListArgs::default())?;
            Ok(shared::outln!("Nothing was deleted. Run again with --execute.")?)
        }
    }
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
