//! Counts the rows of a peer that keeps its positions elsewhere, from outside, and cheaply: a count of all rows costs the
//! server's time, which belongs to the peer.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::process::Process;

use super::DEADLINE;
use crate::load::{Measured, Meter};
use crate::setting::{Setting, Target};

const LOOK: Duration = Duration::from_millis(20);
/// The rows are counted when the table has not grown for so long.
const STILL: Duration = Duration::from_millis(500);

/// Waits until every record is a row. Rate and CPU times count from the first rows that are seen until the table has grown for the
/// last time, which is a little before the last commit. `check` ends the wait with an error.
pub(super) fn until_written(
    setting: &Setting,
    target: &Target<'_>,
    process: &Process,
    check: impl Fn() -> Result<()>,
) -> Result<Measured> {
    let begin = Instant::now();
    let mut client = target.client()?;
    let look = || -> Result<()> {
        thread::sleep(LOOK);
        check()?;
        ensure!(begin.elapsed() < DEADLINE, "only {} rows after {DEADLINE:?}", target.rows()?);
        Ok(())
    };
    let before = loop {
        look()?;
        let rows = target.rows_seen_by(&mut client)?;
        if rows > 0 {
            break rows;
        }
    };
    let (first, first_cpu, meter) = (Instant::now(), process.cpu_seconds(), Meter::start(setting)?);
    let rows = (setting.records - before) as f64;
    let (mut size, mut grew, mut cpu) = (0, first, first_cpu);
    let mut counted = first;
    let used = loop {
        look()?;
        let now: i64 = client.query_one("SELECT pg_table_size($1::text::regclass)", &[&target.table])?.get(0);
        if now > size {
            (size, grew, cpu) = (now, Instant::now(), process.cpu_seconds());
        } else if grew.elapsed() > STILL && counted.elapsed() > STILL {
            // Before the rows are counted, which is not the peer's work.
            let used = meter.per_row(setting, rows)?;
            if target.rows_seen_by(&mut client)? == setting.records {
                break used;
            }
            counted = Instant::now();
        }
    };
    Ok(Measured {
        rows_per_second: rows / grew.duration_since(first).as_secs_f64(),
        client_us: (cpu - first_cpu) * 1e6 / rows,
        peak_rss_bytes: process.peak_rss_bytes(),
        ..used
    })
}
