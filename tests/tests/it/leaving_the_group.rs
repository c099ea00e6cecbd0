//! Every end of a run leaves the consumer group: the next run need not wait until a session times out.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::json;
use tests::{Kafka, Record, Services, SinkConfig};

const LONG: Duration = Duration::from_secs(120);
/// Far below the session timeout of 45 s.
const SOON: Duration = Duration::from_secs(10);

fn members(kafka: &Kafka, group: &str) -> usize {
    let client: BaseConsumer = kafka.client().create().expect("a client");
    // Just after a broker's start its group coordinator is still loading.
    let groups = tests::wait::until_ok(LONG, "the group", || client.fetch_group_list(Some(group), LONG));
    groups.groups().iter().map(|group| group.members().len()).sum()
}

fn config(services: &Services, name: &str) -> (SinkConfig, String) {
    let topic = services.kafka.topic(name, 1);
    let url = services.postgres.database(name);
    let ddl = "CREATE TABLE t (id int PRIMARY KEY)";
    tests::postgres::connect(&url).batch_execute(ddl).unwrap();
    services.kafka.produce(&topic, (0..10).map(|id| Record::json(&json!({"id": id}))));
    let config =
        SinkConfig::new(services.kafka.bootstrap(), &url).topic(&topic).table("t").pk_fields(&["id"]);
    (config, topic)
}

#[track_caller]
fn assert_members(services: &Services, group: &str, expected: usize) {
    let count = || members(&services.kafka, group);
    tests::wait::holds(SOON, "members of the group", count, |members| *members == expected);
}

#[test]
fn a_run_without_a_partition_leaves() {
    let services = Services::shared();
    let (config, _) = config(services, "no_partition");
    let service = config.run();
    service.wait_metric(LONG, "sink_rows_written_total", |rows| rows == 10.0);
    for args in [&["run", "--max-records", "5", "--deadline", "3s"] as &[&str], &["run", "--until-end"]] {
        config.finish(args, LONG);
        assert_members(services, config.group_id(), 1);
    }
    let waiting = config.run();
    assert_members(services, config.group_id(), 2);
    waiting.sigint();
    waiting.wait(LONG).expect_code(0);
    assert_members(services, config.group_id(), 1);
    service.sigterm();
    service.wait(LONG).expect_code(0);
    assert_members(services, config.group_id(), 0);
}

#[test]
fn a_signal_at_any_moment_of_the_start_leaves() {
    let services = Services::shared();
    let (config, _) = config(services, "interrupted");
    for after_ms in [10, 40, 80, 120, 160, 240, 320, 500, 700, 1000] {
        let sink = config.run();
        tests::wait::let_pass(Duration::from_millis(after_ms));
        // Not SIGINT, which a test that runs in the background inherits as ignored.
        sink.sigterm();
        let output = sink.wait(LONG);
        // Before its signal handlers, the process ends by the signal; it has not joined then.
        assert!(matches!(output.code, Some(0) | None), "{:?}: {}", output.code, output.stderr);
        assert_members(services, config.group_id(), 0);
    }
}

#[test]
fn a_run_whose_topic_is_deleted_while_it_joins_leaves() {
    let services = Services::shared();
    for (n, after_ms) in [20, 100, 200, 300, 400, 500, 700, 1000].into_iter().enumerate() {
        let (config, topic) = config(services, &format!("deleted_{n}"));
        let sink = config.run();
        tests::wait::let_pass(Duration::from_millis(after_ms));
        services.kafka.delete_topic(&topic);
        tests::wait::let_pass(Duration::from_millis(after_ms));
        sink.sigterm();
        let output = sink.wait(LONG);
        assert!(matches!(output.code, Some(0) | None), "{:?}: {}", output.code, output.stderr);
        assert_members(services, config.group_id(), 0);
    }
}
