//! The summary of a run is the last line of its output, however the run ends, and says why.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Output, Record, World};

const MINUTE: Duration = Duration::from_secs(60);
const BOUNDED: [&str; 6] = ["run", "--until-end", "--deadline", "50s", "--summary", "json"];

/// The last line of standard output.
fn last_line(output: &Output) -> Value {
    serde_json::from_str(output.stdout.lines().last().expect("a line")).expect("JSON in the last line")
}

fn reasons(summary: &Value, component: &str) -> Vec<String> {
    let problems = summary["problems"].as_array().expect("a list of problems").iter();
    let of_component = problems.filter(|problem| problem["component"] == component);
    of_component.map(|problem| problem["reason"].as_str().expect("a reason").to_owned()).collect()
}

#[test]
fn a_run_that_is_done_has_no_problems_and_the_same_summary_in_the_file() {
    let world = World::new("summary").table("CREATE TABLE t (id int)").unkeyed();
    world.produce_json([json!({"id": 1}), json!({"id": 2})]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("return.json");
    let args = [&BOUNDED[..], &["--summary-file", file.to_str().unwrap()]].concat();
    let output = world.config.finish(&args, MINUTE).expect_code(0);
    let summary = last_line(&output);
    assert_eq!((&summary["records"], &summary["rows_written"]), (&json!(2), &json!(2)));
    assert_eq!((&summary["exit_code"], &summary["problems"]), (&json!(0), &json!([])));
    assert_eq!(serde_json::from_str::<Value>(&std::fs::read_to_string(&file).unwrap()).unwrap(), summary);

    // Without --summary, the file alone; one that cannot be written is a failure, although the records are.
    world.produce_json([json!({"id": 3})]);
    let alone = ["run", "--until-end", "--summary-file", "/nowhere/return.json"];
    let output = world.config.finish(&alone, MINUTE).expect_code(1);
    assert!(output.stdout.is_empty() && output.stderr.contains("/nowhere/return.json"), "{output:?}");
    assert_eq!(world.rows(), 3);
}

#[test]
fn a_configuration_error_is_in_the_summary_with_its_key() {
    let world = World::new("summary").table("").unkeyed().set("batch.max_rows", 0).set("batch.rows", 1);
    let output = world.config.finish(&BOUNDED, MINUTE).expect_code(2);
    let summary = last_line(&output);
    assert_eq!(
        (&summary["stopped_by"], &summary["exit_code"], &summary["records"]),
        (&json!("error"), &json!(2), &json!(0))
    );
    let reasons = reasons(&summary, "configuration");
    assert_eq!(reasons.len(), 2, "{summary}");
    assert!(
        reasons.iter().any(|reason| reason.starts_with("batch.max_rows: 0 is out of range")),
        "{summary}"
    );
}

#[test]
fn a_run_that_cannot_start_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let world =
        World::new("summary").table("").unkeyed().set("http.listen", taken.local_addr().unwrap().to_string());
    let output = world.config.finish(&BOUNDED, MINUTE).expect_code(1);
    let summary = last_line(&output);
    assert_eq!(
        (&summary["stopped_by"], &summary["exit_code"], &summary["records"]),
        (&json!("error"), &json!(1), &json!(0))
    );
    let port = taken.local_addr().unwrap().port().to_string();
    assert!(reasons(&summary, "run")[0].contains(&port), "{summary}");
}

#[test]
fn a_run_past_its_deadline_says_what_it_waited_for() {
    let world = World::new("summary").table("").unkeyed();
    world.produce_json([json!({"id": 1})]);
    let args = ["run", "--until-end", "--deadline", "3s", "--summary", "json"];
    let output = world.config.finish(&args, MINUTE).expect_code(5);
    let summary = last_line(&output);
    assert_eq!((&summary["stopped_by"], &summary["exit_code"]), (&json!("deadline"), &json!(5)));
    assert!(summary["problems"].to_string().contains("does not exist"), "{summary}");
}

#[test]
fn a_record_that_is_not_tolerated_is_named_by_its_place() {
    let world =
        World::new("summary").table("CREATE TABLE t (id int)").unkeyed().set("errors.tolerance", "none");
    world.produce([Record::new(r#"{"id": 1}"#), Record::new("broken")]);
    let output = world.config.finish(&BOUNDED, MINUTE).expect_code(4);
    let summary = last_line(&output);
    assert_eq!((&summary["rows_written"], &summary["exit_code"]), (&json!(1), &json!(4)));
    assert!(reasons(&summary, "error policy")[0].contains("at offset 1"), "{summary}");
}

#[test]
fn the_summary_has_the_position_of_every_partition_with_or_without_new_records() {
    let world = World::new("summary").partitions(3).table("CREATE TABLE t (id int)").unkeyed();
    world.produce((0..10).map(|id| Record::json(&json!({"id": id})).partition(0)));
    let idle = ["run", "--idle-timeout", "3s", "--deadline", "50s", "--summary", "json"];
    for args in [&BOUNDED[..], &BOUNDED[..], &idle[..]] {
        let summary = last_line(&world.config.finish(args, MINUTE).expect_code(0));
        let partitions = summary["partitions"].as_array().expect("a list").iter();
        let positions: Vec<_> =
            partitions.map(|p| (p["partition"].clone(), p["next_offset"].clone())).collect();
        assert_eq!(
            positions,
            [(json!(0), json!(10)), (json!(1), json!(0)), (json!(2), json!(0))],
            "{args:?}"
        );
    }
    assert_eq!(world.rows(), 10);
}
