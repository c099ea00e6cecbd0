//! The producer without a limit, beside Kafka's own producer-perf-test with records of the same bytes and the same settings.

use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tests::ProducerConfig;
use tests::kafka::install;

use crate::setting::Setting;

const DEADLINE: Duration = Duration::from_secs(600);
const ROUNDS: usize = 3;
/// Different records that producer-perf-test draws from.
const PAYLOADS: u64 = 10_000;

/// Records per second: medians.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Producing {
    /// Ours, with its start.
    producer: f64,
    /// Kafka's, by its own count, without the start of the JVM.
    perf_test: f64,
}

/// Measures both in turns.
pub(crate) fn measure(setting: &Setting) -> Result<Producing> {
    let sample = setting.kafka().topic("payloads", 1);
    once(setting, &sample, PAYLOADS)?;
    let payloads: Vec<u8> = setting
        .kafka()
        .read_all(&sample)
        .into_iter()
        .flat_map(|record| [record.payload.unwrap_or_default(), b"\n".to_vec()].concat())
        .collect();
    let file = setting.postgres().dir().join("payloads");
    fs::write(&file, payloads).context("cannot write the payloads")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(once(setting, &setting.kafka().topic("producer", 4), setting.records)?);
        theirs.push(perf_test(setting, &file.display().to_string())?);
    }
    Ok(Producing { producer: median(ours), perf_test: median(theirs) })
}

fn once(setting: &Setting, topic: &str, records: u64) -> Result<f64> {
    let count = records.to_string();
    let run = ProducerConfig::new(setting.kafka().bootstrap(), topic)
        .finish(&["once", "--records", &count, "--seed", "42"], DEADLINE)
        .expect_code(0);
    let sent: i64 = setting.kafka().end_offsets(topic).into_iter().sum();
    ensure!(sent == i64::try_from(records)?, "only {sent} records");
    Ok(records as f64 / run.elapsed.as_secs_f64())
}

fn perf_test(setting: &Setting, payloads: &str) -> Result<f64> {
    let topic = setting.kafka().topic("perf-test", 4);
    let output = install::java(&["-Xmx512m"])?
        .args(["org.apache.kafka.tools.ProducerPerformance", "--topic", &topic, "--throughput", "-1"])
        .args(["--num-records", &setting.records.to_string(), "--payload-file", payloads, "--producer-props"])
        .arg(format!("bootstrap.servers={}", setting.kafka().bootstrap()))
        .args(["acks=all", "compression.type=lz4", "linger.ms=5", "batch.size=131072"])
        .output()
        .context("cannot run producer-perf-test")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    // "1000000 records sent, 250000.0 records/sec (…"
    let last = text.lines().rfind(|line| line.contains("records sent")).context("it prints its rate")?;
    let rate = last.split("records sent, ").nth(1).and_then(|rest| rest.split(' ').next());
    rate.context("the rate follows the count")?.parse().with_context(|| format!("no rate in {last:?}"))
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

impl fmt::Display for Producing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { producer, perf_test } = self;
        write!(
            f,
            "producer, without a limit: {producer:.0} records/s; Kafka's producer-perf-test with records of the same size: \
             {perf_test:.0}; ratio {:.2}",
            producer / perf_test
        )
    }
}
