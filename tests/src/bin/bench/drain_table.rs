//! Records of any kind, drained into a table of their own.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::Client;
use serde::Serialize;
use tests::proxy::Proxy;
use tests::{Record, Sink, SinkConfig};

use crate::setting::Setting;

/// How often the positions are read.
const LOOK: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(300);

/// What records are drained into, and how. The key is `id`.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    /// The table's name, and its topic's.
    pub table: &'static str,
    /// Statements separated by `; `.
    pub ddl: String,
    /// Of the topic.
    pub partitions: i32,
    /// Sinks in the group.
    pub processes: usize,
    /// How long a byte takes between sink and PostgreSQL, in each direction.
    pub latency: Duration,
}

/// What a drain came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Drained {
    /// Records that are done with per second, from the first commit to the last.
    pub rows_per_second: f64,
    /// CPU time of all sinks, in µs per record.
    pub client_us: f64,
    /// CPU time of PostgreSQL, in µs per record.
    pub postgres_us: f64,
    /// The largest peak of a sink's resident memory.
    pub peak_rss_bytes: u64,
    /// Of the largest backend that wrote, at the end: memory that belongs to it alone.
    pub backend_bytes: u64,
    /// Rows inserted or updated.
    pub rows_written: i64,
}

impl Drain {
    /// By one sink, from two partitions.
    pub(crate) fn new(table: &'static str, ddl: String) -> Self {
        Self { table, ddl, partitions: 2, processes: 1, latency: Duration::ZERO }
    }

    /// Produces `values` to a new topic, so many `records`, and drains it.
    pub(crate) fn run(
        &self,
        setting: &Setting,
        values: impl Iterator<Item = Record>,
        records: u64,
    ) -> Result<Drained> {
        let topic = setting.kafka().topic(self.table, self.partitions);
        setting.kafka().produce(&topic, values);
        let target = setting.target()?;
        let mut client = target.client()?;
        for statement in self.ddl.split("; ") {
            client.batch_execute(statement)?;
        }
        client.batch_execute("CHECKPOINT")?;
        let port = setting.postgres().port();
        let url = match self.latency {
            Duration::ZERO => target.url.clone(),
            latency => Proxy::with_latency(port, latency)?.url(&target.url, port),
        };
        let config = SinkConfig::new(setting.kafka().bootstrap(), &url)
            .topic(&topic)
            .table(self.table)
            .pk_fields(&["id"]);
        let server = setting.postgres().cpu_seconds();
        let start = |_| config.start(&["run", "--idle-timeout", "2s", "--summary", "json"]);
        let sinks: Vec<Sink> = (0..self.processes).map(start).collect();
        let (begin, mut first, mut backend_bytes) = (Instant::now(), None, 0);
        let (took, before) = loop {
            let stored = stored(&mut client).unwrap_or(0);
            if stored > 0 {
                backend_bytes = backends(&mut client)?.unwrap_or(0).max(backend_bytes);
                first.get_or_insert((Instant::now(), stored));
            }
            if let Some((first, before)) = first.filter(|_| stored >= records) {
                break (first.elapsed().as_secs_f64(), before);
            }
            let log = || sinks.iter().map(Sink::log_tail).collect::<String>();
            ensure!(begin.elapsed() < DEADLINE, "only {stored} records after {DEADLINE:?}\n{}", log());
            thread::sleep(LOOK);
        };
        let server = setting.postgres().cpu_seconds() - server;
        let runs: Vec<_> = sinks.into_iter().map(|sink| sink.wait(DEADLINE).expect_code(0)).collect();
        let us = |seconds: f64| seconds * 1e6 / records as f64;
        Ok(Drained {
            rows_per_second: (records - before) as f64 / took,
            client_us: us(runs.iter().map(|run| run.cpu_seconds).sum()),
            postgres_us: us(server),
            peak_rss_bytes: runs.iter().map(|run| run.peak_rss_bytes).max().unwrap_or(0),
            backend_bytes,
            rows_written: runs.iter().map(|run| run.count("rows_written")).sum(),
        })
    }
}

fn stored(client: &mut Client) -> Result<u64> {
    let stored: Option<i64> =
        client.query_one("SELECT sum(next_offset)::bigint FROM sink_offsets", &[])?.get(0);
    Ok(u64::try_from(stored.unwrap_or(0))?)
}

/// The private memory of the largest backend of a sink; `None` when the sinks have just ended.
fn backends(client: &mut Client) -> Result<Option<u64>> {
    let pids = client
        .query(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'kafka-sink%'",
            &[],
        )
        .context("cannot list the sink's sessions")?;
    let private = |pid: i32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    Ok(pids.iter().filter_map(|row| private(row.get(0))).max())
}
