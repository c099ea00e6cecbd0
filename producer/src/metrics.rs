//! The producer's metrics. The doc comment of a field is the help text of its metric.

use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

const BATCH_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

shared::metrics! {
    /// What the producer measures about its records.
    pub struct Metrics {
        /// Records by outcome: acknowledged by all in-sync replicas, or failed.
        records: IntCounterVec = "producer_records_total", ["outcome"];
        /// Seconds from a batch's first record to the delivery report of its last.
        batch_seconds: Histogram = "producer_batch_seconds", [], BATCH_SECONDS;
        /// Records handed over and neither acknowledged nor failed yet.
        queue_records: IntGauge = "producer_queue_records", [];
        /// Log lines that could not be written.
        log_lines_lost: IntCounter = "producer_log_lines_lost_total", [];
    }
}

/// The metrics, with the two counters that every delivery report moves.
#[derive(Debug)]
pub struct Measured {
    /// All metrics.
    pub metrics: Metrics,
    /// `producer_records_total{outcome="acknowledged"}`.
    pub acknowledged: IntCounter,
    /// `producer_records_total{outcome="failed"}`.
    pub failed: IntCounter,
}

impl Measured {
    /// The metrics with those of the process, in a registry of their own.
    ///
    /// # Errors
    /// A metric is not declared correctly, which a test rules out.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let metrics = Metrics::register(registry)?;
        // Both outcomes from the start: an alert on a missing series never fires.
        let [acknowledged, failed] =
            ["acknowledged", "failed"].map(|outcome| metrics.records.with_label_values(&[outcome]));
        Ok(Self { metrics, acknowledged, failed })
    }

    /// The current values.
    pub fn families(&self) -> Vec<MetricFamily> {
        self.metrics.registry.gather()
    }

    /// The current values in the Prometheus text format.
    pub fn text(&self) -> String {
        let lost = &self.metrics.log_lines_lost;
        lost.inc_by(shared::log::lost_lines().saturating_sub(lost.get()));
        self.metrics.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_help_are_those_that_dashboards_rely_on() {
        let declared: Vec<_> = Metrics::ALL.iter().map(|m| (m.name, m.kind, m.labels)).collect();
        let contract: [(&str, &str, &[&str]); 4] = [
            ("producer_records_total", "counter", &["outcome"]),
            ("producer_batch_seconds", "histogram", &[]),
            ("producer_queue_records", "gauge", &[]),
            ("producer_log_lines_lost_total", "counter", &[]),
        ];
        assert_eq!(declared, contract);
        let measured = Measured::new().unwrap();
        measured.acknowledged.inc_by(3);
        let text = measured.text();
        for line in [
            "# HELP producer_records_total Records by outcome: acknowledged by all in-sync replicas, or failed.",
            "# TYPE producer_records_total counter",
            "producer_records_total{outcome=\"acknowledged\"} 3",
            "producer_records_total{outcome=\"failed\"} 0",
            "# TYPE producer_batch_seconds histogram",
            "producer_queue_records 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
