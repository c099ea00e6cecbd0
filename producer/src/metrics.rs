//! The producer's metrics. The doc comment of a field is the help text of its metric.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Upper bounds of the buckets of `producer_batch_seconds`.
const BATCH_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Writes a struct of metrics and, from its doc comments, the help text of each.
macro_rules! metrics {
    ($(#[$outer:meta])* pub struct $name:ident { $(#[doc = $help:literal] pub $field:ident: $kind:ty,)+ }) => {
        $(#[$outer])*
        #[derive(Debug)]
        pub struct $name { $(#[doc = $help] pub $field: $kind,)+ }

        /// The help texts of the fields.
        struct Help { $($field: &'static str,)+ }

        const HELP: Help = Help { $($field: $help.trim_ascii(),)+ };
    };
}

metrics! {
    /// Everything that the producer measures about its records.
    pub struct Metrics {
        /// Records by outcome: acknowledged by all in-sync replicas, or failed.
        pub producer_records_total: IntCounterVec,
        /// Seconds from a batch's first record to the delivery report of its last.
        pub producer_batch_seconds: Histogram,
        /// Records handed over and neither acknowledged nor failed yet.
        pub producer_queue_records: IntGauge,
    }
}

/// The metrics with their registry, and the counters that every delivery report moves at hand.
#[derive(Debug)]
pub struct Measured {
    /// The metrics.
    pub metrics: Metrics,
    /// `producer_records_total{outcome="acknowledged"}`.
    pub acknowledged: IntCounter,
    /// `producer_records_total{outcome="failed"}`.
    pub failed: IntCounter,
    registry: Registry,
}

impl Measured {
    /// Registers the metrics, and the process's own, in a registry of their own.
    ///
    /// # Errors
    /// When a metric is declared wrongly, which the test below rules out.
    pub fn new() -> prometheus::Result<Self> {
        let metrics = Metrics {
            producer_records_total: IntCounterVec::new(
                Opts::new("producer_records_total", HELP.producer_records_total),
                &["outcome"],
            )?,
            producer_batch_seconds: Histogram::with_opts(
                HistogramOpts::new("producer_batch_seconds", HELP.producer_batch_seconds)
                    .buckets(BATCH_SECONDS.to_vec()),
            )?,
            producer_queue_records: IntGauge::new("producer_queue_records", HELP.producer_queue_records)?,
        };
        let registry = Registry::new();
        let collectors: [Box<dyn Collector>; 4] = [
            Box::new(metrics.producer_records_total.clone()),
            Box::new(metrics.producer_batch_seconds.clone()),
            Box::new(metrics.producer_queue_records.clone()),
            Box::new(ProcessCollector::for_self()),
        ];
        for collector in collectors {
            registry.register(collector)?;
        }
        // Both outcomes from the start: an alert on a series that is absent never fires.
        let [acknowledged, failed] = ["acknowledged", "failed"]
            .map(|outcome| metrics.producer_records_total.with_label_values(&[outcome]));
        Ok(Self { metrics, acknowledged, failed, registry })
    }

    /// All metrics as they stand.
    pub fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// All metrics in the Prometheus text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.families(), &mut text) {
            tracing::error!(%error, "cannot write the metrics");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_help_are_those_that_dashboards_rely_on() {
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
