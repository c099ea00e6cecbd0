//! `make bench`: drains a preloaded topic in several ways and, in the same run, lets `psql \copy` load the same rows
//! into the same table. Ratios within one run are what counts; load on the machine affects both sides equally.

mod drain;
mod latency;
mod load;
mod report;
mod setting;
mod sparse;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use self::drain::Scenario;
use self::report::Report;
use self::setting::Setting;

/// Measures the sink against `psql \copy` of the same rows into the same table, in one run.
///
/// Example: bench --records 1000000 --rounds 3
#[derive(Parser)]
struct Arguments {
    /// Records in the topic.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// How often each is measured; the medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only scenarios whose name contains this, beside `psql \copy`.
    #[arg(long)]
    only: Option<String>,
    /// Seconds of the latency measurement, at 10,000 records a second; 0 leaves it out.
    #[arg(long, default_value_t = 15)]
    latency_seconds: u64,
    /// Records of each comparison of sparse records with dense ones; 0 leaves it out.
    #[arg(long, default_value_t = 200_000)]
    sparse_records: u64,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(report) => {
            println!("\n{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Report> {
    let wanted =
        |scenario: &&Scenario| arguments.only.as_ref().is_none_or(|only| scenario.name.contains(only));
    let scenarios: Vec<&Scenario> = Scenario::ALL.iter().filter(wanted).collect();
    eprintln!("Kafka and PostgreSQL (durable) start, {} records are produced", arguments.records);
    let setting = Setting::prepare(arguments.records, arguments.partitions)?;
    let mut report = Report::new(arguments.records, arguments.partitions, arguments.rounds, &setting);
    for round in 1..=arguments.rounds {
        let load = load::psql_copy(&setting).context("psql \\copy")?;
        eprintln!("round {round}: {:<36} {load}", "psql \\copy");
        report.add("psql \\copy", load);
        for scenario in &scenarios {
            let measured = drain::measure(&setting, scenario).context(scenario.name)?;
            eprintln!("round {round}: {:<36} {measured}", scenario.name);
            report.add(scenario.name, measured);
        }
    }
    if arguments.sparse_records > 0 {
        for case in &sparse::Case::ALL {
            let compared = sparse::measure(&setting, case, arguments.sparse_records).context(case.name)?;
            eprintln!("{compared}");
            report.sparse.push(compared);
        }
    }
    if arguments.latency_seconds > 0 {
        report.latency = Some(latency::measure(&setting, arguments.latency_seconds)?);
    }
    report.first_row_seconds = latency::first_row(&setting)?;
    Ok(report)
}
