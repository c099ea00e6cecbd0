//! Throughput: what each second of the last two minutes has written, for /status, the log and the progress bar.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

/// How many seconds are kept.
const SECONDS: usize = 120;
/// The seconds that make the present rate.
const RATE: usize = 5;
/// The seconds that make the present latency.
const LATENCY: usize = 10;
/// The shortest time between two samples.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// What has been counted since the start. Only committed records count.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    pub records: u64,
    pub rows_written: u64,
    pub rows_deleted: u64,
    pub skipped: u64,
    pub dead_letters: u64,
    /// The latencies of records: how many are in each bucket of the metric, the last of which has no bound.
    pub latencies: Vec<u64>,
}

impl Counters {
    pub(crate) fn rows(&self) -> u64 {
        self.rows_written + self.rows_deleted
    }
}

/// One second.
#[derive(Clone, Debug)]
struct Second {
    records_per_second: f64,
    rows_per_second: f64,
    lag: Option<i64>,
    latencies: Vec<u64>,
}

#[derive(Debug, Default)]
struct Seconds {
    last: Option<(Instant, Counters)>,
    seconds: VecDeque<Second>,
}

/// The last two minutes.
#[derive(Debug)]
pub(crate) struct Throughput {
    /// The upper bounds of the latency's buckets, in seconds.
    bounds: Box<[f64]>,
    state: Mutex<Seconds>,
}

/// How fast it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    pub records_per_second: f64,
    pub rows_per_second: f64,
}

/// `throughput` in /status.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ThroughputStatus {
    /// Records committed per second: the mean of the last five seconds.
    pub records_per_second: f64,
    /// Rows written and deleted per second, likewise.
    pub rows_per_second: f64,
    /// From the timestamp of a record to its commit: the last ten seconds.
    pub latency_seconds: LatencyStatus,
    /// The last two minutes: a value for each interval, the oldest first.
    pub history: HistoryStatus,
}

/// Latencies in seconds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LatencyStatus {
    /// Half of the records take no longer. Null: no record was committed.
    pub p50: Option<f64>,
    /// 99 % of the records take no longer.
    pub p99: Option<f64>,
}

/// What each interval has written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryStatus {
    /// How long an interval is.
    pub interval_seconds: u64,
    /// Records committed per second.
    pub records_per_second: Vec<f64>,
    /// Rows written and deleted per second.
    pub rows_per_second: Vec<f64>,
    /// The lag at the end of the interval.
    pub lag: Vec<Option<i64>>,
    /// 99 % of the records of the interval took no longer.
    pub latency_p99_seconds: Vec<Option<f64>>,
}

impl Throughput {
    pub(crate) fn new(bounds: &[f64]) -> Self {
        Self { bounds: bounds.into(), state: Mutex::default() }
    }

    /// Takes a sample, about once a second.
    pub(crate) fn sample(&self, counters: Counters, lag: Option<i64>, now: Instant) {
        let mut state = self.state.lock();
        if let Some((at, before)) = &state.last {
            let seconds = now.duration_since(*at).as_secs_f64().max(f64::MIN_POSITIVE);
            let latencies = counters
                .latencies
                .iter()
                .zip(&before.latencies)
                .map(|(after, before)| after.saturating_sub(*before));
            let second = Second {
                records_per_second: counters.records.saturating_sub(before.records) as f64 / seconds,
                rows_per_second: counters.rows().saturating_sub(before.rows()) as f64 / seconds,
                lag,
                latencies: latencies.collect(),
            };
            if state.seconds.len() == SECONDS {
                state.seconds.pop_front();
            }
            state.seconds.push_back(second);
        }
        state.last = Some((now, counters));
    }

    /// The mean of the last seconds.
    pub(crate) fn rate(&self) -> Rate {
        let state = self.state.lock();
        let latest = || state.seconds.iter().rev().take(RATE);
        let mean = |sum: f64| if state.seconds.is_empty() { 0.0 } else { sum / latest().count() as f64 };
        Rate {
            records_per_second: mean(latest().map(|second| second.records_per_second).sum()),
            rows_per_second: mean(latest().map(|second| second.rows_per_second).sum()),
        }
    }

