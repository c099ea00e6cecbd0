//! `producer publish`: JSON lines become records, all of them or none, and a bad line is named.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::scratch::Scratch;
use tests::{ProducerConfig, World, paths};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_lines_of_a_file_become_records_with_keys_and_then_rows() {
    let world =
        World::new("publish").partitions(3).table("CREATE TABLE t (id text PRIMARY KEY, n numeric, k text)");
    let world = world.upsert("id").set("sink.metadata.key", "k");
    let dir = Scratch::new("publish").unwrap();
    let file = dir.path().join("rows.jsonl");
    let lines: String = (0..5000).map(|n| format!("{{\"n\": {n}.50, \"id\": \"i{n}\"}}\r\n")).collect();
    fs::write(&file, format!("\n{lines}\n{{\"id\":\"last\"}}")).unwrap();
    let producer = ProducerConfig::new(world.kafka.bootstrap(), "elsewhere");
    let topic = world.topic();
    let args = ["publish", file.to_str().unwrap(), "--topic", topic, "--key", "id"];
    let output = producer.finish(&args, LONG).expect_code(0);
    assert!(output.stderr.contains("acknowledged records=5001"), "{}", output.stderr);

    let run = world.config.until_end();
    assert_eq!((run.count("records"), run.count("rows_written")), (5001, 5001));
    let count = |sql: &str| world.client().query_one(sql, &[]).unwrap().get::<_, i64>(0);
    assert_eq!(
        count("SELECT count(*) FROM t WHERE k = id AND (n IS NULL OR n::text = substr(id, 2) || '.50')"),
        5001
    );
}

#[test]
fn a_file_with_a_bad_line_publishes_nothing_and_names_it() {
    let world = World::new("publish_bad").table("CREATE TABLE t (id int PRIMARY KEY)");
    let dir = Scratch::new("publish_bad").unwrap();
    let file = dir.path().join("rows.jsonl");
    let mut text: String = (0..3000).map(|n| format!("{{\"id\": {n}}}\n")).collect();
    text += "{\"id\": 3000\n{\"name\": \"s3cret\"}\n[1]\n{\"id\": null}\n";
    text += &format!("{{\"id\": 1, \"long\": \"{}\"}}\n", "x".repeat(1_000_000));
    fs::write(&file, text).unwrap();
    let producer = ProducerConfig::new(world.kafka.bootstrap(), world.topic());
    let args = ["publish", file.to_str().unwrap(), "--topic", world.topic(), "--key", "id"];
    let output = producer.finish(&args, LONG).expect_code(2);
    for words in [
        "nothing was published: 5 of 3005 lines of ",
        "line 3001: not JSON at column ",
        "line 3002: no field \"id\"",
        "line 3003: not an object",
        "line 3004: field \"id\", which belongs to the key, is null",
        "line 3005: longer than 1000000 bytes",
    ] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("s3cret"), "{}", output.stderr);
    assert_eq!(world.kafka.end_offsets(world.topic()).iter().sum::<i64>(), 0);

    let missing = ["publish", "/nowhere/rows.jsonl", "--topic", world.topic()];
    let output = producer.finish(&missing, LONG).expect_code(2);
    assert!(output.stderr.contains("cannot read /nowhere/rows.jsonl"), "{}", output.stderr);
}

#[test]
fn lines_of_standard_input_are_published_up_to_the_first_bad_one() {
    let world = World::new("publish_stdin").table("CREATE TABLE t (id int PRIMARY KEY)");
    let mut child = Command::new(paths::binary("producer", "PRODUCER_BIN"))
        .args(["publish", "-", "--topic", world.topic(), "--bootstrap-servers", &world.kafka.bootstrap()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"id\": 1}\n{\"id\": 2}\nx\n{\"id\": 3}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let words = "standard input, line 3: not JSON at column 1: expected value; the 2 records before it were published";
    assert!(stderr.contains(words), "{stderr}");
    assert_eq!(world.kafka.end_offsets(world.topic()).iter().sum::<i64>(), 2);
}

#[test]
fn a_topic_that_does_not_exist_is_named() {
    let world = World::new("publish_nowhere").table("CREATE TABLE t (id int PRIMARY KEY)");
    let dir = Scratch::new("publish_nowhere").unwrap();
    let file = dir.path().join("rows.jsonl");
    fs::write(&file, "{}\n").unwrap();
    let producer = ProducerConfig::new(world.kafka.bootstrap(), world.topic());
    let output = producer.finish(&["publish", file.to_str().unwrap(), "--topic", "no_topic_of_mine"], LONG);
    let output = output.expect_code(1);
    assert!(output.stderr.contains("topic \"no_topic_of_mine\" does not exist"), "{}", output.stderr);
}
