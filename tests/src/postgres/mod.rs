//! A real PostgreSQL: a private cluster on a port of its own.

pub mod install;
pub mod pooler;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use postgres::{Client, NoTls};

use crate::process::{Ending, Process};
use crate::scratch::Scratch;
use crate::signals::Signal;
use crate::{names, ports, wait};

/// Recovery after a kill in the middle of a large load takes some seconds.
const READY_DEADLINE: Duration = Duration::from_secs(120);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// How to start a [`Postgres`].
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Its port; a free one otherwise.
    pub port: Option<u16>,
    /// Settings of postgresql.conf that are added to, and win over, the harness's.
    pub settings: Vec<(String, String)>,
}

impl PostgresOptions {
    /// Adds a setting, e.g. `("fsync", "off")` where durability is not what a test is about.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running (or stopped, killed, paused) cluster; durable unless its settings say otherwise. Stopped on drop.
pub struct Postgres {
    port: u16,
    settings: Mutex<Vec<(String, String)>>,
    process: Mutex<Option<Process>>,
    dir: Scratch,
}

impl Postgres {
    /// Runs initdb and starts the cluster on a free port; returns when it accepts connections.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not come up.
    pub fn start(options: PostgresOptions) -> Result<Self> {
        let dir = Scratch::new("postgres")?;
        if let Some((user, group)) = install::owner()? {
            chown(dir.path(), Some(user), Some(group)).context("cannot give the directory to its user")?;
        }
        initdb(dir.path())?;
        let postgres = Self {
            port: options.port.unwrap_or_else(ports::free),
            settings: Mutex::new(options.settings),
            process: Mutex::new(None),
            dir,
        };
        postgres.try_start_again()?;
        Ok(postgres)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database `postgres`, as superuser.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database, as superuser.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The cluster's directory, which also holds its socket and its log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The postmaster's pid.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn pid(&self) -> i32 {
        self.process().as_ref().expect("PostgreSQL runs").pid()
    }

    /// User and system time of the postmaster and its processes so far, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        self.process().as_ref().map_or(0.0, |process| crate::signals::family_cpu_seconds(process.pid()))
    }

    /// Creates a database of this name and returns its URL.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn create_database(&self, name: &str) -> String {
        let quoted = name.replace('"', "\"\"");
        self.client().batch_execute(&format!("CREATE DATABASE \"{quoted}\"")).expect("CREATE DATABASE");
        self.url_of(name)
    }

    /// Creates a database of a unique name that starts with `prefix`, and returns its URL.
    #[track_caller]
    pub fn database(&self, prefix: &str) -> String {
        self.create_database(&names::unique(prefix))
    }

    /// Lets clients of another network in, with their password; they reach 127.0.0.1 through the kernel's rules.
    ///
    /// # Panics
    /// When the server does not read it.
    #[track_caller]
    pub fn allow_from(&self, network: &str) {
        let rules = self.dir.path().join("data/pg_hba.conf");
        let mut file = File::options().append(true).open(rules).expect("pg_hba.conf of our cluster");
        writeln!(file, "host all all {network} scram-sha-256").expect("pg_hba.conf can be written");
        self.client().batch_execute("SELECT pg_reload_conf()").expect("the server reads it again");
    }

    /// A connection to the database `postgres`.
    #[track_caller]
    pub fn client(&self) -> Client {
        connect(&self.url())
    }

    /// Fast shutdown: sessions are cut, open transactions rolled back, everything is written.
    #[track_caller]
    pub fn stop_fast(&self) {
        self.stop(Signal::Int);
    }

    /// Immediate shutdown: as a crash, with recovery at the next start.
    #[track_caller]
    pub fn stop_immediate(&self) {
        self.stop(Signal::Quit);
    }

    /// kill -9 of the postmaster and every backend.
    pub fn kill(&self) {
        if let Some(process) = self.process().take() {
            process.kill_family();
        }
    }

