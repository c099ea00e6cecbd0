//! `try`: decodes JSON lines as the sink would, without Kafka, and prints what becomes of each.

mod outcome;
mod table;
mod text;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use shared::lines::Lines;

use self::outcome::{Counts, Trial, Tried};
use super::{Output, Usage, print_json};
use crate::config::Config;

/// The end of `try --help`.
pub const AFTER: &str = "\
Decodes and encodes every line of FILE as the sink does with the value of a record, and prints its row, or why it is \
rejected. No broker is needed. The table is the configured one, as the database has it. With --ddl it is the one that a \
file of SQL creates, and no database is needed; types and constraints that only a server knows are then named. Lines are \
taken as the records of partition 0, from offset 0 on, written to an empty table.

Exit codes:
  0  every line is a row, deletes one or is skipped
  1  the database cannot be read, or reading the input fails
  2  configuration or usage wrong, a file cannot be opened, a line lacks a field of --key, or the table cannot be
     written as configured
  3  a line is rejected

Examples:
  sink-connector --config sink.toml try samples.jsonl --ddl schema.sql
  sink-connector --config sink.toml try samples.jsonl --output json";

/// The exit code if a line is rejected.
const REJECTED: u8 = 3;
/// The size of a line, at most. The brokers' limit is usually 1 MB.
const MAX_LINE_BYTES: usize = 256 * 1024 * 1024;

/// Flags of `try`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TryArgs {
    /// File of JSON lines; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// File of SQL that creates the table; without it the table is read from the database
    #[arg(long, value_name = "FILE")]
    pub ddl: Option<PathBuf>,
    /// The topic whose configuration is tried [default: the configured topic, if it is one]
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Fields that give each record its key, as with `producer publish --key`, but taken from the row if an envelope holds
    /// one; without it records have no key
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    pub key: Vec<String>,
    /// Output format: text is one line for each record
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    topic: &'a str,
    table: &'a str,
    lines: &'a [Tried],
    counts: Counts,
    /// What was not tried, because only a server can.
    unknown: &'a [String],
}

/// Decodes the lines and prints their outcomes.
///
/// # Errors
/// If the file or the table cannot be read.
pub fn run(config: &Config, args: &TryArgs) -> anyhow::Result<ExitCode> {
    let topic = topic(config, args.topic.as_deref())?;
    let input = open(&args.file)?;
    let (plan, unknown) = table::plan(config, &topic, args.ddl.as_deref())?;
    let mut lines = Trial::new(plan, &topic, &args.key);
    let mut counts = Counts::default();
    let mut shown = Vec::new();
    for line in Lines::new(input, MAX_LINE_BYTES) {
        let line = line.with_context(|| format!("cannot read {}", args.file.display()))?;
        let tried: Tried = lines.take(&line)?;
        counts.add(&tried);
        match args.output {
            Output::Text => shared::out!("{tried}")?,
            Output::Json => shown.push(tried),
        }
    }
    match args.output {
        Output::Text => {
            shared::outln!("{counts}")?;
            for what in &unknown {
                shared::outln!("not tried: {what}")?;
            }
        }
        Output::Json => {
            print_json(&Report {
                topic: &topic,
                table: lines.table(),
                lines: &shown,
                counts,
                unknown: &unknown,
            })?;
        }
    }
    Ok(if counts.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::from(REJECTED) })
}

fn topic(config: &Config, given: Option<&str>) -> Result<String, Usage> {
    let topic = match (given, &config.kafka.topics[..]) {
        (Some(topic), _) => topic.to_owned(),
        (None, [topic]) => topic.clone(),
        (None, []) => return Err(Usage("--topic is needed with kafka.topics_regex".to_owned())),
        (None, topics) => {
            return Err(Usage(format!("--topic is needed: the configured topics are {}", topics.join(", "))));
        }
    };
    if !config.has_table(&topic) {
        return Err(Usage(format!(
            "topic {topic:?} has no table: set sink.table, or [topics.{topic:?}] table"
        )));
    }
    Ok(topic)
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Usage> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let unreadable = |why: String| Usage(format!("cannot read {}: {why}", file.display()));
    if file.is_dir() {
        return Err(unreadable("it is a directory".to_owned()));
    }
    let opened = File::open(file).map_err(|error| unreadable(error.to_string()))?;
    Ok(Box::new(BufReader::new(opened)))
}
