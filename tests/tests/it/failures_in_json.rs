//! With `log.format = "json"` every line of standard error is JSON, the one that says why the process failed included.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Output, ProducerConfig, Services, World};

const MINUTE: Duration = Duration::from_secs(60);

/// The last line of a log in which every line is JSON.
#[track_caller]
fn last_line(output: &Output) -> Value {
    let parse =
        |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")) };
    let lines: Vec<Value> = output.stderr.lines().map(parse).collect();
    let last = lines.last().expect("a line").clone();
    assert_eq!(last["level"], "ERROR", "{}", output.stderr);
    assert!(last["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{last}");
    last
}

#[test]
fn a_sink_that_cannot_start_says_why_in_json() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let world = World::new("json_failure").table("").unkeyed().set("http.listen", address.clone());
    let json = world.config.clone().set("log.format", "json");
    // A filter that hides the log does not hide why the process failed.
    for config in [json.clone(), json.clone().env("RUST_LOG", "off")] {
        let last = last_line(&config.finish(&["run", "--until-end"], MINUTE).expect_code(1));
        assert!(last["message"].as_str().is_some_and(|why| why.contains(&address)), "{last}");
    }
    let text = world.config.finish(&["run", "--until-end"], MINUTE).expect_code(1);
    assert!(text.stderr.lines().last().is_some_and(|line| line.starts_with("error: ")), "{}", text.stderr);
    // Other commands talk to people.
    let show = json.env("SINK__POSTGRES__URL", "postgresql://postgres@127.0.0.1:1/x");
    let output = show.finish(&["dead-letters", "list"], MINUTE).expect_code(1);
    assert!(output.stderr.starts_with("error: "), "{}", output.stderr);
}

#[test]
fn a_producer_that_fails_says_why_in_json() {
    let kafka = &Services::shared().kafka;
    let config = ProducerConfig::new(kafka.bootstrap(), "no_such_topic").set("log.format", "json");
    for command in ["once", "run"] {
        let last = last_line(&config.finish(&[command], MINUTE).expect_code(1));
        assert!(last["message"].to_string().contains("no_such_topic"), "{last}");
    }
}

#[test]
fn a_record_that_is_not_tolerated_is_named_in_json() {
    let world = World::new("json_failure").table("CREATE TABLE t (id int)").unkeyed();
    let world = world.set("errors.tolerance", "none").set("log.format", "json");
    world.produce_json([json!({"id": "x"})]);
    let last = last_line(&world.config.finish(&["run", "--until-end"], MINUTE).expect_code(4));
    assert!(last["message"].to_string().contains("stopped before a rejected record"), "{last}");
}
