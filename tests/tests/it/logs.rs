//! docs/logs.md lists what the sink logs: every line of a run is in its section, and every line there is logged.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{KafkaOptions, PostgresOptions, Record, World, paths, wait};

const PATIENCE: Duration = Duration::from_secs(90);
const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY, n int)";

/// A line that the document has.
#[derive(Debug)]
struct Documented {
    level: String,
    /// `…` stands for any text.
    message: String,
    fields: BTreeSet<String>,
    sometimes: bool,
}

impl Documented {
    fn section(title: &str) -> Vec<Self> {
        let text = fs::read_to_string(paths::workspace("docs/logs.md")).unwrap();
        let (_, section) = text.split_once(&format!("\n## {title}\n")).expect(title);
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| line"));
        rows.map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let (level, message) = cells[0].split_once(' ').expect(row);
            let fields = cells[1].split(", ").filter(|field| !field.is_empty()).map(str::to_owned).collect();
            Self {
                level: level.to_owned(),
                message: message.trim_matches('`').to_owned(),
                fields,
                sometimes: cells[2].starts_with("*sometimes*"),
            }
        })
        .collect()
    }

    fn is(&self, line: &Value) -> bool {
        let fields: BTreeSet<String> = line.as_object().unwrap().keys().cloned().collect();
        let own = ["timestamp", "level", "message", "target"];
        let fields: BTreeSet<String> = fields.into_iter().filter(|name| !own.contains(&&**name)).collect();
        line["level"] == *self.level
            && self.fields == fields
            && fits(&self.message, line["message"].as_str().unwrap_or_default())
    }
}

/// Whether a text is a pattern's, in which `…` is any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

/// The log of a run is that of a section: no other line, and each of its lines.
#[track_caller]
fn assert_documented(title: &str, stderr: &str) {
    let documented = Documented::section(title);
    let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let unknown: Vec<_> =
        lines.iter().filter(|line| !documented.iter().any(|known| known.is(line))).collect();
    assert!(unknown.is_empty(), "docs/logs.md, {title}, has no {unknown:#?}");
    for known in documented.iter().filter(|known| !known.sometimes) {
        assert!(lines.iter().any(|line| known.is(line)), "{title}: {known:?} was not logged:\n{stderr}");
    }
}

/// A sink that has written 100 records.
fn flowing(world: World<'static>) -> (World<'static>, tests::Sink) {
    let world = world.upsert("id").set("log.format", "json");
    produce(&world, 0..100);
    let sink = world.sink();
    world.wait_rows(PATIENCE, 100);
    sink.wait_ready(PATIENCE);
    (world, sink)
}

fn produce(world: &World<'_>, ids: std::ops::Range<i32>) {
    world.produce(ids.map(|id| Record::json(&json!({"id": id, "n": id}))));
}

/// Ends the sink, whose log is that of this section after the lines of a healthy start.
#[track_caller]
fn ends_with(title: &str, sink: &tests::Sink, start: usize) {
    sink.sigterm();
    let ended = sink.wait(PATIENCE).expect_code(0);
    let lines: Vec<&str> = ended.stderr.lines().skip(start).filter(|line| !is_healthy(line)).collect();
    assert_documented(title, &lines.join("\n"));
}

fn is_healthy(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).expect(line);
    Documented::section("A healthy day").iter().any(|known| known.is(&line))
}

#[test]
fn a_healthy_day() {
    let (world, sink) = flowing(World::new("logs").partitions(2).table(DDL));
    // A second member comes and goes.
    let second = world.sink();
    second.wait_metric(PATIENCE, "sink_partitions_assigned", |partitions| partitions == 1.0);
    second.sigterm();
    second.wait(PATIENCE).expect_code(0);
    sink.wait_metric(PATIENCE, "sink_partitions_assigned", |partitions| partitions == 2.0);
    // A minute with records.
    produce(&world, 100..200);
    let minute = || sink.stderr().contains("written in the last minute");
    wait::until(PATIENCE, "the line of the minute", minute);
    sink.sigterm();
    let ended = sink.wait(PATIENCE).expect_code(0);
    assert_documented("A healthy day", &ended.stderr);
    assert!(!ended.stderr.contains("WARN") && ended.stderr.lines().count() < 20, "{}", ended.stderr);
}

#[test]
fn postgresql_unreachable() {
    let world = World::new("logs").private_postgres(PostgresOptions::default()).table(DDL);
    let (world, sink) = flowing(world);
    world.postgres.stop_fast();
    sink.wait_not_ready(PATIENCE, &["postgres"]);
    produce(&world, 100..200);
    sink.wait_not_ready(PATIENCE, &["writer"]);
    world.postgres.start_again();
    world.wait_rows(PATIENCE, 200);
    sink.wait_ready(PATIENCE);
    ends_with("PostgreSQL is unreachable", &sink, 0);
}

#[test]
fn kafka_unreachable() {
    let (world, sink) = flowing(World::new("logs").private_kafka(KafkaOptions::default()).table(DDL));
    world.kafka.kill();
    sink.wait_not_ready(PATIENCE, &["kafka", "failed"]);
    world.kafka.restart();
    produce(&world, 100..200);
    world.wait_rows(PATIENCE, 200);
    sink.wait_ready(PATIENCE);
    ends_with("Kafka is unreachable", &sink, 0);
}

#[test]
fn a_table_that_cannot_be_written() {
    let (world, sink) = flowing(World::new("logs").table(DDL));
    let hold = world.lock_table();
    produce(&world, 100..200);
    sink.wait_not_ready(PATIENCE, &["is locked by process"]);
    hold.release();
    world.wait_rows(PATIENCE, 200);
    sink.wait_ready(PATIENCE);
    world.execute("ALTER TABLE t RENAME TO elsewhere");
    produce(&world, 200..300);
    sink.wait_not_ready(PATIENCE, &["does not exist"]);
    world.execute("ALTER TABLE elsewhere RENAME TO t");
    world.wait_rows(PATIENCE, 300);
    sink.wait_ready(PATIENCE);
    ends_with("A table cannot be written", &sink, 0);
}

#[test]
fn records_that_are_rejected() {
    let (world, sink) = flowing(World::new("logs").table(DDL));
    world.execute("ALTER TABLE t ADD CHECK (n < 1000)");
    let bad = |id: i32, n: Value| Record::json(&json!({"id": id, "n": n}));
    world.produce((200..220).map(|id| bad(id, json!("text"))).chain([bad(300, json!(1000))]));
    produce(&world, 400..500);
    world.wait_rows(PATIENCE, 200);
    assert_eq!(world.dead_letters(), 21);
    ends_with("Records are rejected", &sink, 0);
}

#[test]
fn a_partition_that_stops() {
    let (world, sink) = flowing(World::new("logs").partitions(2).table(DDL));
    sink.sigterm();
    sink.wait(PATIENCE).expect_code(0);
    world.execute("DELETE FROM sink_offsets WHERE partition = 1");
    let sink = world.sink();
    wait::until(PATIENCE, "it stops", || sink.stderr().contains("partition stopped"));
    ends_with("A partition stops", &sink, 0);
}
