//! Services that outlive the command that started them: `services up`, `status`, `down`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::kafka::KafkaOptions;
use crate::postgres::PostgresOptions;
use crate::services::Services;
use crate::signals::{self, Signal};
use crate::{ports, wait};

/// What `up` leaves for `status` and `down`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackgroundServices {
    /// `127.0.0.1:PORT`.
    pub bootstrap_servers: String,
    /// The URL of the database `postgres`, as superuser.
    pub postgres_url: String,
    /// The broker.
    pub kafka: Service,
    /// The postmaster.
    pub postgres: Service,
}

/// One process and all that it wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Its pid.
    pub pid: i32,
    /// Its temporary directory.
    pub dir: PathBuf,
}

impl Service {
    /// It runs, and it is ours: pids are given out again, but the command line names our directory.
    pub fn is_up(&self) -> bool {
        let command = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        signals::is_alive(self.pid)
            && String::from_utf8_lossy(&command).contains(&*self.dir.to_string_lossy())
    }

    /// Asks it to stop, kills it if it does not, and deletes its directory.
    fn end(&self, how: Signal) -> Result<()> {
        if self.is_up() {
            signals::send(self.pid, how);
            let gone = || if signals::is_alive(self.pid) { Err(()) } else { Ok(()) };
            if wait::try_until_ok(Duration::from_secs(20), gone).is_err() {
                let family: Vec<i32> = signals::children(self.pid).into_iter().chain([self.pid]).collect();
                family.iter().for_each(|pid| signals::send(*pid, Signal::Kill));
                let _ = wait::try_until_ok(Duration::from_secs(10), gone);
            }
        }
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot delete {}", self.dir.display()))
            }
            _ => Ok(()),
        }
    }
}

impl BackgroundServices {
    /// Both run.
    pub fn is_up(&self) -> bool {
        self.kafka.is_up() && self.postgres.is_up()
    }

    /// What `up` wrote to `dir`, if it was called and `down` was not.
    ///
    /// # Errors
    /// The state file cannot be read.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let file = state_file(dir);
        match fs::read(&file) {
            Ok(bytes) => {
                let state = serde_json::from_slice(&bytes);
                Ok(Some(state.with_context(|| format!("{} is not ours", file.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Starts both services, or finds them running. A port that is taken is replaced by a free one.
    ///
    /// # Errors
    /// A service does not start, or the state cannot be written.
    pub fn up(dir: &Path, kafka_port: u16, postgres_port: u16) -> Result<Self> {
        if let Some(services) = Self::load(dir)? {
            if services.is_up() {
                return Ok(services);
            }
            eprintln!("The services of {} have ended: starting afresh.", dir.display());
            services.end(dir)?;
        }
        let kafka = KafkaOptions { port: Some(port("Kafka", kafka_port)), ..KafkaOptions::default() };
        let postgres =
            PostgresOptions { port: Some(port("PostgreSQL", postgres_port)), ..PostgresOptions::default() };
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        // As Kafka is delivered: a producer's first record creates its topic.
        let services = Services::start(kafka.property("auto.create.topics.enable", "true"), postgres)?;
        let services = services.detach();
        let text = serde_json::to_string_pretty(&services)?;
        if let Err(error) = fs::write(state_file(dir), text) {
            services.end(dir)?;
            bail!("cannot write the state to {}: {error}", dir.display());
        }
        Ok(services)
    }

    /// Stops both services and deletes everything they and `up` wrote; returns whether there was anything.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub fn down(dir: &Path) -> Result<bool> {
        match Self::load(dir)? {
            Some(services) => services.end(dir).map(|()| true),
            None => Ok(false),
        }
    }

    fn end(&self, dir: &Path) -> Result<()> {
        self.kafka.end(Signal::Term)?;
        self.postgres.end(Signal::Int)?;
        fs::remove_file(state_file(dir)).context("cannot delete the state")?;
        // Only if nobody else put something there.
        let _ = fs::remove_dir(dir);
        Ok(())
    }
}

impl Services {
    /// Leaves both running after this process.
    fn detach(self) -> BackgroundServices {
        let bootstrap_servers = self.kafka.bootstrap();
        let postgres_url = self.postgres.url();
        let (pid, dir) = self.kafka.detach();
        let kafka = Service { pid, dir };
        let (pid, dir) = self.postgres.detach();
        BackgroundServices { bootstrap_servers, postgres_url, kafka, postgres: Service { pid, dir } }
    }
}

fn state_file(dir: &Path) -> PathBuf {
    dir.join("state.json")
}

fn port(service: &str, wanted: u16) -> u16 {
    if ports::is_free(wanted) {
        return wanted;
    }
    let port = ports::free();
    eprintln!("Port {wanted} is taken: {service} listens on {port}.");
    port
}
