//! L1: `psql \copy` of the rows into the table with its primary key, the fastest that a careful person would do by hand.

use std::fmt;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::setting::{Setting, TABLE};

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// Rows in the table per second.
    pub rows_per_second: f64,
    /// CPU time of the client (psql or the sink), in µs per row.
    pub client_us: f64,
    /// CPU time of PostgreSQL, in µs per row.
    pub postgres_us: f64,
    /// CPU time of the broker, in µs per row.
    pub kafka_us: f64,
    /// The client's peak resident memory, in bytes; 0 where it was not measured.
    pub peak_rss_bytes: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8.0} rows/s, µs of CPU per row: client {:.2}, PostgreSQL {:.2}, Kafka {:.2}; {:.0} MB",
            self.rows_per_second,
            self.client_us,
            self.postgres_us,
            self.kafka_us,
            self.peak_rss_bytes as f64 / 1e6
        )
    }
}

/// Loads the file into an empty table.
pub(crate) fn psql_copy(setting: &Setting) -> Result<Measured> {
    let target = setting.target()?;
    let rows = setting.records as f64;
    let (cpu, children) = (setting.postgres().cpu_seconds(), tests::signals::children_cpu_seconds());
    let started = Instant::now();
    let output = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &target.url, "-c"])
        .arg(format!("\\copy {TABLE} from '{}'", setting.rows_file().display()))
        .output()
        .context("cannot run psql")?;
    let took = started.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(target.rows()? == setting.records, "\\copy must load every row");
    Ok(Measured {
        rows_per_second: rows / took,
        client_us: (tests::signals::children_cpu_seconds() - children) * 1e6 / rows,
        postgres_us: (setting.postgres().cpu_seconds() - cpu) * 1e6 / rows,
        kafka_us: 0.0,
        peak_rss_bytes: 0,
    })
}
