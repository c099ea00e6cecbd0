//! A scrape of /metrics, in Prometheus' text format.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::http;

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name, with `_bucket`, `_sum` or `_count` for a histogram.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// All samples of a scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// In the order of the scrape.
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// A scrape of `address`, which is `host:port`.
    ///
    /// # Errors
    /// Nobody answers, or not with metrics.
    pub fn scrape(address: &str) -> Result<Self> {
        let (status, body) = http::get(address, "/metrics")?;
        ensure!(status == 200, "/metrics: {status} {body}");
        Self::parse(&body)
    }

    /// Parses a scrape.
    ///
    /// # Errors
    /// A line that is neither a comment nor a sample.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| sample(line).with_context(|| format!("not a sample: {line}")));
        Ok(Self { samples: samples.collect::<Result<_>>()? })
    }

    /// The samples of this name that carry all of these labels (and perhaps others).
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        let carries = |sample: &Sample, (label, value): &(&str, &str)| {
            sample.labels.get(*label).is_some_and(|seen| seen == value)
        };
        self.samples
            .iter()
            .filter(move |sample| sample.name == name && labels.iter().all(|wanted| carries(sample, wanted)))
    }

    /// The value of the one sample of this name that carries these labels; absent when there is none.
    ///
    /// # Panics
    /// When more than one matches.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let all: Vec<&Sample> = self.matching(name, labels).collect();
        assert!(all.len() < 2, "{name}{labels:?} is ambiguous: {all:?}");
        all.first().map(|sample| sample.value)
    }

    /// The sum over all labels; 0 when there is no sample.
    pub fn sum(&self, name: &str) -> f64 {
        self.sum_where(name, &[])
    }

    /// The sum over the samples that carry these labels; 0 when there is none.
    pub fn sum_where(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// What the sink's counters say became of the records: `(consumed, accounted for)`, equal between two commits.
    pub fn accounts(&self) -> (f64, f64) {
        let outcomes = [
            "sink_rows_written_total",
            "sink_rows_deleted_total",
            "sink_records_skipped_total",
            "sink_dead_letters_total",
        ];
        (self.sum("sink_records_consumed_total"), outcomes.iter().map(|name| self.sum(name)).sum())
    }

    /// What was added to every sample since an earlier scrape: for counters and histograms.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |sample: &Sample| {
            let same = |other: &&Sample| other.name == sample.name && other.labels == sample.labels;
            earlier.samples.iter().find(same).map_or(0.0, |other| other.value)
        };
        let samples = self
            .samples
            .iter()
            .map(|sample| Sample { value: sample.value - before(sample), ..sample.clone() });
        Self { samples: samples.collect() }
    }

    /// An upper bound of the `quantile` of a histogram over all its labels: the bucket that holds it.
    pub fn quantile(&self, name: &str, quantile: f64) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        let bucket_name = format!("{name}_bucket");
        for sample in self.matching(&bucket_name, &[]) {
            let bound = number(sample.labels.get("le")?)?;
            match buckets.iter_mut().find(|(seen, _)| *seen == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted = buckets.last().filter(|(_, count)| *count > 0.0)?.1 * quantile;
        buckets.iter().find(|(_, count)| *count >= wanted).map(|(bound, _)| *bound)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.to_owned(), value);
            rest = after;
        }
    }
    let value = number(rest.split_whitespace().next()?)?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// A label's value up to its closing quote, unescaped, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        other => other.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    const SCRAPE: &str = r#"# HELP sink_rows_written_total Rows.
# TYPE sink_rows_written_total counter
sink_rows_written_total{connector="c",table="a"} 3
sink_rows_written_total{connector="c",table="odd \"name\" \\ }"} 4
process_open_fds 12
sink_record_latency_seconds_bucket{le="0.1"} 90
sink_record_latency_seconds_bucket{le="0.5"} 99
sink_record_latency_seconds_bucket{le="+Inf"} 100
"#;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(SCRAPE).unwrap();
        assert_eq!(metrics.value("sink_rows_written_total", &[("table", "a")]), Some(3.0));
        assert_eq!(metrics.value("sink_rows_written_total", &[("table", r#"odd "name" \ }"#)]), Some(4.0));
        assert_eq!(metrics.value("sink_rows_written_total", &[("table", "b")]), None);
        assert_eq!(metrics.sum("sink_rows_written_total"), 7.0);
        assert_eq!(metrics.value("process_open_fds", &[]), Some(12.0));
    }

    #[test]
    fn a_quantile_is_the_bucket_that_holds_it() {
        let metrics = Metrics::parse(SCRAPE).unwrap();
        assert_eq!(metrics.quantile("sink_record_latency_seconds", 0.5), Some(0.1));
        assert_eq!(metrics.quantile("sink_record_latency_seconds", 0.99), Some(0.5));
        assert_eq!(metrics.quantile("sink_nothing", 0.99), None);
    }

    #[test]
    fn what_was_added_is_counted_from_an_earlier_scrape() {
        let earlier = Metrics::parse("sink_rows_written_total{connector=\"c\",table=\"a\"} 1").unwrap();
        let added = Metrics::parse(SCRAPE).unwrap().since(&earlier);
        assert_eq!(added.value("sink_rows_written_total", &[("table", "a")]), Some(2.0));
        assert_eq!(added.value("process_open_fds", &[]), Some(12.0));
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(Metrics::parse("sink_rows{table=\"a} 3").is_err());
    }
}
