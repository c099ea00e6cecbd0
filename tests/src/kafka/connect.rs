//! A real Kafka Connect: a standalone worker with one connector.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::install;
use crate::process::{Ending, Process};
use crate::{output, paths, ports};

const POM: &str = include_str!("../../connect/pom.xml");
/// What a worker logs when it gives a task up. Its process goes on.
const TASK_FAILED: &str = "Task is being killed and will not recover";

/// What a worker runs.
pub struct Worker<'a> {
    /// The broker.
    pub bootstrap: &'a str,
    /// Folders whose folders are plugins: the connector, and converters that are no part of Kafka.
    pub plugins: &'a [PathBuf],
    /// Options of the JVM.
    pub java_options: &'a [&'a str],
    /// Name and configuration of the connector, as the REST interface takes them.
    pub connector: &'a Value,
}

/// A running worker; killed on drop.
pub struct RunningWorker {
    /// The JVM.
    pub process: Process,
    log: PathBuf,
}

impl Worker<'_> {
    /// Starts it with its files in `dir`: the connector in `connector.json`, offsets of sources, the log.
    ///
    /// # Errors
    /// Java or the jars of Kafka are missing, or a file cannot be written.
    pub fn start(&self, dir: &Path) -> Result<RunningWorker> {
        let plugins: Vec<String> = self.plugins.iter().map(|folder| folder.display().to_string()).collect();
        let properties = format!(
            "bootstrap.servers={}\nkey.converter=org.apache.kafka.connect.json.JsonConverter\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\noffset.storage.file.filename={}\n\
             offset.flush.interval.ms=1000\nplugin.path={}\nlisteners=http://127.0.0.1:{}\n\
             connector.client.config.override.policy=All\n",
            self.bootstrap,
            dir.join("offsets").display(),
            plugins.join(","),
            ports::free()
        );
        let log = dir.join("log");
        fs::write(dir.join("worker.properties"), properties)
            .context("cannot write the worker's properties")?;
        fs::write(dir.join("connector.json"), self.connector.to_string())
            .context("cannot write the connector's configuration")?;
        let file = File::create(&log).context("cannot create the worker's log")?;
        let mut command = install::java(self.java_options)?;
        command.arg("org.apache.kafka.connect.cli.ConnectStandalone");
        command.arg(dir.join("worker.properties")).arg(dir.join("connector.json"));
        command.stdout(file.try_clone()?).stderr(file);
        Ok(RunningWorker { process: Process::spawn(&mut command, Ending::Kill)?, log })
    }
}

impl RunningWorker {
    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        output::tail(&self.log, 60)
    }

    /// A task has failed, or the worker has ended.
    pub fn has_failed(&self) -> bool {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        self.process.ended().is_some() || log.contains(TASK_FAILED)
    }
}

/// The version of Debezium's JDBC sink in `tests/connect/pom.xml`.
pub fn debezium_version() -> &'static str {
    let (_, rest) = POM.split_once("<debezium.version>").expect("the pom names the version");
    rest.split_once('<').expect("the element is closed").0
}

/// A folder of plugins with Debezium's JDBC sink, whose jars Maven fetches once into the target directory.
///
/// # Errors
/// Maven is missing, or cannot reach a repository.
pub fn debezium() -> Result<PathBuf> {
    let plugins =
        paths::target_dir().join("connect-plugins").join(format!("debezium-{}", debezium_version()));
    let libs = plugins.join("debezium-jdbc");
    if libs.is_dir() {
        return Ok(plugins);
    }
    let partial = plugins.join("partial");
    let output = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        // What the worker has: two copies of Jackson do not know each other's modules.
        .arg("-DexcludeGroupIds=org.apache.kafka,com.fasterxml.jackson.core,org.slf4j")
        .args(["-DexcludeArtifactIds=jackson-datatype-jdk8,jackson-module-blackbird", "-f"])
        .arg(paths::workspace("tests/connect/pom.xml"))
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .output()
        .context("cannot run mvn: `tests/setup.sh` installs it")?;
    ensure!(
        output.status.success(),
        "mvn could not fetch Debezium's JDBC sink:\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    // A rename, so that the folder is always complete.
    fs::rename(&partial, &libs).context("cannot move the jars into place")?;
    Ok(plugins)
}
