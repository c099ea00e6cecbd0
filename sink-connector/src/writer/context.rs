//! What all writers share, and what they count.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shared::signal::Shutdown;

use crate::batch::Batch;
use crate::messages::report::BatchCounts;
use crate::messages::wakeup::WakeUp;
use crate::observe::health::{Component, Health};
use crate::observe::metrics::Metrics;
use crate::observe::rejections::Rejections;
use crate::positions::stored::Offsets;
use crate::postgres::session::Connections;
use crate::rejects::dead_letters::DeadLetters;
use crate::rejects::policy::Policy;
use crate::table::plan_cache::Plans;

/// What all writers share.
#[derive(Clone)]
pub(crate) struct WriterContext {
    /// Connections to PostgreSQL.
    pub connections: Connections,
    /// `postgres.deadline_ms`: the longest that a transaction may take.
    pub deadline: Duration,
    /// The positions.
    pub offsets: Offsets,
    pub dead_letters: DeadLetters,
    /// What rejected records do.
    pub policy: Arc<Policy>,
    /// The plans in force.
    pub plans: Arc<Plans>,
    /// Problems, by component.
    pub health: Arc<Health>,
    /// Counters move after a commit.
    pub metrics: Arc<Metrics>,
    /// What was rejected, for the log and /status.
    pub rejections: Arc<Rejections>,
    /// Ends waits.
    pub wakeup: Arc<WakeUp>,
    /// The request to stop.
    pub shutdown: Shutdown,
}

impl WriterContext {
    /// The same, with another pool: for the successor of a writer that hangs.
    pub(crate) fn with_connections(&self, connections: Connections) -> Self {
        Self { connections, ..self.clone() }
    }

    /// A writer has committed a batch, which took so long.
    pub(super) fn committed(&self, writer: usize, batch: &Batch, counts: &BatchCounts, took: Duration) {
        self.health.recovered(&Component::Writer(writer));
        self.policy.committed(writer);
        self.dead_letters.committed(batch);
        let metrics = &self.metrics;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics.batches.with_label_values(&["committed"]).inc();
        for (table, rows) in &counts.written {
            metrics.rows_written.with_label_values(&[table]).inc_by(*rows);
        }
        for (table, rows) in &counts.deleted {
            metrics.rows_deleted.with_label_values(&[table]).inc_by(*rows);
        }
        for (partition, reason, records) in &counts.skipped {
            metrics.records_skipped.with_label_values(&[&*partition.topic, reason.as_str()]).inc_by(*records);
        }
        for (partition, reason) in &counts.dead_letters {
            metrics.dead_letters.with_label_values(&[&*partition.topic, reason]).inc();
        }
        let reasons = counts.dead_letters.iter().map(|(_, reason)| *reason);
        self.rejections.add(reasons, &counts.rejections, Instant::now());
        for span in batch.spans() {
            let (topic, partition) = (&*span.partition.topic, span.partition.partition.to_string());
            metrics.records_consumed.with_label_values(&[topic, &partition]).inc_by(span.records);
            metrics.bytes_consumed.with_label_values(&[topic]).inc_by(span.bytes);
        }
        if batch.records().count() > 0 {
            metrics.batch_rows.observe(batch.records().count() as f64);
            metrics.batch_write_seconds.observe(took.as_secs_f64());
            let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
            metrics.observe_latencies(now_ms, batch.records().iter().filter_map(|record| record.timestamp));
        }
        metrics.last_commit_timestamp_seconds.set(now.as_secs_f64());
    }
}
