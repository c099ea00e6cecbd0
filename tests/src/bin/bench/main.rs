//! `make bench`: drains a preloaded topic in several ways and, in the same rounds, lets `psql \copy` load the same rows
//! into the same table. Only ratios within one run on a quiet machine mean something: they are left out where `\copy` itself
//! varies, or where the hypervisor gives processor time to others.

mod drain;
mod drain_table;
mod latency;
mod load;
mod machine;
mod mixed;
mod peers;
mod plot;
mod producing;
mod report;
mod setting;
mod sparse;
mod sweeps;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use self::drain::{SERVER_UPSERT, SINK_SMALL, SINK_UPSERT, Scenario};
use self::latency::RATES;
use self::load::{L1, L2, SMALL_TRANSACTIONS};
use self::peers::{LoopArguments, Peer};
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
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// How often each is measured; the medians are printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only scenarios whose name contains this, beside `psql \copy`.
    #[arg(long)]
    only: Option<String>,
    /// Seconds of each latency measurement, at 10,000 and at 100 records a second; 0 leaves them and the producer out.
    #[arg(long, default_value_t = 15)]
    latency_seconds: u64,
    /// Records of each comparison of sparse, bad and repeated records with others; 0 leaves it out.
    #[arg(long, default_value_t = 200_000)]
    sparse_records: u64,
    /// Compares the sink with what a user might run or write instead: JDBC sinks on Kafka Connect, faucet-cli, Python with
    /// COPY, loops in Rust. Nothing else is measured.
    #[arg(long)]
    peers: bool,
    /// With --peers: records of 200 bytes with four fields, 16 partitions, and a table without a key.
    #[arg(long, requires = "peers")]
    small: bool,
    /// Measures how the rate depends on the size of records, on columns, partitions, processes, the size of the table and
    /// the distance of the server. Nothing else is measured.
    #[arg(long, conflicts_with = "peers")]
    sweeps: bool,
    /// Measures another binary of the sink beside ours, in its default configuration: one of another commit or build.
    #[arg(long, value_name = "PATH")]
    beside: Option<PathBuf>,
    /// Writes results.md, results.json and results.svg into this folder.
    #[arg(long)]
    output: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One of the peers, which the bench starts as a process of its own.
    #[command(hide = true)]
    Loop(LoopArguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(Command::Loop(peer)) = &arguments.command {
        return peers::run_loop(peer);
    }
    let report = measure(arguments)?;
    println!("\n{report}");
    arguments.output.as_ref().map_or(Ok(()), |folder| report.write(folder))
}

fn measure(arguments: &Arguments) -> Result<Report> {
    let wanted =
        |scenario: &&Scenario| arguments.only.as_ref().is_none_or(|only| scenario.name.contains(only));
    let scenarios: Vec<&Scenario> = Scenario::ALL.iter().filter(wanted).collect();
    eprintln!("Kafka and PostgreSQL (durable) start, {} records are produced", arguments.records);
    let setting = if arguments.small {
        Setting::prepare_small(arguments.records)?
    } else {
        Setting::prepare(arguments.records, arguments.partitions)?
    };
    let mut report = Report::new(arguments.rounds, &setting);
    if arguments.peers {
        report.target = "bench-peers";
        measure_peers(arguments, &setting, &mut report)?;
        report.finish();
        return Ok(report);
    }
    if arguments.sweeps {
        (report.target, report.title) = ("bench-sweeps", sweeps::TITLE.to_owned());
        report.sweeps = sweeps::measure(&setting)?;
        report.many_partitions = Some(sweeps::many_partitions(&setting)?);
        return Ok(report);
    }
    for round in 1..=arguments.rounds {
        let mut note = |name, measured| {
            eprintln!("round {round}: {name:<36} {measured}");
            report.add(name, measured);
        };
        note(L1, load::one_stream(&setting)?);
        note(L2, load::two_streams(&setting)?);
        if let Some(path) = &arguments.beside {
            let measured = drain::measure_with(&setting, &Scenario::ALL[0], Some(path));
            note("the other binary, as configured by default", measured.context("the other binary")?);
        }
        for scenario in &scenarios {
            note(scenario.name, drain::measure(&setting, scenario).context(scenario.name)?);
            if scenario.name == SINK_UPSERT {
                note(SERVER_UPSERT, drain::server_upsert(&setting)?);
            }
            if scenario.name == SINK_SMALL {
                note(SMALL_TRANSACTIONS, load::small_transactions(&setting)?);
            }
        }
    }
    if arguments.sparse_records > 0 {
        for case in &sparse::Case::ALL {
            let compared = sparse::measure(&setting, case, arguments.sparse_records).context(case.name)?;
            eprintln!("{compared}");
            report.sparse.push(compared);
        }
        report.mixed = mixed::measure(&setting, arguments.sparse_records)?;
    }
    if arguments.latency_seconds > 0 {
        for rate in RATES {
            report.latency.push(latency::measure(&setting, rate, arguments.latency_seconds)?);
        }
        report.idle_share = latency::idle_share(&setting)?;
        report.producing = Some(producing::measure(&setting)?);
    }
    report.first_row_seconds = latency::first_row(&setting)?;
    report.finish();
    Ok(report)
}

/// The sink as it is configured by default, and its peers. A peer that fails is left out, and the reason is printed.
fn measure_peers(arguments: &Arguments, setting: &Setting, report: &mut Report) -> Result<()> {
    let sink = if setting.key.is_some() { &Scenario::DEFAULT } else { &Scenario::UNKEYED };
    let wanted = |peer: &Peer| arguments.only.as_ref().is_none_or(|only| peer.name().contains(only));
    let peers: Vec<Peer> = Peer::installed(setting).into_iter().filter(wanted).collect();
    for round in 1..=arguments.rounds {
        let mut note = |name, measured| {
            eprintln!("round {round}: {name:<36} {measured}");
            report.add(name, measured);
        };
        note(L1, load::one_stream(setting)?);
        note(sink.name, drain::measure(setting, sink).context(sink.name)?);
        for peer in &peers {
            match peers::measure(setting, *peer) {
                Ok(measured) => note(peer.name(), measured),
                Err(error) => eprintln!("round {round}: {} failed: {error:#}", peer.name()),
            }
        }
    }
    Ok(())
}
