//! What a broker is started with.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rand::RngExt;

use super::install;
use crate::ports;

/// The broker's JVM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heap {
    /// Starts in about 3 s at under 350 MB.
    #[default]
    Test,
    /// Fully compiled, with the garbage collector of production.
    Bench,
}

impl Heap {
    pub(super) fn jvm_options(self) -> &'static [&'static str] {
        match self {
            Self::Test => &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
            Self::Bench => &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"],
        }
    }
}

/// How to start a [`Kafka`](super::Kafka).
#[derive(Clone, Debug, Default)]
pub struct KafkaOptions {
    /// The clients' port; a free one otherwise.
    pub port: Option<u16>,
    /// Memory and compiler.
    pub heap: Heap,
    /// A name under which clients elsewhere reach a second listener of 127.0.0.1, and its port.
    pub elsewhere: Option<(String, u16)>,
    /// Further listeners: names, ports of 127.0.0.1, and protocols.
    pub listeners: Vec<(String, u16, String)>,
    /// Users of SCRAM-SHA-512, with their passwords.
    pub users: Vec<(String, String)>,
    /// Options of its JVM beside those of [`Heap`].
    pub jvm: Vec<String>,
    /// Broker properties that are added to, and win over, the harness's.
    pub properties: Vec<(String, String)>,
}

impl KafkaOptions {
    /// Adds a listener on `port` of 127.0.0.1 that sends its clients to `host`: for those who reach this
    /// machine's loopback by another address, such as pods.
    #[must_use]
    pub fn elsewhere(mut self, host: &str, port: u16) -> Self {
        self.elsewhere = Some((host.to_owned(), port));
        self
    }

    /// Adds a listener on `port` of 127.0.0.1 that sends its clients to `localhost`.
    #[must_use]
    pub fn listener(mut self, name: &str, port: u16, protocol: &str) -> Self {
        self.listeners.push((name.to_owned(), port, protocol.to_owned()));
        self
    }

    /// Adds a user of SCRAM-SHA-512.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Adds an option of the JVM.
    #[must_use]
    pub fn jvm_option(mut self, option: &str) -> Self {
        self.jvm.push(option.to_owned());
        self
    }

    /// Adds a broker property.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// Writes server.properties into `dir` and formats the data directory; returns the new cluster's id.
pub(super) fn format(dir: &Path, port: u16, options: &KafkaOptions) -> Result<String> {
    let file = dir.join("server.properties");
    fs::write(&file, properties(dir, port, options)).context("cannot write server.properties")?;
    let file = file.display().to_string();
    let cluster = cluster_id();
    let user =
        |(name, password): &(String, String)| format!("SCRAM-SHA-512=[name={name},password={password}]");
    let users: Vec<String> = options.users.iter().map(user).collect();
    let mut arguments = vec!["format", "-t", &cluster, "-c", &file, "--standalone"];
    arguments.extend(users.iter().flat_map(|user| ["--add-scram", user]));
    install::tool("kafka.tools.StorageTool", &arguments)?;
    Ok(cluster)
}

// A killed broker may register again only when its old session has run out: 3 s instead of 9. Consumers may have
// sessions as short as a second, so that tests need not wait six for one to run out. Records may carry timestamps of long
// ago, which retention would delete at its first look, after five minutes.
fn properties(dir: &Path, port: u16, options: &KafkaOptions) -> String {
    let controller = ports::free();
    let (mut listeners, mut advertised) = (String::new(), String::new());
    if let Some((host, port)) = &options.elsewhere {
        listeners = format!(",ELSEWHERE://127.0.0.1:{port}");
        advertised = format!(",ELSEWHERE://{host}:{port}");
    }
    let mut protocols = String::new();
    for (name, port, protocol) in &options.listeners {
        let _ = write!(listeners, ",{name}://127.0.0.1:{port}");
        let _ = write!(advertised, ",{name}://localhost:{port}");
        let _ = write!(protocols, ",{name}:{protocol}");
    }
    let mut text = format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,ELSEWHERE:PLAINTEXT{protocols}
controller.listener.names=CONTROLLER
log.dirs={dir}/data
num.partitions=4
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
log.retention.ms=-1
",
        dir = dir.display()
    );
    for (key, value) in &options.properties {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

/// 16 random bytes in URL-safe base64, as Kafka writes its UUIDs: 22 characters, of which the last carries 2 bits.
fn cluster_id() -> String {
    let mut random = rand::rng();
    let mut id: String = (0..21).map(|_| char::from(random.sample(rand::distr::Alphanumeric))).collect();
    id.push('A');
    id
}
