//! A histogram that takes many equal observations at once.
//!
//! The histogram of the library takes them one by one, which is too expensive at 300,000 records a second. The records of
//! a batch share few timestamps.

use std::sync::Arc;

use parking_lot::Mutex;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use shared::metrics::Family;

/// A histogram without labels; clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct WeightedHistogram {
    desc: Desc,
    bounds: Arc<[f64]>,
    counts: Arc<Mutex<HistogramCounts>>,
}

/// Observations in each bucket, the last of which has no bound, and the sum of their values.
#[derive(Debug)]
struct HistogramCounts {
    buckets: Vec<u64>,
    sum: f64,
}

impl WeightedHistogram {
    /// A histogram with these upper bounds, ascending.
    ///
    /// # Errors
    /// If the name is not valid for a metric.
    pub(crate) fn new(name: &str, help: &str, bounds: &[f64]) -> prometheus::Result<Self> {
        assert!(bounds.is_sorted(), "bounds ascend");
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), Default::default())?;
        let counts = HistogramCounts { buckets: vec![0; bounds.len() + 1], sum: 0.0 };
        Ok(Self { desc, bounds: bounds.into(), counts: Arc::new(Mutex::new(counts)) })
    }

    /// Observes `value` `count` times.
    pub(crate) fn observe(&self, value: f64, count: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let mut counts = self.counts.lock();
        counts.buckets[bucket] += count;
        counts.sum += value * count as f64;
    }

    /// How many observations are in each bucket, the last of which has no bound.
    pub(crate) fn buckets(&self) -> Vec<u64> {
        self.counts.lock().buckets.clone()
    }
}

impl Family for WeightedHistogram {
    const KIND: &'static str = "histogram";

    fn family(name: &str, help: &str, _: &[&str], buckets: &[f64]) -> prometheus::Result<Self> {
        Self::new(name, help, buckets)
    }
}

impl Collector for WeightedHistogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut histogram = Histogram::default();
        {
            let counts = self.counts.lock();
            let mut below = 0;
            let bucket = |(bound, count): (&f64, &u64)| {
                below += count;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(below);
                bucket
            };
            // The encoder adds the bucket +Inf from the total count.
            histogram.set_bucket(self.bounds.iter().zip(&counts.buckets).map(bucket).collect());
            histogram.set_sample_count(counts.buckets.iter().sum());
            histogram.set_sample_sum(counts.sum);
        }
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_like_one_by_one() {
        let bounds = [0.1, 1.0, 10.0];
        let weighted = WeightedHistogram::new("w", "w", &bounds).unwrap();
        let options = prometheus::HistogramOpts::new("w", "w").buckets(bounds.to_vec());
        let single = prometheus::Histogram::with_opts(options).unwrap();
        for (value, count) in [(0.0, 3), (0.1, 2), (0.5, 1), (1.0, 4), (10.0, 5), (10.5, 6), (1e9, 1)] {
            weighted.observe(value, count);
            (0..count).for_each(|_| single.observe(value));
        }
        let encode =
            |families: &[MetricFamily]| prometheus::TextEncoder::new().encode_to_string(families).unwrap();
        assert_eq!(encode(&weighted.collect()), encode(&single.collect()));
    }
}
