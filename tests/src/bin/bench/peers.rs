//! `make bench-peers`: the same topic and table by what a user might write or run instead, beside the sink, in the same rounds.

mod rust_loop;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tests::paths;

pub(crate) use self::rust_loop::Statement;
use crate::load::{Measured, Meter};
use crate::setting::{Setting, Target};

const LOOK: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(600);

/// Where a loop keeps its positions: in the transaction of its rows.
pub(crate) const POSITIONS: &str =
    "CREATE TABLE IF NOT EXISTS peer_offsets (partition int PRIMARY KEY, next_offset bigint NOT NULL)";

/// A way to get records into the table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
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
    pub(crate) const ALL: [Self; 3] =
        [Self::Python, Self::Rust(Statement::Unnest), Self::Rust(Statement::Insert)];

    /// Its line in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "Python: psycopg, COPY BINARY, offsets in the transaction",
            Self::Rust(Statement::Unnest) => "Rust loop: INSERT … SELECT unnest, 500 rows",
            Self::Rust(Statement::Insert) => "Rust loop: one INSERT for each row, 500 in a transaction",
        }
    }

    fn start(self, setting: &Setting, target: &Target<'_>) -> Result<Child> {
        let mut command = match self {
            Self::Python => {
                let python = paths::target_dir().join("bench-python/bin/python");
                ensure!(python.is_file(), "`make bench-peers` installs {}", python.display());
                let mut command = Command::new(python);
                command.arg(paths::workspace("tests/peers/copy_loop.py"));
                command
            }
            Self::Rust(statement) => {
                let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
                command.args(["loop", statement.word()]);
                command
            }
        };
        command
            .args([&setting.kafka().bootstrap(), &setting.topic, &target.url])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.name()))
    }
}

/// Lets a peer drain the topic into an empty table. The rate counts from the first commit to the last.
pub(crate) fn measure(setting: &Setting, peer: Peer) -> Result<Measured> {
    let target = setting.target()?;
    let mut client = target.client()?;
    client.batch_execute(POSITIONS)?;
    let rows = setting.records as f64;
    let (meter, children) = (Meter::start(setting)?, tests::signals::children_cpu_seconds());
    let mut child = peer.start(setting, &target)?;
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
        if let Some(status) = child.try_wait()? {
            bail!("ended with {status} after {stored} records");
        }
        if begin.elapsed() > DEADLINE {
            child.kill()?;
            bail!("only {stored} records after {DEADLINE:?}");
        }
        thread::sleep(LOOK);
    };
    let status = child.wait()?;
    ensure!(status.success() && target.rows()? == setting.records, "every record must be a row: {status}");
    Ok(Measured {
        rows_per_second: (rows - before as f64) / took,
        client_us: (tests::signals::children_cpu_seconds() - children) * 1e6 / rows,
        ..meter.per_row(setting, rows)?
    })
}

/// Runs a loop in Rust, in a process of its own.
pub(crate) fn run_loop(arguments: &LoopArguments) -> Result<()> {
    rust_loop::run(arguments)
}
