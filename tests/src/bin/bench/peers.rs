//! `make bench-peers`: the same topic and table by what a user might write or run instead, beside the sink, in the same rounds.

mod connect;
mod faucet;
mod rust_loop;
pub(crate) mod small;
mod watch;

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tests::paths;
use tests::process::{Ending, Process};

use self::connect::Jdbc;
use self::faucet::Delivery;
pub(crate) use self::rust_loop::Statement;
use crate::load::{Measured, Meter};
use crate::setting::{Setting, TABLE};

const LOOK: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(600);

/// Where a loop keeps its positions: in the transaction of its rows.
pub(crate) const POSITIONS: &str =
    "CREATE TABLE IF NOT EXISTS peer_offsets (partition int PRIMARY KEY, next_offset bigint NOT NULL)";

/// A way to get records into the table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// A JDBC sink on Kafka Connect, with so many tasks.
    Connect(Jdbc, u32),
    /// faucet-cli.
    Faucet(Delivery),
    /// Python with psycopg: COPY BINARY, positions in the same transaction.
    Python,
    /// A loop in Rust.
    Rust(Statement),
}

/// What a loop in Rust gets.
#[derive(Args)]
pub(crate) struct LoopArguments {
    /// How it writes.
    #[arg(value_enum)]
    pub statement: Statement,
    /// The broker.
    pub bootstrap: String,
    /// The topic.
    pub topic: String,
    /// The database.
    pub url: String,
}

impl Peer {
    /// All of them.
    const ALL: [Self; 9] = [
        Self::Connect(Jdbc::Aiven, 1),
        Self::Connect(Jdbc::Aiven, 2),
        Self::Connect(Jdbc::Debezium, 1),
        Self::Connect(Jdbc::Debezium, 2),
        Self::Faucet(Delivery::ExactlyOnce),
        Self::Faucet(Delivery::Copy),
        Self::Python,
        Self::Rust(Statement::Unnest),
        Self::Rust(Statement::Insert),
    ];

    /// Those that are installed and fit the setting. Each of the others is named with the reason.
    pub(crate) fn installed(setting: &Setting) -> Vec<Self> {
        let mut peers = Self::ALL.to_vec();
        // The loops are written for the table of live scores.
        peers.retain(|peer| setting.table == TABLE || !matches!(peer, Self::Python | Self::Rust(_)));
        peers.retain(|peer| match peer.missing() {
            Some(why) => {
                eprintln!("left out: {}: {why}", peer.name());
                false
            }
            None => true,
        });
        peers
    }

    fn missing(self) -> Option<String> {
        match self {
            Self::Connect(jdbc, _) => jdbc.missing(),
            Self::Faucet(_) => faucet::missing(),
            Self::Python => (!python().is_file())
                .then(|| format!("{} is not there; `make bench-peers` installs it", python().display())),
            Self::Rust(_) => None,
        }
    }

    /// Its line in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect(Jdbc::Aiven, 1) => "Aiven's JDBC sink on Kafka Connect, 1 task",
            Self::Connect(Jdbc::Aiven, _) => "Aiven's JDBC sink on Kafka Connect, 2 tasks",
            Self::Connect(Jdbc::Debezium, 1) => "Debezium's JDBC sink on Kafka Connect, 1 task",
            Self::Connect(Jdbc::Debezium, _) => "Debezium's JDBC sink on Kafka Connect, 2 tasks",
            Self::Faucet(Delivery::ExactlyOnce) => "faucet-cli, exactly once",
            Self::Faucet(Delivery::Copy) => "faucet-cli, COPY, at least once",
            Self::Python => "Python: psycopg, COPY BINARY, offsets in the transaction",
            Self::Rust(Statement::Unnest) => "Rust loop: INSERT … SELECT unnest, 500 rows",
            Self::Rust(Statement::Insert) => "Rust loop: one INSERT for each row, 500 in a transaction",
        }
    }

    fn command(self) -> Result<Command> {
        let mut command;
        if let Self::Rust(statement) = self {
            command = Command::new(std::env::current_exe().context("the path of this program")?);
            command.args(["loop", statement.word()]);
        } else {
            command = Command::new(python());
            command.arg(paths::workspace("tests/peers/copy_loop.py"));
        }
        Ok(command)
    }
}

fn python() -> PathBuf {
    paths::target_dir().join("bench-python/bin/python")
}

/// Lets a peer drain the topic into an empty table. The rate counts from the first commit to the last.
pub(crate) fn measure(setting: &Setting, peer: Peer) -> Result<Measured> {
    match peer {
        Peer::Connect(jdbc, tasks) => connect::measure(setting, jdbc, tasks),
        Peer::Faucet(delivery) => faucet::measure(setting, delivery),
        Peer::Python | Peer::Rust(_) => measure_loop(setting, peer),
    }
}

/// One that keeps its positions in a table.
fn measure_loop(setting: &Setting, peer: Peer) -> Result<Measured> {
    let target = setting.target()?;
    let mut client = target.client()?;
    client.batch_execute(POSITIONS)?;
    let rows = setting.records as f64;
    let meter = Meter::start(setting)?;
    let mut command = peer.command()?;
    command.args([&setting.kafka().bootstrap(), &setting.topic, &target.url]);
    let process = Process::spawn(&mut command, Ending::Kill)?;
    let (begin, mut first) = (Instant::now(), None);
    let (took, before) = loop {
        let stored: Option<i64> =
            client.query_one("SELECT sum(next_offset)::bigint FROM peer_offsets", &[])?.get(0);
        let stored = u64::try_from(stored.unwrap_or(0))?;
        if stored > 0 {
            first.get_or_insert((Instant::now(), stored));
        }
        if let Some((first, before)) = first.filter(|_| stored >= setting.records) {
            break (first.elapsed().as_secs_f64(), before);
        }
        if let Some(ended) = process.ended() {
            bail!("{ended:?} after {stored} records");
        }
        ensure!(begin.elapsed() < DEADLINE, "only {stored} records after {DEADLINE:?}");
        thread::sleep(LOOK);
    };
    let ended = process.wait(DEADLINE).context("it does not end")?;
    ensure!(
        ended.code == Some(0) && target.rows()? == setting.records,
        "every record must be a row: {ended:?}"
    );
    Ok(Measured {
        rows_per_second: (rows - before as f64) / took,
        client_us: ended.cpu_seconds * 1e6 / rows,
        peak_rss_bytes: process.peak_rss_bytes(),
        ..meter.per_row(setting, rows)?
    })
}

/// Runs a loop in Rust, in a process of its own.
pub(crate) fn run_loop(arguments: &LoopArguments) -> Result<()> {
    rust_loop::run(arguments)
}
