//! Records that carry only some of the columns, against records that carry all of them.

use std::fmt::{self, Write as _};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::Client;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tests::{Record, SinkConfig};

use crate::setting::Setting;

/// How often the positions are read.
const LOOK: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(300);
const PARTITIONS: i32 = 2;

/// What records are written to.
pub(crate) struct Case {
    /// Its line in the report.
    pub name: &'static str,
    columns: usize,
    default: &'static str,
    /// The keys are there already.
    exist: bool,
}

impl Case {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [
        Self { name: "upserts of existing keys, 16 columns", columns: 16, default: "", exist: true },
        Self { name: "upserts of existing keys, 40 columns", columns: 40, default: "", exist: true },
        Self { name: "inserts, 16 columns DEFAULT 7", columns: 16, default: "DEFAULT 7", exist: false },
        Self {
            name: "inserts, 16 columns DEFAULT nextval",
            columns: 16,
            default: "DEFAULT nextval('numbers')",
            exist: false,
        },
    ];

    fn ddl(&self, records: u64) -> String {
        let mut ddl =
            "CREATE SEQUENCE numbers CACHE 1000; CREATE TABLE sparse (id int PRIMARY KEY".to_owned();
        for n in 0..self.columns {
            write!(ddl, ", c{n} int {}", self.default).expect("writing to a String cannot fail");
        }
        ddl.push_str("); ");
        if self.exist {
            write!(ddl, "INSERT INTO sparse SELECT generate_series(0, {records} - 1); VACUUM ANALYZE sparse")
                .expect("writing to a String cannot fail");
        }
        ddl
    }

    /// Records of every key once, in a random order, with each column in a `share` of them.
    fn records(&self, records: u64, share: f64) -> impl Iterator<Item = Record> {
        let (columns, mut random) = (self.columns, ChaCha8Rng::seed_from_u64(7));
        // Coprime to any number of records that is not a multiple of it.
        let step = 7_919;
        (0..records).map(move |n| {
            let mut value = format!("{{\"id\":{}", n * step % records);
            for column in 0..columns {
                if random.random_bool(share) {
                    write!(value, ",\"c{column}\":{n}").expect("writing to a String cannot fail");
                }
            }
            value.push('}');
            Record::new(value).partition(i32::try_from(n % 2).unwrap_or_default())
        })
    }
}

/// What a case came to.
#[derive(Serialize)]
pub(crate) struct Compared {
    name: &'static str,
    dense: Drained,
    sparse: Drained,
}

/// One drain.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Drained {
    /// Records that are done with per second.
    pub rows_per_second: f64,
    /// Of the largest backend that wrote, at the end: memory that belongs to it alone.
    pub backend_bytes: u64,
    /// Rows inserted or updated.
    pub rows_written: i64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dense, sparse) = (self.dense, self.sparse);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        write!(
            f,
            "| {} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} |",
            self.name,
            dense.rows_per_second,
            sparse.rows_per_second,
            sparse.rows_per_second / dense.rows_per_second,
            mb(dense.backend_bytes),
            mb(sparse.backend_bytes)
        )
    }
}

/// The head of the table whose lines are [`Compared`].
pub(crate) const HEAD: &str = "\
| each column in half of the records | rows/s dense | rows/s sparse | sparse/dense | backend MB dense | backend MB sparse |
|---|--:|--:|--:|--:|--:|";

/// Drains dense and sparse records of a case.
pub(crate) fn measure(setting: &Setting, case: &Case, records: u64) -> Result<Compared> {
    let dense = drain(setting, case, records, 1.0)?;
    let sparse = drain(setting, case, records, 0.5)?;
    Ok(Compared { name: case.name, dense, sparse })
}

fn drain(setting: &Setting, case: &Case, records: u64, share: f64) -> Result<Drained> {
    let drained = drain_table(setting, "sparse", &case.ddl(records), case.records(records, share), records)?;
    ensure!(drained.rows_written == i64::try_from(records)?, "only {} rows", drained.rows_written);
    Ok(drained)
}

/// Drains `records` into the table of this DDL, whose statements are separated by `; `, with the key `id`.
pub(crate) fn drain_table(
    setting: &Setting,
    table: &str,
    ddl: &str,
    values: impl Iterator<Item = Record>,
    records: u64,
) -> Result<Drained> {
    let topic = setting.kafka().topic(table, PARTITIONS);
    setting.kafka().produce(&topic, values);
    let target = setting.target()?;
    let mut client = target.client()?;
    for statement in ddl.split("; ") {
        client.batch_execute(statement)?;
    }
    client.batch_execute("CHECKPOINT")?;
    let sink = SinkConfig::new(setting.kafka().bootstrap(), &target.url)
        .topic(&topic)
        .table(table)
        .pk_fields(&["id"])
        .start(&["run", "--idle-timeout", "2s", "--summary", "json"]);
    let (begin, mut first, mut backend_bytes) = (Instant::now(), None, 0);
    let (took, before) = loop {
        let stored = stored(&mut client).unwrap_or(0);
        if stored > 0 {
            backend_bytes = backends(&mut client)?.max(backend_bytes);
            first.get_or_insert((Instant::now(), stored));
        }
        if let Some((first, before)) = first.filter(|_| stored >= records) {
            break (first.elapsed().as_secs_f64(), before);
        }
        ensure!(begin.elapsed() < DEADLINE, "only {stored} records after {DEADLINE:?}\n{}", sink.log_tail());
        thread::sleep(LOOK);
    };
    let run = sink.wait(DEADLINE).expect_code(0);
    Ok(Drained {
        rows_per_second: (records - before) as f64 / took,
        backend_bytes,
        rows_written: run.count("rows_written"),
    })
}

fn stored(client: &mut Client) -> Result<u64> {
    let stored: Option<i64> =
        client.query_one("SELECT sum(next_offset)::bigint FROM sink_offsets", &[])?.get(0);
    Ok(u64::try_from(stored.unwrap_or(0))?)
}

/// The private memory of the largest backend of a sink.
fn backends(client: &mut Client) -> Result<u64> {
    let pids = client.query(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'kafka-sink%'",
        &[],
    )?;
    let private = |pid: i32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    pids.iter().filter_map(|row| private(row.get(0))).max().context("the sink has no session")
}