    /// SIGSTOP of the postmaster and every backend: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.process().as_ref().expect("PostgreSQL runs").pause_family();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process().as_ref().expect("PostgreSQL runs").resume_family();
    }

    /// Starts it again on the same port with the same data; returns when it accepts connections.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start_again(&self) {
        self.try_start_again().expect("PostgreSQL starts again");
    }

    /// Immediate shutdown and start.
    #[track_caller]
    pub fn restart_immediate(&self) {
        self.stop_immediate();
        self.start_again();
    }

    /// A setting that the next start uses.
    pub fn set(&self, name: &str, value: &str) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings.push((name.to_owned(), value.to_owned()));
    }

    /// Whether the postmaster runs (paused counts).
    pub fn is_running(&self) -> bool {
        self.process().as_ref().is_some_and(|process| process.ended().is_none())
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        crate::output::tail(&self.log(), 60)
    }

    /// Leaves the cluster running after this process; returns the postmaster's pid and the directory.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn detach(self) -> (i32, PathBuf) {
        let pid = self.process().take().expect("PostgreSQL runs").detach();
        (pid, self.dir.keep())
    }

    #[track_caller]
    fn stop(&self, how: Signal) {
        if let Some(process) = self.process().take() {
            process.signal(how);
            // A paused process would not receive it.
            process.resume_family();
            assert!(process.wait(STOP_DEADLINE).is_some(), "PostgreSQL did not stop\n{}", self.log_tail());
        }
    }

    fn try_start_again(&self) -> Result<()> {
        ensure!(!self.is_running(), "PostgreSQL runs already");
        let log =
            File::options().create(true).append(true).open(self.log()).context("cannot write the log")?;
        let mut command = install::command("postgres")?;
        command.arg("-D").arg(self.dir.path().join("data")).stdout(log.try_clone()?).stderr(log);
        let sockets = self.dir.path().display().to_string();
        let port = self.port.to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &sockets),
            ("max_connections", "200"),
            ("shared_buffers", "256MB"),
            ("max_wal_size", "4GB"),
            // In the data directory, so that kill -9 leaves no segment behind in /dev/shm.
            ("dynamic_shared_memory_type", "mmap"),
            ("log_line_prefix", "%m [%p] %a "),
        ];
        for (name, value) in ours {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in self.settings.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        *self.process() = Some(Process::spawn(&mut command, Ending::Quit)?);
        let ours = self.dir.path().join("data");
        wait::try_until_ok(READY_DEADLINE, || {
            if !self.is_running() {
                return Ok(Err(anyhow!("PostgreSQL ended")));
            }
            let seen: String = try_connect(&self.url())?.query_one("SHOW data_directory", &[])?.get(0);
            // Another server may have taken the port since it was found free; ours ends then.
            ensure!(Path::new(&seen) == ours, "another cluster answers: {seen}");
            Ok(Ok(()))
        })
        .flatten()
        .with_context(|| format!("PostgreSQL did not come up\n{}", self.log_tail()))
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("postgres.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects as a test does; for any URL that [`Postgres`] gave out.
///
/// # Panics
/// When the server refuses.
#[track_caller]
pub fn connect(url: &str) -> Client {
    try_connect(url).unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
}

/// Connects; for a server that may be unreachable.
///
/// # Errors
/// The server refuses or is unreachable.
pub fn try_connect(url: &str) -> Result<Client, postgres::Error> {
    let mut config: postgres::Config = url.parse()?;
    config.connect_timeout(Duration::from_secs(5)).application_name("harness").connect(NoTls)
}

/// About a second.
fn initdb(dir: &Path) -> Result<()> {
    let output = install::command("initdb")?
        .arg("-D")
        .arg(dir.join("data"))
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        .output()
        .context("cannot run initdb")?;
    ensure!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
    // --no-sync spares the thousand small files their fsync one by one; what is started on them is durable.
    fs::metadata(dir.join("data/PG_VERSION")).context("initdb made no cluster")?;
    Ok(())
}
