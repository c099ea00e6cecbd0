//! The medians, as a table, as JSON and as a plot; no ratios where the machine was not quiet.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::drain::{SERVER_UPSERT, SINK_SMALL, SINK_UPSERT};
use crate::latency::Latency;
use crate::load::{L1, L2, Measured, SMALL_TRANSACTIONS};
use crate::machine::{Machine, ProcessorTime};
use crate::mixed::{self, Mixed};
use crate::plot;
use crate::producing::Producing;
use crate::setting::Setting;
use crate::sparse::{self, Compared, HEAD};
use crate::sweeps::{self, ManyPartitions, Swept};

/// How far the slowest and the fastest round of L1 may differ.
const SPREAD: f64 = 0.15;
/// The fewest rounds that show how far it varies.
const ROUNDS: usize = 3;
/// The share of the processor time that a hypervisor may give to others.
const STEAL: f64 = 0.01;

/// All measurements of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// The target of the Makefile that measures this.
    pub target: &'static str,
    /// What was measured.
    pub title: String,
    lines: Vec<Line>,
    /// Why no ratios are given.
    unsteady: Vec<String>,
    /// Sparse records against dense ones.
    pub sparse: Vec<Compared>,
    /// Bad records and duplicates.
    pub mixed: Vec<Mixed>,
    /// Under steady streams.
    pub latency: Vec<Latency>,
    /// The producer and its peer.
    pub producing: Option<Producing>,
    /// One thing that varies at a time.
    pub sweeps: Vec<Swept>,
    /// A topic of very many partitions.
    pub many_partitions: Option<ManyPartitions>,
    /// From the start of the process to the first row.
    pub first_row_seconds: f64,
    /// The share of a core that an idle sink uses.
    pub idle_share: f64,
    #[serde(skip)]
    began: ProcessorTime,
}

/// The rounds of one way to write.
#[derive(Serialize)]
struct Line {
    name: String,
    rounds: Vec<Measured>,
}

impl Line {
    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => 0.0,
            n if n % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        }
    }

    fn rate(&self) -> f64 {
        self.median(|m| m.rows_per_second)
    }
}

impl Report {
    /// Nothing measured yet.
    pub(crate) fn new(rounds: usize, setting: &Setting) -> Self {
        let records = setting.records;
        let partitions = setting.kafka().partitions(&setting.topic);
        let bytes = fs::metadata(setting.rows_file()).map_or(0, |file| file.len()) / records.max(1);
        let columns = setting.columns;
        let title = format!(
            "{records} records, {partitions} partitions, {columns} columns, {bytes} bytes a row as text; medians of \
             {rounds} interleaved rounds"
        );
        Self {
            machine: Machine::read(setting),
            target: "bench",
            title,
            lines: Vec::new(),
            unsteady: Vec::new(),
            sparse: Vec::new(),
            mixed: Vec::new(),
            latency: Vec::new(),
            producing: None,
            sweeps: Vec::new(),
            many_partitions: None,
            first_row_seconds: 0.0,
            idle_share: 0.0,
            began: ProcessorTime::now(),
        }
    }

