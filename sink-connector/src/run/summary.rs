//! The JSON object that `run --summary json` prints.

use std::time::Duration;

use serde_json::{Value, json};

use crate::source::Totals;
use crate::source::bounds::StoppedBy;

/// The summary of a run.
pub fn summary(totals: &Totals, stopped_by: StoppedBy, took: Duration) -> Value {
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
        "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "stopped_by": stopped_by.as_str(),
        "partitions": partitions,
    })
}
