//! The JSON object that `run --summary json` prints, also when the run fails.

use std::time::Duration;

use serde_json::{Value, json};

use crate::source::Totals;
use crate::source::bounds::StoppedBy;

/// `stopped_by` of a run that failed.
const ERROR: &str = "error";

/// The summary of a run that ended. `problems` are those that it had at its end.
pub fn summary(
    totals: &Totals,
    stopped_by: StoppedBy,
    took: Duration,
    exit_code: u8,
    problems: &[Value],
) -> Value {
    let mut positions: Vec<_> = totals.positions.iter().collect();
    positions.sort_unstable();
    let partitions: Vec<Value> = positions
        .into_iter()
        .map(|(p, next)| json!({"topic": &*p.topic, "partition": p.partition.0, "next_offset": next.0}))
        .collect();
    json!({
        "records": totals.records,
        "rows_written": totals.rows_written,
        "rows_deleted": totals.rows_deleted,
        "skipped": totals.skipped,
        "dead_letters": totals.dead_letters,
        "duration_ms": millis(took),
        "stopped_by": stopped_by.as_str(),
        "exit_code": exit_code,
        "problems": problems,
        "partitions": partitions,
    })
}

/// The summary of a run that failed. `began`: it may have written records, and nobody knows how many.
pub fn failure(began: bool, took: Duration, exit_code: u8, problems: &[Value]) -> Value {
    let count = if began { Value::Null } else { json!(0) };
    json!({
        "records": count,
        "rows_written": count,
        "rows_deleted": count,
        "skipped": count,
        "dead_letters": count,
        "duration_ms": millis(took),
        "stopped_by": ERROR,
        "exit_code": exit_code,
        "problems": problems,
        "partitions": [],
    })
}

/// One of the `problems`.
pub fn problem(component: &str, reason: impl std::fmt::Display) -> Value {
    json!({"component": component, "reason": reason.to_string()})
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
