//! One way to make every type of metric, for the list of them.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Result,
};

use super::WeightedHistogram;

/// A type of metric.
pub(super) trait Family: Collector + Clone + Sized {
    /// Its type in the exposition.
    const KIND: &'static str;

    /// Makes it; types that have no labels or no buckets ignore them.
    fn family(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self>;
}

impl Family for IntCounter {
    const KIND: &'static str = "counter";

    fn family(name: &str, help: &str, _: &[&str], _: &[f64]) -> Result<Self> {
        Self::new(name, help)
    }
}

impl Family for IntCounterVec {
    const KIND: &'static str = "counter";

    fn family(name: &str, help: &str, labels: &[&str], _: &[f64]) -> Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for IntGauge {
    const KIND: &'static str = "gauge";

    fn family(name: &str, help: &str, _: &[&str], _: &[f64]) -> Result<Self> {
        Self::new(name, help)
    }
}

impl Family for IntGaugeVec {
    const KIND: &'static str = "gauge";

    fn family(name: &str, help: &str, labels: &[&str], _: &[f64]) -> Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for Gauge {
    const KIND: &'static str = "gauge";

    fn family(name: &str, help: &str, _: &[&str], _: &[f64]) -> Result<Self> {
        Self::new(name, help)
    }
}

impl Family for Histogram {
    const KIND: &'static str = "histogram";

    fn family(name: &str, help: &str, _: &[&str], buckets: &[f64]) -> Result<Self> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
    }
}

impl Family for WeightedHistogram {
    const KIND: &'static str = "histogram";

    fn family(name: &str, help: &str, _: &[&str], buckets: &[f64]) -> Result<Self> {
        Self::new(name, help, buckets)
    }
}
