//! How soon a record is a row: under a steady stream, and after the start of the process.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tests::ProducerConfig;

use crate::setting::{Setting, TABLE};

/// Records per second of the streams.
pub(crate) const RATES: [u64; 2] = [10_000, 100];
/// The first seconds are not counted: the stream is to be a steady one.
const WARM_UP_SECONDS: u64 = 3;
const DEADLINE: Duration = Duration::from_secs(60);

/// Upper bounds of the quantiles, in seconds: the bucket of `sink_record_latency_seconds` that holds them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    /// Records per second.
    pub rate: u64,
    /// Half of the records.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// Transactions.
    pub commits_per_second: f64,
}

/// Record timestamp → commit while `rate` records a second are produced, for `seconds`.
pub(crate) fn measure(setting: &Setting, rate: u64, seconds: u64) -> Result<Latency> {
    let topic = setting.kafka().topic("latency", 8);
    let target = setting.target()?;
    let sink = setting.sink(&target).topic(&topic).run();
    // Steady means: every partition is being read.
    sink.wait_metric(DEADLINE, "sink_partitions_assigned", |assigned| assigned >= 8.0);
    sink.wait_metric(DEADLINE, "sink_partitions_paused", |paused| paused == 0.0);
    let (records, warm_up) = (rate * (seconds + WARM_UP_SECONDS), rate * WARM_UP_SECONDS);
    let (count, batch) = (records.to_string(), (rate / 100).to_string());
    let per_second = format!("{rate}/s");
    let producer = ProducerConfig::new(setting.kafka().bootstrap(), &topic).start(&[
        "run",
        "--records",
        &count,
        "--rate",
        &per_second,
        "--batch-size",
        &batch,
    ]);
    sink.wait_metric(DEADLINE, "sink_records_consumed_total", |consumed| consumed >= warm_up as f64);
    let before = sink.metrics()?;
    producer.wait(DEADLINE * 5).expect_code(0);
    sink.wait_metric(DEADLINE, "sink_records_consumed_total", |consumed| consumed >= records as f64);
    let metrics = sink.metrics()?.since(&before);
    let quantile = |q| metrics.quantile("sink_record_latency_seconds", q).context("no latency was observed");
    let batches = metrics.sum("sink_batches_total");
    Ok(Latency {
        rate,
        p50: quantile(0.5)?,
        p99: quantile(0.99)?,
        commits_per_second: batches / seconds as f64,
    })
}

/// The share of a core that the sink uses while no records arrive.
pub(crate) fn idle_share(setting: &Setting) -> Result<f64> {
    const SECONDS: u64 = 10;
    let topic = setting.kafka().topic("idle", 4);
    let target = setting.target()?;
    let sink = setting.sink(&target).topic(&topic).run();
    sink.wait_metric(DEADLINE, "sink_partitions_assigned", |assigned| assigned >= 4.0);
    sink.wait_metric(DEADLINE, "sink_partitions_paused", |paused| paused == 0.0);
    // What the start takes is over.
    thread::sleep(Duration::from_secs(2));
    let (before, started) = (sink.cpu_seconds(), Instant::now());
    thread::sleep(Duration::from_secs(SECONDS));
    Ok((sink.cpu_seconds() - before) / started.elapsed().as_secs_f64())
}

/// From the start of the process to the first row, in seconds, with a topic that has records: the median of five.
pub(crate) fn first_row(setting: &Setting) -> Result<f64> {
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let target = setting.target()?;
        let mut client = target.client()?;
        let config = setting.sink(&target);
        let started = Instant::now();
        let sink = config.run();
        loop {
            let there = format!("SELECT EXISTS (SELECT 1 FROM {TABLE})");
            if client.query_one(&there, &[])?.get(0) {
                break;
            }
            ensure!(started.elapsed() < DEADLINE, "no row\n{}", sink.log_tail());
            thread::sleep(Duration::from_millis(2));
        }
        seconds.push(started.elapsed().as_secs_f64());
        sink.sigkill();
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