    /// One more measurement under this name.
    pub(crate) fn add(&mut self, name: &str, measured: Measured) {
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.rounds.push(measured),
            None => self.lines.push(Line { name: name.to_owned(), rounds: vec![measured] }),
        }
    }

    /// Decides whether ratios mean something; after the last measurement.
    pub(crate) fn finish(&mut self) {
        let rates = self.lines.first().map_or(&[][..], |line| &line.rounds).iter().map(|m| m.rows_per_second);
        let (least, most) = rates.fold((f64::MAX, 0.0_f64), |(a, b), rate| (a.min(rate), b.max(rate)));
        if most > least * (1.0 + SPREAD) {
            let why =
                format!("L1 itself varied between {least:.0} and {most:.0} rows/s; {SPREAD} is allowed");
            self.unsteady.push(why);
        }
        let rounds = self.lines.first().map_or(0, |line| line.rounds.len());
        if rounds < ROUNDS {
            self.unsteady.push(format!("{rounds} rounds do not show whether it was; {ROUNDS} do"));
        }
        let stolen = ProcessorTime::now().stolen_since(&self.began);
        if stolen > STEAL {
            let percent = stolen * 100.0;
            self.unsteady.push(format!("{percent:.1} % of the processor time was stolen (/proc/stat)"));
        }
    }

    /// Writes the table, the JSON and the plot into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let rates: Vec<(&str, f64)> =
            self.lines.iter().map(|line| (line.name.as_str(), line.rate())).collect();
        let write = |name: &str, text: String| {
            fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
        };
        write(
            "results.md",
            format!("# `make {}`\n\n{self}\n\n![rows per second](results.svg)\n", self.target),
        )?;
        write("results.json", serde_json::to_string_pretty(self)? + "\n")?;
        write("results.svg", plot::bars("rows per second", &rates))
    }

    fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// A rate by another, unless the machine was not quiet.
    fn ratio(&self, rate: f64, base: &str) -> String {
        match self.line(base).map(Line::rate) {
            Some(base) if self.unsteady.is_empty() && base > 0.0 => format!("{:.2}", rate / base),
            _ => "–".to_owned(),
        }
    }

    fn write_rates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | rows/s | / L1 | / L2 | CPU µs/row | PostgreSQL µs/row | Kafka µs/row | WAL B/row | peak MB |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for line in &self.lines {
            writeln!(
                f,
                "| {} | {:.0} | {} | {} | {} | {:.2} | {} | {:.0} | {} |",
                line.name,
                line.rate(),
                self.ratio(line.rate(), L1),
                self.ratio(line.rate(), L2),
                or_dash(line.median(|m| m.client_us), 2),
                line.median(|m| m.postgres_us),
                or_dash(line.median(|m| m.kafka_us), 2),
                line.median(|m| m.wal_bytes),
                or_dash(line.median(|m| m.peak_rss_bytes as f64) / 1e6, 0),
            )?;
        }
        writeln!(
            f,
            "\n/ L1, / L2: the rate, divided by that of the line L1 or L2. CPU µs/row: time of the loading process."
        )?;
        if let Some(upserts) = self.line(SINK_UPSERT) {
            let ratio = self.ratio(upserts.rate(), SERVER_UPSERT);
            writeln!(f, "\nupserts of existing keys, of what the server does alone: {ratio}")?;
        }
        if let Some(small) = self.line(SINK_SMALL) {
            let ratio = self.ratio(small.rate(), SMALL_TRANSACTIONS);
            writeln!(f, "\n500-row batches, of what psql loads in transactions of 500 rows: {ratio}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, memory_gb, kernel, postgres, kafka, commit, date } = &self.machine;
        writeln!(f, "{}\n", self.title)?;
        writeln!(
            f,
            "commit {commit}, {date}; {processor}, {cores} cores shared by broker, PostgreSQL and sink, {memory_gb} GB, \
             {kernel}; PostgreSQL {postgres}, Kafka {kafka}\n"
        )?;
        for why in &self.unsteady {
            writeln!(f, "**No ratios:** it is not certain that the machine was quiet. {why}.\n")?;
        }
        if !self.lines.is_empty() {
            self.write_rates(f)?;
        }
        if !self.sweeps.is_empty() {
            writeln!(f, "{}", sweeps::HEAD)?;
            self.sweeps.iter().try_for_each(|swept| writeln!(f, "{swept}"))?;
        }
        if let Some(many) = &self.many_partitions {
            writeln!(f, "\n{many}")?;
        }
        if !self.sparse.is_empty() {
            writeln!(f, "\n{}\n\n{HEAD}", sparse::EXPLAINED)?;
            self.sparse.iter().try_for_each(|compared| writeln!(f, "{compared}"))?;
        }
        if !self.mixed.is_empty() {
            writeln!(f, "\n{}\n\n{}", mixed::EXPLAINED, mixed::HEAD)?;
            self.mixed.iter().try_for_each(|mixed| writeln!(f, "{mixed}"))?;
        }
        for Latency { rate, p50, p99, commits_per_second } in &self.latency {
            writeln!(
                f,
                "\nrecord → commit at {rate} records/s: half within {:.0} ms, 99 % within {:.0} ms; \
                 {commits_per_second:.0} commits/s",
                p50 * 1e3,
                p99 * 1e3
            )?;
        }
        if let Some(producing) = &self.producing {
            writeln!(f, "\n{producing}")?;
        }
        if self.first_row_seconds > 0.0 {
            writeln!(f, "\nstart of the process → first row: {:.2} s", self.first_row_seconds)?;
        }
        if self.idle_share > 0.0 {
            writeln!(f, "\nidle: {:.1} % of a core", self.idle_share * 100.0)?;
        }
        Ok(())
    }
}

fn or_dash(value: f64, digits: usize) -> String {
    if value > 0.0 { format!("{value:.digits$}") } else { "–".to_owned() }
}
