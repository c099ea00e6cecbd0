//! The sums of the counters, for /status, the log and the progress bar.

use prometheus::IntCounterVec;
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;

use super::Metrics;
use crate::observe::throughput::Counters;

impl Metrics {
    /// What has been counted since the start.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            records: sum(&self.records_consumed),
            rows_written: sum(&self.rows_written),
            rows_deleted: sum(&self.rows_deleted),
            skipped: sum(&self.records_skipped),
            dead_letters: sum(&self.dead_letters),
            latencies: self.record_latency_seconds.buckets(),
        }
    }
}

/// The sum over all labels.
fn sum(counter: &IntCounterVec) -> u64 {
    let families = counter.collect();
    let counts = families.iter().flat_map(MetricFamily::get_metric);
    // The library has no other way to the children of a counter. Their values are whole.
    counts.map(|count| count.get_counter().get_value() as u64).sum()
}
