//! The sink drains the whole topic.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::Client;
use tests::SinkConfig;

use crate::load::Measured;
use crate::setting::{Setting, TABLE, Target};

/// How often the positions are read. Eight rows: it costs PostgreSQL nothing that can be measured.
const LOOK: Duration = Duration::from_millis(20);
/// For a drain that has stalled.
const DEADLINE: Duration = Duration::from_secs(300);

/// A way of draining.
pub(crate) struct Scenario {
    /// Its line in the report.
    pub name: &'static str,
    mode: &'static str,
    settings: &'static [(&'static str, i64)],
    /// The rows are there already.
    replay: bool,
    synchronous_commit: bool,
}

const DEFAULT: Scenario =
    Scenario { name: "", mode: "upsert", settings: &[], replay: false, synchronous_commit: true };

impl Scenario {
    /// All of them, the default configuration first.
    pub(crate) const ALL: [Self; 7] = [
        Self { name: "sink, as configured by default", ..DEFAULT },
        Self { name: "sink, insert", mode: "insert", ..DEFAULT },
        Self { name: "sink, one writer", settings: &[("postgres.writers", 1)], ..DEFAULT },
        Self { name: "sink, 500-row batches", settings: &[("batch.max_rows", 500)], ..DEFAULT },
        Self { name: "sink, 100-row batches", settings: &[("batch.max_rows", 100)], ..DEFAULT },
        Self { name: "sink, synchronous_commit = off", synchronous_commit: false, ..DEFAULT },
        Self { name: "sink, replay (insert_ignore)", mode: "insert_ignore", replay: true, ..DEFAULT },
    ];

    fn config(&self, setting: &Setting, target: &Target<'_>) -> SinkConfig {
        let mut config = setting.sink(target).insert_mode(self.mode);
        for (key, value) in self.settings {
            config = config.set(key, *value);
        }
        if !self.synchronous_commit {
            let url = format!("{}?options=-c%20synchronous_commit%3Doff", target.url);
            config = config.set("postgres.url", url);
        }
        config
    }
}

/// Drains the topic into an empty (or, for a replay, a full) table. The rate counts from the first commit to the last:
/// how long the start takes is a figure of its own.
pub(crate) fn measure(setting: &Setting, scenario: &Scenario) -> Result<Measured> {
    let target = setting.target()?;
    if scenario.replay {
        let load = format!("COPY {TABLE} FROM '{}'", setting.rows_file().display());
        target.client()?.batch_execute(&format!("{load}; CHECKPOINT"))?;
    }
    let rows = setting.records as f64;
    let cpu = (setting.postgres().cpu_seconds(), setting.kafka().cpu_seconds());
    let mut client = target.client()?;
    let sink = scenario.config(setting, &target).start(&["run", "--until-end", "--summary", "json"]);
    let (mut first, mut last, mut peak) = (None, None, 0);
    let begin = Instant::now();
    while last.is_none() {
        let stored = stored(&mut client).unwrap_or(0);
        let now = Instant::now();
        if stored > 0 {
            first.get_or_insert((now, stored));
        }
        if stored >= setting.records {
            last = Some(now);
        }
        peak = peak.max(sink.peak_rss_bytes());
        ensure!(begin.elapsed() < DEADLINE, "only {stored} records after {DEADLINE:?}\n{}", sink.log_tail());
        thread::sleep(LOOK);
    }
    let run = sink.wait(DEADLINE).expect_code(0);
    let (first, before) = first.context("no commit was seen")?;
    let took = last.context("the end was not seen")?.duration_since(first).as_secs_f64();
    ensure!(run.count("records") == i64::try_from(setting.records)?, "{}", run.stdout);
    ensure!(
        run.count("dead_letters") == 0 && target.rows()? == setting.records,
        "every record must be a row"
    );
    Ok(Measured {
        rows_per_second: (rows - before as f64) / took,
        client_us: run.cpu_seconds * 1e6 / rows,
        postgres_us: (setting.postgres().cpu_seconds() - cpu.0) * 1e6 / rows,
        kafka_us: (setting.kafka().cpu_seconds() - cpu.1) * 1e6 / rows,
        peak_rss_bytes: peak,
    })
}

/// Records that are committed; an error while the table of positions is not there yet.
fn stored(client: &mut Client) -> Result<u64> {
    let stored: Option<i64> =
        client.query_one("SELECT sum(next_offset)::bigint FROM sink_offsets", &[])?.get(0);
    Ok(u64::try_from(stored.unwrap_or(0))?)
}
