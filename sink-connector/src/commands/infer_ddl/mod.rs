//! `infer-ddl`: a table proposed from the newest records of a topic, with a comment wherever it had to guess.

mod proposal;
mod survey;
mod types;

use std::borrow::Cow;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use self::proposal::{Proposal, Wishes};
use self::survey::Survey;
use super::kafka::Kafka;
use super::sample::newest;
use super::{Output, print_json};
use crate::config::{Config, InsertMode, PkMode};
use crate::decode::{Decoder, Opened, Options};
use crate::sql::TableName;

/// What `infer-ddl --help` ends with.
pub const AFTER: &str = "\
It reads the newest records without joining the group, and writes nothing. Every type that it proposes takes every \
value that it has seen; what it could not know stands beside the column as a comment.

Example:
  sink-connector infer-ddl --topic scores --sample 1000 > scores.sql";

/// Flags of `infer-ddl`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct InferDdlArgs {
    /// The topic, which need not be a configured one
    #[arg(long, value_name = "TOPIC")]
    pub topic: String,
    /// Records to look at, at most
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub sample: u64,
    /// Name of the table; otherwise the configured one, or the topic's
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// How the proposal is printed: text is SQL
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Looks at records and prints the proposal.
///
/// # Errors
/// Kafka does not answer, or there is nothing to look at.
pub fn run(config: &Config, args: &InferDdlArgs) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(config)?;
    kafka.cluster_id()?;
    let partitions = kafka.partitions(&args.topic)?;
    let records = newest(&kafka, &partitions, args.sample)?;
    let configured = config.topic(&args.topic);
    let mut survey = Survey::new(configured.unwrap_single_element_arrays);
    // What is to become of the rows is not known yet, but what wraps them is.
    let envelope = crate::run::envelope(configured.value_format);
    let opener = Decoder::new(Vec::new(), Options { envelope, ..Options::default() })?;
    for record in &records {
        // A value that is no such envelope is counted by the survey, as it came.
        let row = record.payload.as_deref().and_then(|value| match opener.open(value) {
            Ok(Opened::Row(row)) => Some(row),
            Ok(Opened::Gone { before }) => before,
            Err(_) => Some(Cow::Borrowed(value)),
        });
        survey.add(record.key.as_deref(), row.as_deref());
    }
    if survey.fields().is_empty() {
        bail!(
            "topic {} has no JSON objects to look at: {} records read, {} tombstones, {} not JSON objects",
            args.topic,
            records.len(),
            survey.tombstones,
            survey.refused
        );
    }
    let known = config.kafka.reads(&args.topic) || config.topics.contains_key(&args.topic);
    let table = match &args.table {
        Some(table) => TableName::parse(table),
        None if known => TableName::parse(&configured.table),
        // A topic's name may have dots, which are no schema.
        None => TableName { schema: None, table: args.topic.clone() },
    };
    let key =
        if known && configured.pk_mode == PkMode::RecordValue { configured.pk_fields } else { Vec::new() };
    let wishes = Wishes {
        topic: args.topic.clone(),
        table,
        key,
        unkeyed: known && configured.pk_mode == PkMode::None,
        insert: known && configured.insert_mode == InsertMode::Insert,
        rename: configured.rename,
    };
    let proposal = Proposal::new(&survey, &wishes);
    match args.output {
        Output::Text => print!("{}", proposal.sql()),
        Output::Json => print_json(&proposal.to_json())?,
    }
    Ok(ExitCode::SUCCESS)
}
