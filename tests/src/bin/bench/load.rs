//! What a careful person would do by hand: `psql \copy` of the rows into the table with its primary key.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::setting::{Setting, Target};

/// One stream in text, which all ratios refer to.
pub(crate) const L1: &str = "L1: psql \\copy";
/// Two streams.
pub(crate) const L2: &str = "L2: two parallel psql \\copy, binary halves";

/// One stream in small transactions: what one session gets from the server for batches of [`SMALL`] rows.
pub(crate) const SMALL_TRANSACTIONS: &str = "psql COPY, 500 rows a transaction";
/// Rows of a small transaction.
const SMALL: usize = 500;

/// One measurement.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Measured {
    /// Rows in the table per second.
    pub rows_per_second: f64,
    /// CPU time of the client (psql or the sink), in µs per row.
    pub client_us: f64,
    /// CPU time of PostgreSQL, in µs per row.
    pub postgres_us: f64,
    /// CPU time of the broker, in µs per row.
    pub kafka_us: f64,
    /// Bytes of write-ahead log per row.
    pub wal_bytes: f64,
    /// The client's peak resident memory, in bytes; 0 where it was not measured.
    pub peak_rss_bytes: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8.0} rows/s, µs of CPU per row: client {:.2}, PostgreSQL {:.2}, Kafka {:.2}; WAL {:.0} B/row; {:.0} MB",
            self.rows_per_second,
            self.client_us,
            self.postgres_us,
            self.kafka_us,
            self.wal_bytes,
            self.peak_rss_bytes as f64 / 1e6
        )
    }
}

/// What the servers have used so far.
pub(crate) struct Meter {
    postgres: f64,
    kafka: f64,
    wal: i64,
}

impl Meter {
    /// Begins to measure.
    pub(crate) fn start(setting: &Setting) -> Result<Self> {
        Ok(Self {
            postgres: setting.postgres().cpu_seconds(),
            kafka: setting.kafka().cpu_seconds(),
            wal: written_wal(setting)?,
        })
    }

    /// What they have used since, for each of `rows`.
    pub(crate) fn per_row(&self, setting: &Setting, rows: f64) -> Result<Measured> {
        let us = |now: f64, before: f64| (now - before) * 1e6 / rows;
        Ok(Measured {
            postgres_us: us(setting.postgres().cpu_seconds(), self.postgres),
            kafka_us: us(setting.kafka().cpu_seconds(), self.kafka),
            wal_bytes: (written_wal(setting)? - self.wal) as f64 / rows,
            ..Measured::default()
        })
    }
}

fn written_wal(setting: &Setting) -> Result<i64> {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    Ok(setting.postgres().client().query_one(sql, &[])?.get(0))
}

/// Loads all rows in one stream.
pub(crate) fn one_stream(setting: &Setting) -> Result<Measured> {
    load(setting, &[copy(setting, &setting.rows_file(), "text")])
}

/// Loads all rows in two streams at once.
pub(crate) fn two_streams(setting: &Setting) -> Result<Measured> {
    load(setting, &setting.half_files().map(|file| copy(setting, &file, "binary")))
}

/// Loads all rows in one stream, in transactions of [`SMALL`] rows.
pub(crate) fn small_transactions(setting: &Setting) -> Result<Measured> {
    let rows = fs::read_to_string(setting.rows_file()).context("the rows as text")?;
    let lines: Vec<&str> = rows.lines().collect();
    let mut script = String::with_capacity(rows.len() * 11 / 10);
    for batch in lines.chunks(SMALL) {
        write!(script, "BEGIN;\nCOPY {} FROM STDIN;\n{}\n\\.\nCOMMIT;\n", setting.table, batch.join("\n"))?;
    }
    let path = setting.rows_file().with_extension("sql");
    fs::write(&path, script).context("cannot write the script")?;
    let measured = load(setting, &[vec!["-f".into(), path.clone().into()]]);
    fs::remove_file(&path).context("cannot remove the script")?;
    measured
}

/// What psql is asked to load a file.
fn copy(setting: &Setting, file: &Path, format: &str) -> Vec<OsString> {
    let copy = format!("\\copy {} from '{}' with (format {format})", setting.table, file.display());
    vec!["-c".into(), copy.into()]
}

/// Loads all rows by sessions of psql with these arguments, at once.
fn load(setting: &Setting, sessions: &[Vec<OsString>]) -> Result<Measured> {
    let target = setting.target()?;
    let rows = setting.records as f64;
    let (meter, children) = (Meter::start(setting)?, tests::signals::children_cpu_seconds());
    let started = Instant::now();
    let streams: Vec<Child> =
        sessions.iter().map(|arguments| psql(&target, arguments)).collect::<Result<_>>()?;
    for stream in streams {
        let output = stream.wait_with_output().context("cannot wait for psql")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let took = started.elapsed().as_secs_f64();
    ensure!(target.rows()? == setting.records, "\\copy must load every row");
    Ok(Measured {
        rows_per_second: rows / took,
        client_us: (tests::signals::children_cpu_seconds() - children) * 1e6 / rows,
        ..meter.per_row(setting, rows)?
    })
}

fn psql(target: &Target<'_>, arguments: &[OsString]) -> Result<Child> {
    Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &target.url])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run psql")
}
