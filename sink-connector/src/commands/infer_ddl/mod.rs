//! `infer-ddl`: proposes a table from the newest records of a topic, with a comment on every guess.

mod declared;
mod format;
pub(super) mod key;
mod proposal;
mod sample_statistics;
mod types;

use std::borrow::Cow;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use shared::output::counted;
use toml::Table;

use self::declared::DeclaredTypes;
use self::proposal::{ConfiguredTopic, Proposal};
use self::sample_statistics::SampleStatistics;
use super::kafka::Kafka;
use super::sample::newest;
use super::{Output, print_json};
use crate::config::{Config, InsertMode, PkMode, TableConfig};
use crate::decode::{Decoder, Opened, Options, ValueFormat};
use crate::encode::JsonStrings;
use crate::postgres::sql::TableName;
use crate::table::metadata_columns::MetadataColumn;

/// The end of `infer-ddl --help`.
pub const AFTER: &str = "\
Reads the newest records without joining the group, and writes nothing. Each proposed type accepts all values in the \
sample. Comments beside the columns mark what is uncertain. The key and the metadata columns are those of the \
configuration, if it has them for the topic. Otherwise the key comes from the records' keys or from fields with the name of \
a key, or else it is topic, partition and offset (pk_mode = \"kafka\"). The configuration for the table follows as a \
comment.

Example:
  sink-connector infer-ddl --topic scores --sample 1000 > scores.sql";

/// Flags of `infer-ddl`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct InferDdlArgs {
    /// The topic; it does not have to be configured
    #[arg(long, value_name = "TOPIC")]
    pub topic: String,
    /// Maximum number of records to read
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub sample: u64,
    /// Name of the table [default: the configured table, or the name of the topic]
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Output format of the proposal: text is SQL
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Reads records and prints the proposal.
///
/// # Errors
/// If Kafka is unreachable, or the sample has no JSON objects.
pub fn run(config: &Config, args: &InferDdlArgs) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(config)?;
    kafka.cluster_id()?;
    let partitions = kafka.partitions(&args.topic)?;
    let records = newest(&kafka, &partitions, args.sample)?;
    let configured = config.topic(&args.topic);
    let values = || records.iter().filter_map(|record| record.payload.as_deref());
    let format = match configured.value_format {
        ValueFormat::Json => format::detect(values()),
        configured => configured,
    };
    let (mut declared, mut declared_keys) = (DeclaredTypes::default(), DeclaredTypes::default());
    let with_schema = values().filter(|value| declared.add_value(format, value)).count();
    records.iter().filter_map(|record| record.key.as_deref()).for_each(|key| declared_keys.add_key(key));
    let mut sample_statistics = SampleStatistics::new(configured.unwrap_single_element_arrays);
    // What is to become of the rows is not known yet, but what wraps them is.
    let options = Options { value_format: format, ..Options::default() };
    let opener = Decoder::new(Vec::new(), options)?;
    for record in &records {
        // A value without that envelope is counted as it is.
        let row = record.payload.as_deref().and_then(|value| match opener.open(value) {
            Ok(Opened::Row(row)) => Some(row),
            Ok(Opened::Gone { before }) => before,
            Err(_) => Some(Cow::Borrowed(value)),
        });
        let key = record.key.as_deref().map(|key| opener.open_key(key));
        sample_statistics.add(key.as_deref(), row.as_deref());
    }
    if records.is_empty() {
        bail!(
            "topic {} has nothing to propose a table from (0 records read): publish some, or write the table yourself",
            args.topic
        );
    }
    if sample_statistics.fields().is_empty() {
        bail!(
            "the newest records of topic {} have no JSON objects: {} read, {}, {} not JSON objects",
            args.topic,
            counted(records.len(), "record"),
            counted(sample_statistics.tombstones, "tombstone"),
            sample_statistics.not_objects
        );
    }
    let read = config.kafka.reads(&args.topic);
    let known = config.has_table(&args.topic) && (read || config.topics.contains_key(&args.topic));
    let table = match &args.table {
        Some(table) => TableName::parse(&table.replace("${topic}", &args.topic)),
        None if known => TableName::parse(&configured.table),
        // Dots in a topic's name do not separate a schema.
        None => TableName { schema: None, table: args.topic.clone() },
    };
    let metadata = configured.metadata.iter();
    let metadata =
        metadata.filter_map(|(name, column)| Some((MetadataColumn::named(name)?, column.clone()))).collect();
    // Without the names of its columns, a key from the records is still to be chosen.
    let decided = known && (configured.pk_mode == PkMode::None || !configured.pk_fields.is_empty());
    let topic = ConfiguredTopic {
        topic: args.topic.clone(),
        table,
        key: decided.then(|| (configured.pk_mode, configured.pk_fields.clone())),
        deletes: configured.delete_enabled,
        version_field: configured.version_field.clone(),
        metadata,
        mode: if known { configured.insert_mode } else { InsertMode::Upsert },
        other_settings: other_settings(&configured),
        parses_strings: configured.json_strings == JsonStrings::Parse,
        rename: configured.rename.clone(),
        format,
        declared,
        declared_keys,
        without_schema: format == ValueFormat::Debezium && with_schema == 0,
        topics: (!read).then(|| config.topics_with(&args.topic)),
    };
    let proposal = Proposal::new(&sample_statistics, &topic);
    match args.output {
        Output::Text => shared::out!("{}", proposal.sql())?,
        Output::Json => print_json(&proposal.to_json())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings of the topic that are not the defaults, and that the proposal does not decide.
fn other_settings(configured: &TableConfig) -> Table {
    let decided =
        ["table", "insert_mode", "pk_mode", "pk_fields", "delete_enabled", "value_format", "ddl_file"];
    let table = |settings: &TableConfig| Table::try_from(settings).expect("every value has a TOML form");
    let defaults = table(&TableConfig::default());
    let mut settings = table(configured);
    settings.retain(|name, value| {
        decided.iter().all(|decided| **decided != *name) && defaults.get(name) != Some(value)
    });
    settings
}
