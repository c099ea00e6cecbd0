//! Every end of a run leaves the consumer group: the next run need not wait until a session times out.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::json;
use tests::{Kafka, World};

const LONG: Duration = Duration::from_secs(120);
/// Below the session timeout of 15 s.
const SOON: Duration = Duration::from_secs(10);

fn members(kafka: &Kafka, group: &str) -> usize {
    let client: BaseConsumer = kafka.client().create().expect("a client");
    // Just after a broker's start its group coordinator is still loading.
    let groups = tests::wait::until_ok(LONG, "the group", || client.fetch_group_list(Some(group), LONG));
    groups.groups().iter().map(|group| group.members().len()).sum()
}

/// Ten records, and their table.
fn world(name: &str) -> World<'static> {
    let world = World::new(name).table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.produce_json((0..10).map(|id| json!({"id": id})));
    world
}

#[track_caller]
pub(crate) fn assert_members(world: &World<'_>, expected: usize) {
    let count = || members(&world.kafka, world.config.group_id());
    tests::wait::holds(SOON, "members of the group", count, |members| *members == expected);
}

#[test]
fn a_run_without_a_partition_leaves() {
    let world = world("no_partition");
    let service = world.sink();
    service.wait_metric(LONG, "sink_rows_written_total", |rows| rows == 10.0);
    for args in [&["run", "--max-records", "5", "--deadline", "3s"] as &[&str], &["run", "--until-end"]] {
        let output = world.config.finish(&[args, &["--summary", "text"]].concat(), LONG);
        let why = "problem: group: no partition was assigned: other members of the group have them all";
        assert_eq!(output.stdout.contains(why), output.code == Some(5), "{}", output.stdout);
        assert_members(&world, 1);
    }
    let waiting = world.sink();
    assert_members(&world, 2);
    waiting.sigint();
    waiting.wait(LONG).expect_code(0);
    assert_members(&world, 1);
    service.sigterm();
    service.wait(LONG).expect_code(0);
    assert_members(&world, 0);
}

#[test]
fn a_signal_at_any_moment_of_the_start_leaves() {
    let world = world("interrupted");
    for after_ms in [10, 40, 80, 120, 160, 240, 320, 500, 700, 1000] {
        let sink = world.sink();
        tests::wait::let_pass(Duration::from_millis(after_ms));
        // Not SIGINT, which a test that runs in the background inherits as ignored.
        sink.sigterm();
        let output = sink.wait(LONG);
        // Before its signal handlers, the process ends by the signal; it has not joined then.
        assert!(matches!(output.code, Some(0) | None), "{:?}: {}", output.code, output.stderr);
        assert_members(&world, 0);
    }
}

#[test]
fn a_run_whose_topic_is_deleted_while_it_joins_leaves() {
    for (n, after_ms) in [20, 100, 200, 300, 400, 500, 700, 1000].into_iter().enumerate() {
        let world = world(&format!("deleted_{n}"));
        let sink = world.sink();
        tests::wait::let_pass(Duration::from_millis(after_ms));
        world.kafka.delete_topic(world.topic());
        tests::wait::let_pass(Duration::from_millis(after_ms));
        sink.sigterm();
        let output = sink.wait(LONG);
        assert!(matches!(output.code, Some(0) | None), "{:?}: {}", output.code, output.stderr);
        assert_members(&world, 0);
    }
}

#[test]
fn the_partitions_of_a_killed_sink_are_free_after_fifteen_seconds() {
    let world = world("killed");
    let first = world.sink();
    world.wait_rows(LONG, 10);
    let since = Instant::now();
    first.sigkill();
    first.wait(LONG);
    world.produce_json([json!({"id": 10})]);
    let second = world.sink();
    world.wait_rows(LONG, 11);
    // With the library's default it is 45 s.
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}\n{}", since.elapsed(), second.log_tail());
    second.stop(LONG);
}