    /// `throughput` in /status.
    pub(crate) fn status(&self) -> ThroughputStatus {
        let rate = self.rate();
        let state = self.state.lock();
        let latest = state.seconds.iter().rev().take(LATENCY);
        let latencies = latest.fold(vec![0; self.bounds.len() + 1], |mut sum, second| {
            sum.iter_mut().zip(&second.latencies).for_each(|(sum, count)| *sum += count);
            sum
        });
        let seconds = || state.seconds.iter();
        ThroughputStatus {
            records_per_second: rounded(rate.records_per_second),
            rows_per_second: rounded(rate.rows_per_second),
            latency_seconds: LatencyStatus {
                p50: self.quantile(&latencies, 0.5),
                p99: self.quantile(&latencies, 0.99),
            },
            history: HistoryStatus {
                interval_seconds: INTERVAL.as_secs(),
                records_per_second: seconds().map(|second| rounded(second.records_per_second)).collect(),
                rows_per_second: seconds().map(|second| rounded(second.rows_per_second)).collect(),
                lag: seconds().map(|second| second.lag).collect(),
                latency_p99_seconds: seconds().map(|second| self.quantile(&second.latencies, 0.99)).collect(),
            },
        }
    }

    /// A quantile of the latencies in seconds, as Prometheus estimates it: evenly spread within the bucket that holds it.
    fn quantile(&self, buckets: &[u64], quantile: f64) -> Option<f64> {
        let total: u64 = buckets.iter().sum();
        if total == 0 {
            return None;
        }
        let wanted = quantile * total as f64;
        let (mut below, mut low) = (0.0, 0.0);
        for (bound, count) in self.bounds.iter().zip(buckets) {
            let count = *count as f64;
            if count > 0.0 && below + count >= wanted {
                let seconds = low + (bound - low) * (wanted - below) / count;
                return Some((seconds * 10_000.0).round() / 10_000.0);
            }
            (below, low) = (below + count, *bound);
        }
        self.bounds.last().copied()
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(records: u64, latencies: [u64; 3]) -> Counters {
        Counters { records, rows_written: records, latencies: latencies.to_vec(), ..Counters::default() }
    }

    #[test]
    fn rates_are_means_of_the_last_seconds_and_the_history_is_bounded() {
        let (throughput, start) = (Throughput::new(&[0.1, 1.0]), Instant::now());
        assert_eq!(throughput.rate(), Rate::default());
        for second in 0..=200 {
            throughput.sample(
                counters(100 * second, [second, 0, 0]),
                Some(7),
                start + INTERVAL * second as u32,
            );
        }
        assert_eq!(throughput.rate(), Rate { records_per_second: 100.0, rows_per_second: 100.0 });
        let status = throughput.status();
        assert_eq!(status.rows_per_second.to_bits(), 100.0_f64.to_bits());
        assert_eq!(status.history.rows_per_second.len(), SECONDS);
        assert_eq!(status.history.lag[0], Some(7));
    }

    #[test]
    fn quantiles_are_within_the_bucket_that_holds_them() {
        let throughput = Throughput::new(&[0.1, 1.0]);
        assert_eq!(throughput.quantile(&[0, 0, 0], 0.99), None);
        assert_eq!(throughput.quantile(&[10, 0, 0], 0.5), Some(0.05));
        assert_eq!(throughput.quantile(&[0, 10, 0], 0.5), Some(0.55));
        assert_eq!(throughput.quantile(&[0, 0, 1], 0.5), Some(1.0), "the last bucket has no bound");
    }

    #[test]
    fn the_present_latency_forgets_what_is_old() {
        let (throughput, start) = (Throughput::new(&[0.1, 1.0]), Instant::now());
        throughput.sample(counters(0, [0, 0, 0]), None, start);
        throughput.sample(counters(9, [0, 9, 0]), None, start + INTERVAL);
        assert!(throughput.status().latency_seconds.p99.is_some());
        for second in 2..20 {
            throughput.sample(counters(9, [0, 9, 0]), None, start + INTERVAL * second);
        }
        assert_eq!(throughput.status().latency_seconds.p99, None);
        assert_eq!(throughput.status().rows_per_second.to_bits(), 0);
    }
}
