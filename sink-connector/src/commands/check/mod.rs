//! `check`: checks everything that the sink needs. Then it writes the newest records as the sink would, and rolls them
//! back. It joins no group and leaves nothing behind.

pub(super) mod dry_run;
mod finding;
mod lost_rows;
mod privileges;
mod source;
mod target;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use shared::settings::SettingsErrors;

use self::dry_run::DryRun;
use self::finding::Report;
use super::kafka::Kafka;
use super::lock_watch::LockWatch;
use super::{Output, postgres, print_json};
use crate::config::Config;
use crate::types::TopicPartition;

/// The end of `check --help`.
pub const AFTER: &str = "\
Checks configuration, brokers, topics, authorisation, positions, tables, columns, keys and privileges. Then it decodes \
and writes the newest records in a transaction that it rolls back. It joins no group and leaves nothing behind, but \
sequences may advance.

Exit codes:
  0  no errors; there may be warnings
  1  a finding is an error
  2  configuration or usage error

Examples:
  sink-connector --config sink.toml check
  sink-connector --config sink.toml check --sample 1000 --output json";

/// Flags of `check`.
#[derive(Args, Clone, Copy, Debug, PartialEq)]
pub struct CheckArgs {
    /// Maximum number of records to try per topic; 0 tries none
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub sample: u64,
    /// Output format of the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Checks, and prints the findings.
///
/// # Errors
/// If the configuration cannot be used at all.
pub fn run(config: &Config, args: CheckArgs) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(config)?;
    let connections = postgres::pool(config)?;
    let mut report = Report::default();
    let matched = kafka.with_topics(config).map_err(|error| report.failed("topics", &error));
    let config = matched.as_deref().unwrap_or(config);
    let targets = crate::table::targets::targets(config)?;
    report.ok("configuration", format!("connector {:?} loads", config.name));
    for topic in config.unused_topics() {
        report.warning(
            "configuration",
            format!("[topics.{topic:?}] configures a topic that the sink does not read"),
            "correct its name, or add it to kafka.topics",
        );
    }
    let topics: BTreeMap<String, Vec<TopicPartition>> = source::topics(config, &kafka, &mut report);
    let group = source::group(config, &kafka, &topics, &mut report);
    let samples = source::samples(&kafka, &topics, args.sample, &mut report);
    match postgres::open(&connections, config) {
        Ok(mut client) => {
            report.ok("postgres", format!("connected to {}", config.postgres.redacted_url()));
            let (usable, own_usable) =
                target::check(config, &targets, &connections, &mut client, &mut report);
            client.discard();
            drop(client);
            // Positions cannot be read from a table that is missing a privilege or is another's.
            if group && own_usable {
                source::positions(config, &kafka, &connections, &topics, &mut report);
            }
            let locks = LockWatch::start(config)?;
            for (topic, records) in samples.iter().filter(|(topic, _)| usable.contains(topic)) {
                let dry_run =
                    DryRun { config, connections: &connections, target: &targets[topic], locks: &locks };
                dry_run.run(topic, records, &mut report);
            }
        }
        Err(error) => report.failed("postgres", &error),
    }
    match args.output {
        Output::Text => shared::out!("{report}")?,
        Output::Json => print_json(&report.to_json())?,
    }
    Ok(if report.errors() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The JSON report for a configuration that does not load.
pub fn invalid_configuration(errors: &SettingsErrors) -> Value {
    let mut report = Report::default();
    for error in &errors.0 {
        report.error("configuration", error.to_string(), "correct it where it is set");
    }
    report.to_json()
}
