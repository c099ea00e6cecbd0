//! A real Apache Kafka: one KRaft node, broker and controller in one process.

mod admin;
pub mod connect;
pub mod groups;
pub mod guarded;
pub mod install;
mod produce;
mod read;
mod settings;
mod transaction;

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

pub use groups::{DescribedOffset, GroupOffset};
pub use settings::{Heap, KafkaOptions};
pub use transaction::Transaction;

use crate::process::{Ending, Process};
use crate::scratch::Scratch;
use crate::signals::Signal;
use crate::wait;

/// The JVM starts in about 3 s when the machine is idle; a build beside it makes that much longer.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// For every request to the broker, so that a test fails with its name rather than hanging.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);

/// A running (or killed, or paused) broker. Stopped on drop.
pub struct Kafka {
    bootstrap: String,
    port: u16,
    cluster_id: String,
    options: KafkaOptions,
    process: Mutex<Option<Process>>,
    admin: OnceLock<AdminClient<DefaultClientContext>>,
    dir: Scratch,
}

impl Kafka {
    /// Formats a data directory and starts a broker on a free port; returns when it answers a metadata request.
    ///
    /// # Errors
    /// Java or the jars are missing, or the broker does not come up.
    pub fn start(options: KafkaOptions) -> Result<Self> {
        let dir = Scratch::new("kafka")?;
        let port = options.port.unwrap_or_else(crate::ports::free);
        let bootstrap = format!("127.0.0.1:{port}");
        let cluster_id = settings::format(dir.path(), port, &options)?;
        let kafka = Self {
            bootstrap,
            port,
            cluster_id,
            options,
            process: Mutex::new(None),
            admin: OnceLock::new(),
            dir,
        };
        kafka.try_restart()?;
        Ok(kafka)
    }

    /// `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// The id that the cluster was formatted with.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its configuration, data and log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The broker's pid.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn pid(&self) -> i32 {
        self.process().as_ref().expect("Kafka runs").pid()
    }

    /// User and system time of the broker so far, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        self.process().as_ref().map_or(0.0, Process::cpu_seconds)
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Some(process) = self.process().take() {
            process.kill_family();
        }
    }

    /// SIGTERM, and waits until it ended.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn stop(&self) {
        if let Some(process) = self.process().take() {
            process.signal(Signal::Term);
            // A paused process would not receive it.
            process.resume_family();
            assert!(
                process.wait(Duration::from_secs(60)).is_some(),
                "Kafka did not stop\n{}",
                self.log_tail()
            );
        }
    }

    /// SIGSTOP: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.process().as_ref().expect("Kafka runs").pause_family();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process().as_ref().expect("Kafka runs").resume_family();
    }

    /// Starts it again on the same port with the same data; returns when it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&self) {
        self.try_restart().expect("Kafka restarts");
    }

    /// Whether the process runs (paused counts).
    pub fn is_running(&self) -> bool {
        self.process().as_ref().is_some_and(|process| process.ended().is_none())
    }

    fn try_restart(&self) -> Result<()> {
        // Stopped first, if it runs: one data directory takes one broker.
        self.stop();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("kafka.log"))
            .context("cannot write Kafka's log")?;
        let mut command: Command = install::java(self.options.heap.jvm_options())?;
        command
            .args(&self.options.jvm)
            .arg("kafka.Kafka")
            .arg(self.dir.path().join("server.properties"))
            .stdout(log.try_clone()?)
            .stderr(log);
        *self.process() = Some(Process::spawn(&mut command, Ending::Kill)?);
        self.wait_ready()
    }

    fn wait_ready(&self) -> Result<()> {
        let client: BaseConsumer = self.client().create().context("cannot create a Kafka client")?;
        wait::try_until_ok(READY_DEADLINE, || {
            if !self.is_running() {
                return Ok(Err(anyhow!("Kafka ended")));
            }
            let metadata = client.fetch_metadata(None, Duration::from_secs(1))?;
            ensure!(!metadata.brokers().is_empty(), "no broker is registered");
            // Another broker may have taken the port since it was found free; ours ends then.
            let seen = client.client().fetch_cluster_id(Duration::from_secs(1));
            ensure!(seen.as_ref() == Some(&self.cluster_id), "another cluster answers: {seen:?}");
            Ok(Ok(()))
        })
        .flatten()
        .with_context(|| format!("Kafka did not come up\n{}", self.log_tail()))
    }

    /// A client configuration that knows the broker and nothing else.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("reconnect.backoff.max.ms", "500");
        config
    }

    /// The last lines of the broker's log.
    pub fn log_tail(&self) -> String {
        crate::output::tail(&self.dir.path().join("kafka.log"), 60)
    }

    /// Leaves the broker running after this process; returns its pid and its directory.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn detach(self) -> (i32, std::path::PathBuf) {
        let pid = self.process().take().expect("Kafka runs").detach();
        (pid, self.dir.keep())
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
