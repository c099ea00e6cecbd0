//! `check`: everything that could keep the sink from working, looked at before it runs; then the newest records,
//! written as the sink would write them and rolled back. It joins no group and leaves nothing behind.

mod finding;
mod privileges;
mod rehearsal;
mod source;
mod target;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use shared::settings::SettingsErrors;

use self::finding::Report;
use self::rehearsal::Rehearsal;
use super::kafka::Kafka;
use super::{Output, postgres, print_json};
use crate::config::Config;
use crate::types::TopicPartition;

/// What `check --help` ends with.
pub const AFTER: &str = "\
It looks at configuration, brokers, topics, authorisation, positions, tables, columns, keys and privileges, then \
decodes and writes the newest records in a transaction that it rolls back. It joins no group and writes nothing; \
only sequences may move on.

Exit codes:
  0  no error (warnings are none)
  1  a finding is an error
  2  configuration or usage wrong

Examples:
  sink-connector --config sink.toml check
  sink-connector --config sink.toml check --sample 1000 --output json";

/// Flags of `check`.
#[derive(Args, Clone, Copy, Debug, PartialEq)]
pub struct CheckArgs {
    /// Records of each topic to try, at most; 0 tries none
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub sample: u64,
    /// How findings are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Checks, and prints what it found.
///
/// # Errors
/// A configuration that cannot be used at all.
pub fn run(config: &Config, args: CheckArgs) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(config)?;
    let connections = postgres::pool(config)?;
    let mut report = Report::default();
    let matched = kafka.with_topics(config).map_err(|trouble| report.trouble("topics", &trouble));
    let config = matched.as_deref().unwrap_or(config);
    let targets = crate::run::targets(config)?;
    report.ok("configuration", format!("connector {:?} loads", config.name));
    for topic in config.unused_topics() {
        report.warning(
            "configuration",
            format!("[topics.{topic:?}] is for a topic that is not read"),
            "correct its name, or add it to kafka.topics",
        );
    }
    let topics: BTreeMap<String, Vec<TopicPartition>> = source::look(config, &kafka, &mut report);
    let group = source::group(config, &kafka, &topics, &mut report);
    let samples = source::samples(&kafka, &topics, args.sample, &mut report);
    match postgres::open(&connections, config) {
        Ok(mut client) => {
            report.ok("postgres", format!("connected to {}", config.postgres.redacted_url()));
            let usable = target::look(config, &targets, &connections, &mut client, &mut report);
            client.discard();
            drop(client);
            if group {
                source::positions(config, &kafka, &connections, &topics, &mut report);
            }
            for (topic, records) in samples.iter().filter(|(topic, _)| usable.contains(topic)) {
                let rehearsal = Rehearsal { config, connections: &connections, target: &targets[topic] };
                rehearsal.run(topic, records, &mut report);
            }
        }
        Err(trouble) => report.trouble("postgres", &trouble),
    }
    match args.output {
        Output::Text => print!("{report}"),
        Output::Json => print_json(&report.to_json())?,
    }
    Ok(if report.errors() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The report of a configuration that does not load, as JSON.
pub fn refused(errors: &SettingsErrors) -> Value {
    let mut report = Report::default();
    for error in &errors.0 {
        report.error("configuration", error.to_string(), "correct it where it is given");
    }
    report.to_json()
}
