//! Outputs that cannot be written: a closed pipe, a full disk.

use std::fs::File;
use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Record, World};

const LONG: Duration = Duration::from_secs(120);
/// What a pipe holds.
const PIPE_BYTES: usize = 1 << 16;

struct Stage {
    world: World<'static>,
    variables: Vec<(&'static str, String)>,
}

impl Stage {
    /// A topic with ten good records and ten that are rejected, all consumed.
    fn new(name: &str) -> Self {
        let world = World::new(name)
            .table("CREATE TABLE t (id int PRIMARY KEY)")
            .upsert("id")
            .set("errors.breaker_ratio", 1.0);
        let records = (0..20).map(|id| if id < 10 { json!({"id": id}) } else { json!({"id": "x"}) });
        let finished = world.drain(records.map(|record| Record::json(&record)));
        assert_eq!(finished.count("dead_letters"), 10);
        let config = &world.config;
        let variables = vec![
            ("SINK__NAME", config.connector().to_owned()),
            ("SINK__KAFKA__BOOTSTRAP_SERVERS", world.kafka.bootstrap()),
            ("SINK__KAFKA__TOPICS", world.topic().to_owned()),
            ("SINK__KAFKA__GROUP_ID", config.group_id().to_owned()),
            ("SINK__POSTGRES__URL", world.url.clone()),
            ("SINK__SINK__TABLE", "t".to_owned()),
            ("SINK__SINK__PK_FIELDS", "id".to_owned()),
            ("SINK__HTTP__LISTEN", format!("127.0.0.1:{}", tests::ports::free())),
        ];
        Self { world, variables }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(tests::paths::binary("sink-connector", "SINK_BIN"));
        command.args(args).current_dir(tests::paths::workspace("")).envs(self.variables.clone());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The exit code of a command whose standard output is a pipe without a reader, and what it wrote on standard error.
    fn with_closed_pipe(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (child.wait().unwrap().code(), stderr)
    }
}

#[test]
fn a_closed_pipe_ends_no_command_and_undoes_nothing() {
    let stage = Stage::new("closed_pipe");
    let topic = stage.world.topic();
    for args in [
        &["check"] as &[&str],
        &["config"],
        &["reference"],
        &["--help"],
        &["infer-ddl", "--topic", topic],
        &["offsets", "show"],
        &["offsets", "reset", "--to-earliest"],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--output", "json"],
        &["run", "--until-end", "--summary", "json"],
        &["offsets", "reset", "--to-earliest", "--execute"],
        &["dead-letters", "discard", "--execute"],
    ] {
        let (code, stderr) = stage.with_closed_pipe(args);
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    }
    assert_eq!((stage.world.position(), stage.world.dead_letters()), (0, 0));
}

#[test]
fn a_full_disk_under_standard_output_is_an_error() {
    let stage = Stage::new("full_stdout");
    for args in [&["config"] as &[&str], &["offsets", "show"], &["dead-letters", "list"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = stage.command(args).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains("cannot write to standard output"), "{args:?}: {stderr}");
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing_and_is_counted() {
    let stage = Stage::new("full_log");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = stage.command(&["run"]).stderr(full).spawn().unwrap();
    stage.world.produce_json((100..110).map(|id| json!({"id": id})));
    stage.world.wait_rows(LONG, 20);
    let http = stage.variables.iter().find(|(name, _)| *name == "SINK__HTTP__LISTEN").unwrap().1.clone();
    let (_, metrics) = tests::http::get(&http, "/metrics").unwrap();
    let lost = tests::Metrics::parse(&metrics).unwrap().sum("sink_log_lines_lost_total");
    assert!(lost >= 2.0, "{lost} lines lost");
    tests::signals::send(i32::try_from(child.id()).unwrap(), tests::signals::Signal::Term);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let stage = Stage::new("unread_log");
    // A pipe that stays open and is full before the first line.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; PIPE_BYTES]).unwrap();
    let mut child = stage.command(&["run"]).env("RUST_LOG", "debug").stderr(writer).spawn().unwrap();
    for rows in [20, 30, 40] {
        stage.world.produce_json((rows - 10..rows).map(|id| json!({"id": id})));
        stage.world.wait_rows(LONG, rows);
    }
    let http = stage.variables.iter().find(|(name, _)| *name == "SINK__HTTP__LISTEN").unwrap().1.clone();
    assert_eq!(tests::http::get(&http, "/livez").unwrap().0, 200);
    let asked = Instant::now();
    tests::signals::send(i32::try_from(child.id()).unwrap(), tests::signals::Signal::Term);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "it ended after {:?}", asked.elapsed());
    drop(reader);
}
