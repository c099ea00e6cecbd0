//! The jars of Apache Kafka, fetched once into the target directory.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::paths;

const POM: &str = include_str!("../../kafka/pom.xml");

/// The version in `tests/kafka/pom.xml`.
pub fn version() -> &'static str {
    let (_, rest) = POM.split_once("<kafka.version>").expect("the pom names the version");
    rest.split_once('<').expect("the element is closed").0
}

/// The class path of the broker and its tools: `target/kafka/<version>/libs/*`, filled by Maven when it is missing.
/// The environment variable KAFKA_LIBS names another folder.
///
/// # Errors
/// Java or Maven is missing, or Maven cannot reach a repository.
pub fn class_path() -> Result<String> {
    let libs = match env::var_os("KAFKA_LIBS") {
        Some(libs) => PathBuf::from(libs),
        None => installed()?,
    };
    Ok(format!("{}/*", libs.display()))
}

fn installed() -> Result<PathBuf> {
    let home = paths::target_dir().join("kafka").join(version());
    let libs = home.join("libs");
    if libs.is_dir() {
        return Ok(libs);
    }
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    // Test processes that start together wait here for the first of them.
    let lock = File::create(home.join("lock")).context("cannot create the lock of the Kafka folder")?;
    lock.lock().context("cannot lock the Kafka folder")?;
    if libs.is_dir() {
        return Ok(libs);
    }
    let partial = home.join("partial");
    let _ = fs::remove_dir_all(&partial);
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(paths::workspace("tests/kafka/pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .output()
        .context("cannot run mvn: `tests/setup.sh` installs it")?;
    ensure!(
        output.status.success(),
        "mvn could not fetch Apache Kafka {}:\n{}",
        version(),
        String::from_utf8_lossy(&output.stdout)
    );
    // A rename, so that a folder called libs is always complete.
    fs::rename(&partial, &libs).context("cannot move the Kafka jars into place")?;
    Ok(libs)
}

/// A `java` command with Kafka on its class path.
///
/// # Errors
/// See [`class_path`].
pub fn java(options: &[&str]) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(options).arg("-cp").arg(class_path()?);
    Ok(command)
}

/// Runs one of Kafka's own tools to its end and returns what it printed on stdout.
///
/// # Errors
/// The tool failed; its output is in the error.
pub fn tool(class: &str, args: &[&str]) -> Result<String> {
    let output = java(&[
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    ])?
    .arg(class)
    .args(args)
    .output()
    .context("cannot run java: `tests/setup.sh` installs it")?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{class} {args:?} failed:\n{stdout}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}
