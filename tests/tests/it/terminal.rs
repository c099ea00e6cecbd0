//! On a terminal a bounded run shows a progress bar and ends with a summary for people; in a pipe nothing of it appears.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;
use tests::scratch::Scratch;
use tests::{Record, World, paths};

const DEADLINE: Duration = Duration::from_secs(60);
const RECORDS: i32 = 60_000;

fn world() -> World<'static> {
    let world =
        World::new("terminal").partitions(2).table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.produce((0..RECORDS).map(|id| Record::json(&json!({"id": id}))));
    world
}

/// Runs `sink-connector ARGS…` on a pseudo-terminal of util-linux's `script`; what the terminal got.
fn on_a_terminal(world: &World<'_>, args: &str, environment: &[(&str, &str)]) -> Output {
    let scratch = Scratch::new("terminal").unwrap();
    let file = scratch.path().join("config.toml");
    fs::write(&file, world.config.clone().set("http.listen", "off").config().to_toml()).unwrap();
    let binary = paths::binary("sink-connector", "SINK_BIN");
    let run =
        format!("stty cols 120 rows 40; exec '{}' --config '{}' {args}", binary.display(), file.display());
    Command::new("script")
        .args(["--quiet", "--return", "--command", &run, "/dev/null"])
        .envs(environment.iter().copied())
        .output()
        .expect("script of util-linux")
}

#[test]
fn a_bounded_run_on_a_terminal_shows_its_progress_and_a_summary() {
    let world = world();
    // Small batches that take a while, so that it takes long enough to be seen.
    world.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NULL; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    );
    let world = world.set("batch.max_rows", 200).set("postgres.writers", 1);
    let output = on_a_terminal(&world, "run --until-end --deadline 60s", &[("TERM", "xterm")]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert_eq!(world.rows(), i64::from(RECORDS));
    assert!(shown.contains("/60,000 records, "), "the bar has an end: {shown}");
    assert!(shown.contains(" rows/s, lag "), "{shown}");
    assert!(shown.contains("60,000 records in "), "{shown}");
    assert!(shown.contains("the end of the topics is reached."), "{shown}");
    assert!(shown.contains("rows written       60,000"), "{shown}");
    // A log line is whole, on a line of its own.
    let log = shown.lines().find(|line| line.contains("stopped_by")).expect("the log");
    // What was on the line before it was cleared.
    let log = log.rsplit("\u{1b}[2K").next().unwrap_or_default();
    assert!(log.contains("stopped") && !log.contains("rows/s"), "{log}");
    assert!(log.contains("\u{1b}[32m"), "coloured: {log:?}");
}

#[test]
fn no_color_and_logs_as_json_are_respected_on_a_terminal() {
    let world = world();
    let colours = ["\u{1b}[32m", "\u{1b}[2m", "\u{1b}[1m", "\u{1b}[3m"];
    let plain = on_a_terminal(&world, "run --until-end", &[("TERM", "xterm"), ("NO_COLOR", "1")]);
    let shown = String::from_utf8_lossy(&plain.stdout);
    assert!(plain.status.success() && shown.contains("INFO"), "{shown}");
    assert!(!colours.iter().any(|colour| shown.contains(colour)), "{shown:?}");
    let json = on_a_terminal(&world, "run --until-end", &[("TERM", "xterm"), ("SINK__LOG__FORMAT", "json")]);
    let shown = String::from_utf8_lossy(&json.stdout);
    assert!(json.status.success(), "{shown}");
    assert!(!shown.contains('\u{1b}') && shown.lines().all(|line| line.starts_with('{')), "{shown:?}");
}

#[test]
fn in_a_pipe_there_is_no_bar_and_the_text_is_printed_where_it_is_asked_for() {
    let world = world();
    let quiet = world.config.finish(&["run", "--until-end"], DEADLINE).expect_code(0);
    assert_eq!(quiet.stdout, "");
    for part in ["\u{1b}", "records, ", "60,000"] {
        assert!(!quiet.stderr.contains(part), "{part:?} in {:?}", quiet.stderr);
    }
    world.produce((0..10).map(|id| Record::json(&json!({"id": id}))));
    let asked = world.config.finish(&["run", "--until-end", "--summary", "text"], DEADLINE).expect_code(0);
    assert!(asked.stdout.starts_with("10 records in "), "{:?}", asked.stdout);
    assert!(asked.stdout.contains("]: position "), "{:?}", asked.stdout);
}
