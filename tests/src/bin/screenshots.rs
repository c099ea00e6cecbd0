//! `make screenshots`: the pictures of docs/images, made of a running sink and of the demo.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::browser::{Browser, Look};
use tests::scratch::Scratch;
use tests::{ProducerConfig, Record, Services, SinkConfig, paths, terminal, wait};

/// As long as the page's history is.
const HISTORY: Duration = Duration::from_secs(75);
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let folder = paths::workspace("docs/images");
    fs::create_dir_all(&folder)?;
    page(&folder.join("page.png"))?;
    demo(&folder.join("demo.svg"))
}

/// The page of a sink that writes live scores, some of which are rejected.
fn page(file: &Path) -> Result<()> {
    let browser = Browser::installed().context("Chromium is missing")?;
    let Services { kafka, postgres } = Services::shared();
    kafka.create_topic("livescores_topic", 4, &[]);
    let sink = SinkConfig::new(kafka.bootstrap(), postgres.database("screenshot"))
        .name("ipl-livescores")
        .topic("livescores_topic")
        .table("ipl_livescores")
        .pk_fields(&["match_id"])
        .set("sink.ddl_file", "config/ipl_livescores.sql")
        .run();
    let producer = ProducerConfig::new(kafka.bootstrap(), "livescores_topic").start(&[
        "run",
        "--batch-size",
        "400",
        "--interval",
        "1s",
    ]);
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows > 0.0);
    let bad = (0..3).map(|n| Record::json(&json!({"match_id": format!("m{n}"), "season": [n, n]})));
    kafka.produce("livescores_topic", bad.chain([Record::new("not JSON").partition(2)]));
    sink.wait_metric(PATIENCE, "sink_dead_letters_total", |records| records >= 1.0);
    wait::let_pass(HISTORY);
    browser.screenshot(
        &format!("http://{}/", sink.http()),
        Look { size: (1100, 1180), dark: false },
        file,
    )?;
    producer.sigterm();
    producer.wait(PATIENCE);
    println!("{}", file.display());
    Ok(())
}

/// What `make demo` prints, as it looks on a terminal.
fn demo(file: &Path) -> Result<()> {
    let workspace = paths::workspace("");
    let own = std::env::current_exe()?;
    let binaries = own.parent().context("a folder")?;
    // As a reader would write it, if it is inside of the workspace.
    let binaries = binaries.strip_prefix(workspace.canonicalize()?).unwrap_or(binaries).to_owned();
    let scratch = Scratch::new("demo")?;
    let printed = scratch.path().join("printed");
    let output = File::create(&printed)?;
    // Into a file: the services, which outlive the demo, would keep a pipe open.
    let status = Command::new("tests/demo.sh")
        .envs([("DEMO", OsStr::new("local")), ("BIN", binaries.as_os_str())])
        .current_dir(&workspace)
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()?;
    let printed = fs::read_to_string(printed)?;
    ensure!(status.success(), "the demo failed:\n{printed}");
    let down = Command::new("tests/down.sh").env("BIN", &binaries).current_dir(&workspace).status()?;
    ensure!(down.success(), "tests/down.sh failed");
    fs::write(file, terminal::svg(&printed))?;
    println!("{}", file.display());
    Ok(())
}
