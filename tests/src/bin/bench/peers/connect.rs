//! JDBC sinks on a standalone worker of Kafka Connect.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tests::kafka::connect::{self, Worker};
use tests::kafka::install;
use tests::scratch::Scratch;
use tests::{names, paths};

use super::watch;
use crate::load::Measured;
use crate::setting::{Setting, Target};

/// The heap and the collector that Kafka's own `connect-standalone.sh` gives the worker.
const JAVA_OPTIONS: [&str; 6] = [
    "-Xms256M",
    "-Xmx2G",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];
/// Records in a poll, and rows in a batch.
const BATCH: &str = "5000";

/// Whose sink.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Jdbc {
    /// Debezium's, from Maven Central.
    Debezium,
    /// Aiven's, from its releases: it is on no registry.
    Aiven,
}

impl Jdbc {
    /// The folder of plugins with its jars.
    fn plugins(self) -> Result<PathBuf> {
        match self {
            Self::Debezium => connect::debezium(),
            Self::Aiven => {
                let plugins = paths::target_dir().join("connect-plugins/aiven");
                ensure!(
                    plugins.is_dir(),
                    "{} is not there; unpack a release of Aiven-Open/jdbc-connector-for-apache-kafka in it",
                    plugins.display()
                );
                Ok(plugins)
            }
        }
    }

    /// What is missing for it, and how it gets there.
    pub(super) fn missing(self) -> Option<String> {
        self.plugins().and_then(|_| converter()).err().map(|why| format!("{why:#}"))
    }

    fn config(self, setting: &Setting, key: Option<&str>) -> Value {
        let mode = if key.is_some() { "upsert" } else { "insert" };
        let key_mode = if key.is_some() { "record_value" } else { "none" };
        match self {
            Self::Debezium => json!({
                "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
                "connection.username": "postgres",
                "insert.mode": mode,
                "primary.key.mode": key_mode,
                "primary.key.fields": key.unwrap_or_default(),
                "collection.name.format": setting.table,
                "schema.evolution": "none",
                // One INSERT … SELECT unnest(…) for a batch; it needs each key once.
                "dialect.postgres.unnest.insert.enabled": "true",
                "use.reduction.buffer": key.is_some().to_string(),
            }),
            Self::Aiven => json!({
                "connector.class": "io.aiven.connect.jdbc.JdbcSinkConnector",
                "connection.user": "postgres",
                "insert.mode": mode,
                "pk.mode": key_mode,
                "pk.fields": key.unwrap_or_default(),
                "table.name.format": setting.table,
                "auto.create": "false",
                "auto.evolve": "false",
            }),
        }
    }
}

/// Lets the sink of a worker drain the topic. Rate and CPU time count from the first row to the last: the JVM has started.
pub(super) fn measure(setting: &Setting, jdbc: Jdbc, tasks: u32) -> Result<Measured> {
    let target = setting.target()?;
    let dir = Scratch::new("bench_connect")?;
    let worker = Worker {
        bootstrap: &setting.kafka().bootstrap(),
        plugins: &[jdbc.plugins()?, converter()?],
        java_options: &JAVA_OPTIONS,
        connector: &connector(setting, &target, jdbc, tasks)?,
    };
    let worker = worker.start(dir.path())?;
    watch::until_written(setting, &target, &worker.process, || {
        if worker.has_failed() {
            bail!("a task failed\n{}", worker.log_tail());
        }
        Ok(())
    })
}

fn connector(setting: &Setting, target: &Target<'_>, jdbc: Jdbc, tasks: u32) -> Result<Value> {
    let server = target.url.split_once('@').context("a URL names its server")?.1;
    // Keys and headers of the records stay bytes: parsing them would cost time, and no column takes them.
    let bytes = "org.apache.kafka.connect.converters.ByteArrayConverter";
    let mut config = json!({
        "tasks.max": tasks.to_string(),
        "topics": setting.topic,
        "connection.url": format!("jdbc:postgresql://{server}?reWriteBatchedInserts=true"),
        "connection.password": "any",
        "batch.size": BATCH,
        "key.converter": bytes,
        "header.converter": bytes,
        "value.converter": "tests.peers.FixedSchemaConverter",
        "value.converter.columns": columns(target)?,
        "consumer.override.auto.offset.reset": "earliest",
        "consumer.override.max.poll.records": BATCH,
        // Enough for a whole poll; the default of 1 MiB is not, for these records.
        "consumer.override.max.partition.fetch.bytes": "8388608",
    });
    let own = jdbc.config(setting, setting.key);
    let both = config.as_object_mut().zip(own.as_object()).context("configurations are objects")?;
    both.0.extend(both.1.clone());
    Ok(json!({"name": names::unique("peer"), "config": config}))
}

/// The table's columns with the types of Connect, as `FixedSchemaConverter` takes them.
fn columns(target: &Target<'_>) -> Result<String> {
    let mut client = target.client()?;
    let statement = client.prepare(&format!("SELECT * FROM {}", target.table))?;
    let columns = statement.columns().iter().map(|column| {
        let type_ = match column.type_().name() {
            "text" => "string",
            "int4" => "int32",
            "int8" => "int64",
            "float8" => "float64",
            other => bail!("{} is {other}, which the converter does not know", column.name()),
        };
        Ok(format!("{} {type_}", column.name()))
    });
    Ok(columns.collect::<Result<Vec<_>>>()?.join(","))
}

/// A folder of plugins with the converter, compiled when its source is newer.
fn converter() -> Result<PathBuf> {
    let plugins = paths::target_dir().join("connect-plugins/converter");
    let classes = plugins.join("fixed-schema");
    let source = paths::workspace("tests/peers/FixedSchemaConverter.java");
    let compiled = classes.join("tests/peers/FixedSchemaConverter.class");
    let modified = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified());
    if modified(&compiled).is_ok_and(|then| modified(&source).is_ok_and(|source| source < then)) {
        return Ok(plugins);
    }
    fs::create_dir_all(&classes).with_context(|| format!("cannot create {}", classes.display()))?;
    let output = Command::new("javac")
        .args(["-nowarn", "-cp", &install::class_path()?, "-d"])
        .args([&classes, &source])
        .output()
        .context("cannot run javac, which a JDK has")?;
    ensure!(output.status.success(), "javac: {}", String::from_utf8_lossy(&output.stderr));
    Ok(plugins)
}
