//! Every metric of the sink; the doc comments are the help texts.
//!
//! A counter moves once its outcome is certain: rows that were rolled back never count. Keys and offsets are never
//! labels.

mod counters;
mod weighted;

use std::collections::HashMap;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

pub(crate) use weighted::WeightedHistogram;

/// The revision that the binary was built from, if the build set it.
pub(crate) const REVISION: &str = match option_env!("SINK_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// 1, 2, 5, 10 … 100,000 rows.
const ROWS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5];
/// 1 ms to a minute: from a fast batch to one at its deadline.
const WRITE_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// 5 ms to an hour: from the steady state to a backlog. Finest around the goals for p99, 25 to 100 ms.
pub(crate) const LATENCY_SECONDS: &[f64] = &[
    0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    900.0, 3600.0,
];

shared::metrics! {
    /// The metrics of one sink, all with the constant label `connector`.
    pub struct Metrics {
        /// Records read from Kafka whose outcome is committed: written, deleted, skipped or dead letter.
        records_consumed: IntCounterVec = "sink_records_consumed_total", ["topic", "partition"];
        /// Bytes of keys and values of those records.
        bytes_consumed: IntCounterVec = "sink_bytes_consumed_total", ["topic"];
        /// Records that were committed as inserted or updated rows.
        rows_written: IntCounterVec = "sink_rows_written_total", ["table"];
        /// Records that were committed as deletions of a row.
        rows_deleted: IntCounterVec = "sink_rows_deleted_total", ["table"];
        /// Records skipped by a declared policy, by reason: superseded, exists, trigger, tombstone, absent, stale.
        records_skipped: IntCounterVec = "sink_records_skipped_total", ["topic", "reason"];
        /// Rejected records that were committed as dead letters, by reason.
        dead_letters: IntCounterVec = "sink_dead_letters_total", ["topic", "reason"];
        /// Batches by outcome: committed; fenced; failed (rolled back and tried again); conflict or refused (rolled back and tried again in a way that handles existing keys or refused rows); breaker (rolled back, tried again every `errors.breaker_retry_ms`); parked (rolled back, tried again separately, because its table cannot be written).
        batches: IntCounterVec = "sink_batches_total", ["outcome"];
        /// Records in a committed batch.
        batch_rows: Histogram = "sink_batch_rows", [], ROWS;
        /// Seconds from a batch's BEGIN to the answer to its COMMIT.
        batch_write_seconds: Histogram = "sink_batch_write_seconds", [], WRITE_SECONDS;
        /// Seconds from a record's timestamp to the commit of its batch.
        record_latency_seconds: WeightedHistogram = "sink_record_latency_seconds", [], LATENCY_SECONDS;
        /// Records between the stored position and the end of the partition.
        lag_records: IntGaugeVec = "sink_lag_records", ["topic", "partition"];
        /// The stored position: the offset of the next record to be read.
        position: IntGaugeVec = "sink_position", ["topic", "partition"];
        /// Failed attempts that are tried again, by class: transient or configuration.
        retries: IntCounterVec = "sink_retries_total", ["class"];
        /// Batches that were refused because another sink had moved their positions. Harmless: this is how duplicates are prevented.
        fenced: IntCounter = "sink_fenced_total", [];
        /// Changes of the group's assignment, by kind: assign, revoke or lost.
        rebalances: IntCounterVec = "sink_rebalances_total", ["kind"];
        /// Commits of positions to Kafka, by outcome: ok or failed. They inform lag tools; the sink itself starts from PostgreSQL.
        kafka_commits: IntCounterVec = "sink_kafka_commits_total", ["outcome"];
        /// Partitions that are assigned to this sink.
        partitions_assigned: IntGauge = "sink_partitions_assigned", [];
        /// Partitions that are paused, by cause: position (it is being read), writer (it waits), breaker (it is open) or table (it cannot be written, while others can).
        partitions_paused: IntGaugeVec = "sink_partitions_paused", ["cause"];
        /// Connections of the pool, by state: busy or idle.
        postgres_connections: IntGaugeVec = "sink_postgres_connections", ["state"];
        /// 1 while a partition has stopped, by reason. Absent otherwise.
        partition_stopped: IntGaugeVec = "sink_partition_stopped", ["topic", "partition", "reason"];
        /// 1 while the breaker of a topic is open, else 0.
        breaker_open: IntGaugeVec = "sink_breaker_open", ["topic"];
        /// Partitions that have stopped, by reason. Those with reason table_recreated go on when the former table is back, all others after `offsets reset`.
        partitions_stopped: IntGaugeVec = "sink_partitions_stopped", ["reason"];
        /// 1 while `/readyz` answers 200, else 0.
        ready: IntGauge = "sink_ready", [];
        /// Unix time of the last commit, in seconds; 0 before the first.
        last_commit_timestamp_seconds: Gauge = "sink_last_commit_timestamp_seconds", [];
        /// Log lines that could not be written.
        log_lines_lost: IntCounter = "sink_log_lines_lost_total", [];
        /// Always 1; the labels say what is running.
        build_info: IntGaugeVec = "sink_build_info", ["version", "revision"];
    }
}

impl Metrics {
    /// The metrics of the connector named `connector`, with those of the process, in a registry of their own.
    #[must_use]
    pub(crate) fn new(connector: &str) -> Self {
        let labels = HashMap::from([("connector".to_owned(), connector.to_owned())]);
        let metrics = Registry::new_custom(None, Some(labels))
            .and_then(|registry| {
                registry.register(Box::new(ProcessCollector::for_self()))?;
                Self::register(registry)
            })
            .expect("names and labels are literals, valid and different from each other, as a test shows");
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION]).set(1);
        // The increase from nothing to 1 is invisible, so series whose labels are known start at 0.
        for (counter, values) in [
            (
                &metrics.batches,
                ["committed", "fenced", "failed", "conflict", "refused", "breaker", "parked"].as_slice(),
            ),
            (&metrics.retries, &["transient", "configuration"]),
            (&metrics.rebalances, &["assign", "revoke", "lost"]),
            (&metrics.kafka_commits, &["ok", "failed"]),
        ] {
            for value in values {
                let _created = counter.with_label_values(&[value]);
            }
        }
        metrics
    }

    /// The current values in the Prometheus text format.
    pub(crate) fn text(&self) -> String {
        self.log_lines_lost.inc_by(shared::log::lost_lines().saturating_sub(self.log_lines_lost.get()));
        self.render()
    }

    /// Observes the latency of the records of a committed batch: from their timestamps to `committed`, both Unix time in
    /// milliseconds. Records without a timestamp (negative) do not count, and a timestamp in the future counts as no latency.
    ///
    /// The cost is for each run of equal timestamps, not for each record.
    pub(crate) fn observe_latencies(&self, committed: i64, timestamps: impl IntoIterator<Item = i64>) {
        let mut timestamps = timestamps.into_iter().filter(|timestamp| *timestamp >= 0);
        let Some(mut timestamp) = timestamps.next() else { return };
        let mut count = 1;
        let observe = |timestamp: i64, count| {
            let milliseconds = committed.saturating_sub(timestamp).max(0);
            self.record_latency_seconds.observe(milliseconds as f64 / 1000.0, count);
        };
        for next in timestamps {
            if next == timestamp {
                count += 1;
            } else {
                observe(timestamp, count);
                (timestamp, count) = (next, 1);
            }
        }
        observe(timestamp, count);
    }
}

#[cfg(test)]
mod tests;
