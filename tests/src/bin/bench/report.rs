//! The medians, as a table.

use std::fmt;
use std::fs;

use crate::latency::{Latency, RATE};
use crate::load::Measured;
use crate::setting::Setting;
use crate::sparse::{Compared, HEAD};

/// All measurements of a run.
pub(crate) struct Report {
    title: String,
    lines: Vec<(String, Vec<Measured>)>,
    /// Sparse records against dense ones.
    pub sparse: Vec<Compared>,
    /// Under a steady stream.
    pub latency: Option<Latency>,
    /// From the start of the process to the first row.
    pub first_row_seconds: f64,
}

impl Report {
    /// Nothing measured yet.
    pub(crate) fn new(records: u64, partitions: i32, rounds: usize, setting: &Setting) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let bytes = fs::metadata(setting.rows_file()).map_or(0, |file| file.len()) / records.max(1);
        let title = format!(
            "{records} records, {partitions} partitions, 28 columns, {bytes} bytes a row as text; medians of {rounds}; \
             {cores} cores shared by broker, PostgreSQL and sink"
        );
        Self { title, lines: Vec::new(), sparse: Vec::new(), latency: None, first_row_seconds: 0.0 }
    }

    /// One more measurement under this name.
    pub(crate) fn add(&mut self, name: &str, measured: Measured) {
        match self.lines.iter_mut().find(|(known, _)| known == name) {
            Some((_, all)) => all.push(measured),
            None => self.lines.push((name.to_owned(), vec![measured])),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        writeln!(f, "| | rows/s | of `\\copy` | CPU µs/row | PostgreSQL µs/row | Kafka µs/row | peak MB |")?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
        let base = self.lines.first().map_or(1.0, |(_, all)| median(all, |m| m.rows_per_second));
        for (name, all) in &self.lines {
            let rate = median(all, |m| m.rows_per_second);
            let memory = median(all, |m| m.peak_rss_bytes as f64) / 1e6;
            writeln!(
                f,
                "| {name} | {rate:.0} | {:.2} | {:.2} | {:.2} | {} | {} |",
                rate / base,
                median(all, |m| m.client_us),
                median(all, |m| m.postgres_us),
                or_dash(median(all, |m| m.kafka_us), 2),
                or_dash(memory, 0),
            )?;
        }
        if !self.sparse.is_empty() {
            writeln!(f, "\n{HEAD}")?;
            for compared in &self.sparse {
                writeln!(f, "{compared}")?;
            }
        }
        if let Some(Latency { p50, p99 }) = self.latency {
            let ms = |seconds: f64| seconds * 1e3;
            writeln!(
                f,
                "\nrecord → commit at {RATE} records/s: half within {:.0} ms, 99 % within {:.0} ms",
                ms(p50),
                ms(p99)
            )?;
        }
        write!(f, "start of the process → first row: {:.2} s", self.first_row_seconds)
    }
}

fn or_dash(value: f64, digits: usize) -> String {
    if value > 0.0 { format!("{value:.digits$}") } else { "–".to_owned() }
}

fn median(all: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
