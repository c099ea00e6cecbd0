//! faucet-cli, which is one binary as the sink is.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tests::process::{Ending, Process};
use tests::scratch::Scratch;
use tests::{output, paths};

use super::watch;
use crate::load::Measured;
use crate::setting::Setting;

/// Records in a page, which is one transaction.
const PAGE: usize = 5000;

/// How it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Rows and a watermark in one transaction, by INSERT with many rows: COPY is not available for it.
    ExactlyOnce,
    /// COPY, without a watermark.
    Copy,
}

pub(super) fn program() -> PathBuf {
    paths::target_dir().join("bench-faucet/bin/faucet")
}

/// What is missing, and how it gets there.
pub(super) fn missing() -> Option<String> {
    (!program().is_file())
        .then(|| format!("{} is not there; `make bench-faucet` builds it", program().display()))
}

/// Lets it drain the topic.
pub(super) fn measure(setting: &Setting, delivery: Delivery) -> Result<Measured> {
    let target = setting.target()?;
    let dir = Scratch::new("bench_faucet")?;
    let (pipeline, log) = (dir.path().join("pipeline.yaml"), dir.path().join("log"));
    let (guarantee, write) = match delivery {
        Delivery::ExactlyOnce => ("exactly_once", "insert"),
        Delivery::Copy => ("at_least_once", "copy"),
    };
    // As in its examples/kafka_to_postgres_exactly_once.yaml, with larger pages, each of them written whole.
    let text = format!(
        "version: 1
name: peer
delivery: {guarantee}
pipeline:
  source:
    type: kafka
    config:
      brokers: \"{}\"
      topics: [\"{}\"]
      group_id: {}
      value_format: {{ type: json }}
      auto_offset_reset: earliest
      idle_timeout: 5
      batch_size: {PAGE}
      extra_client_config: {{ fetch.queue.backoff.ms: \"10\" }}
  # The cheapest transform that makes a row of a record's value; `op` is in no record.
  transforms:
    - type: cdc_unwrap
      config: {{ op_field: op, after_field: value }}
  sink:
    type: postgres
    config:
      connection_url: \"{}\"
      table_name: {}
      column_mapping: auto_map
      batch_size: 0
      write_method: {write}
  state:
    type: file
    config:
      path: \"{}\"
",
        setting.kafka().bootstrap(),
        setting.topic,
        tests::names::unique("peer"),
        target.url,
        target.table,
        dir.path().join("state").display()
    );
    fs::write(&pipeline, text).context("cannot write the pipeline")?;
    let file = File::create(&log).context("cannot create the log")?;
    let mut command = Command::new(program());
    command.arg("run").arg(&pipeline).current_dir(dir.path()).stdout(file.try_clone()?).stderr(file);
    let process = Process::spawn(&mut command, Ending::Kill)?;
    watch::until_written(setting, &target, &process, || match process.ended() {
        Some(ended) if ended.code != Some(0) => bail!("it failed\n{}", output::tail(&log, 60)),
        _ => Ok(()),
    })
}
