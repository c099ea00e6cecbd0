//! Every exit code leaves the consumer group, and a topic that is deleted under three members costs few lines.

use std::time::Duration;

use serde_json::json;
use tests::{Record, World, ports, wait};

use crate::leaving_the_group::assert_members;

const LONG: Duration = Duration::from_secs(120);
/// Below the session timeout of 15 s.
const SOON: Duration = Duration::from_secs(10);

/// Ten records, of which every second is rejected, and their table.
fn world(name: &str) -> World<'static> {
    let world = World::new(name).table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.produce(
        (0..10).map(|id| Record::json(&if id % 2 == 0 { json!({"id": id}) } else { json!({"id": "x"}) })),
    );
    world
}

#[test]
fn each_exit_code_of_a_run_leaves() {
    let closed = format!("postgresql://postgres@127.0.0.1:{}/x", ports::free());
    let until_end: &[&str] = &["run", "--until-end"];
    let breaker =
        [("errors.breaker_ratio", toml::Value::from(0.1)), ("errors.breaker_window_records", 10.into())];
    for (code, args, settings) in [
        (0, until_end, &[("errors.breaker_ratio", toml::Value::from(1.0))] as &[(&str, toml::Value)]),
        (3, &["run", "--until-end", "--fail-on-dead-letters"], &[("errors.breaker_ratio", 1.0.into())]),
        (4, until_end, &[("errors.tolerance", "none".into())]),
        (4, until_end, &breaker),
        (5, &["run", "--until-end", "--deadline", "4s"], &[("postgres.url", closed.as_str().into())]),
    ] {
        let world = world("exit_codes");
        let config =
            settings.iter().fold(world.config.clone(), |config, (key, value)| config.set(key, value.clone()));
        let output = config.finish(args, LONG).expect_code(code);
        let left = std::time::Instant::now();
        assert_members(&world, 0);
        assert!(left.elapsed() < SOON, "{code}: {}", output.stderr);
    }
}

#[test]
fn a_topic_deleted_under_a_service_and_two_runs_has_few_lines_and_no_member_stays() {
    let world = world("deleted_under_three").set("errors.breaker_ratio", 1.0);
    let service = world.sink();
    service.wait_metric(LONG, "sink_records_consumed_total", |records| records == 10.0);
    let runs = [(); 2].map(|()| world.config.start(&["run", "--until-end", "--idle-timeout", "60s"]));
    wait::let_pass(Duration::from_millis(300));
    world.kafka.delete_topic(world.topic());
    service.wait_not_ready(LONG, &["does not exist"]);
    wait::let_pass(Duration::from_secs(10));
    for sink in runs.iter().chain([&service]) {
        let lines = sink.stderr().lines().count();
        assert!(lines <= 25, "{lines} lines: {}", sink.stderr());
        sink.sigterm();
    }
    for sink in runs.into_iter().chain([service]) {
        let output = sink.wait(LONG);
        assert!(output.code.is_some(), "{}", output.stderr);
    }
    assert_members(&world, 0);
}
