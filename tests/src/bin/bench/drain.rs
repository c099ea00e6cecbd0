//! The sink drains the whole topic.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::Client;
use tests::SinkConfig;

use crate::load::{Measured, Meter};
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
    exist: bool,
    synchronous_commit: bool,
}

const DEFAULT: Scenario =
    Scenario { name: "", mode: "upsert", settings: &[], exist: false, synchronous_commit: true };

/// Batches of 500 rows.
pub(crate) const SINK_SMALL: &str = "sink, 500-row batches";
/// Upserts of keys that exist.
pub(crate) const SINK_UPSERT: &str = "sink, upserts of existing keys";
/// What the server does alone for the same.
pub(crate) const SERVER_UPSERT: &str = "INSERT … SELECT … ON CONFLICT DO UPDATE from a loaded stage";

/// The server alone updates all rows from a table that holds them already.
pub(crate) fn server_upsert(setting: &Setting) -> Result<Measured> {
    let target = setting.target()?;
    let (file, rows) = (setting.rows_file(), setting.records as f64);
    let mut client = target.client()?;
    client.batch_execute(&format!(
        "CREATE UNLOGGED TABLE stage (LIKE {TABLE}); COPY stage FROM '{0}'; COPY {TABLE} FROM '{0}'; \
         ANALYZE stage; CHECKPOINT",
        file.display()
    ))?;
    let columns: Vec<String> = client
        .query(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = 'stage'::regclass AND attnum > 0",
            &[],
        )?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let set: Vec<String> =
        columns.iter().filter(|c| *c != "match_id").map(|c| format!("{c} = excluded.{c}")).collect();
    let meter = Meter::start(setting)?;
    let started = Instant::now();
    let updated = client.execute(
        &format!(
            "INSERT INTO {TABLE} SELECT * FROM stage ON CONFLICT (match_id) DO UPDATE SET {}",
            set.join(", ")
        ),
        &[],
    )?;
    let took = started.elapsed().as_secs_f64();
    ensure!(updated == setting.records, "every row must be updated");
    Ok(Measured { rows_per_second: rows / took, ..meter.per_row(setting, rows)? })
}

impl Scenario {
    /// The default configuration.
    pub(crate) const DEFAULT: Self = Self { name: "sink, as configured by default", ..DEFAULT };
    /// For a table without a key.
    pub(crate) const UNKEYED: Self =
        Self { name: "sink, as configured by default, no key", mode: "insert", ..DEFAULT };

    /// All of them, the default configuration first.
    pub(crate) const ALL: [Self; 11] = [
        Self::DEFAULT,
        Self { name: "sink, insert", mode: "insert", ..DEFAULT },
        Self { name: "sink, one writer", settings: &[("postgres.writers", 1)], ..DEFAULT },
        Self { name: "sink, four writers", settings: &[("postgres.writers", 4)], ..DEFAULT },
        Self {
            name: "sink, 20,000-row batches",
            settings: &[("batch.max_rows", 20_000), ("batch.max_bytes", 16 << 20)],
            ..DEFAULT
        },
        Self { name: "sink, 5,000-row batches", settings: &[("batch.max_rows", 5_000)], ..DEFAULT },
        Self { name: SINK_SMALL, settings: &[("batch.max_rows", 500)], ..DEFAULT },
        Self { name: "sink, 100-row batches", settings: &[("batch.max_rows", 100)], ..DEFAULT },
        Self { name: "sink, synchronous_commit = off", synchronous_commit: false, ..DEFAULT },
        Self { name: "sink, replay (insert_ignore)", mode: "insert_ignore", exist: true, ..DEFAULT },
        Self { name: SINK_UPSERT, exist: true, ..DEFAULT },
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
    measure_with(setting, scenario, None)
}

/// The same, by another binary of the sink.
pub(crate) fn measure_with(
    setting: &Setting,
    scenario: &Scenario,
    program: Option<&Path>,
) -> Result<Measured> {
    let target = setting.target()?;
    if scenario.exist {
        let load = format!("COPY {TABLE} FROM '{}'", setting.rows_file().display());
        target.client()?.batch_execute(&format!("{load}; CHECKPOINT"))?;
    }
    let rows = setting.records as f64;
    let mut client = target.client()?;
    let meter = Meter::start(setting)?;
    let config = scenario.config(setting, &target);
    let config = program.iter().fold(config, |config, path| config.program(path));
    let sink = config.start(&["run", "--until-end", "--summary", "json"]);
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
        peak_rss_bytes: peak,
        ..meter.per_row(setting, rows)?
    })
}

/// Records that are committed; an error while the table of positions is not there yet.
fn stored(client: &mut Client) -> Result<u64> {
    let stored: Option<i64> =
        client.query_one("SELECT sum(next_offset)::bigint FROM sink_offsets", &[])?.get(0);
    Ok(u64::try_from(stored.unwrap_or(0))?)
}
