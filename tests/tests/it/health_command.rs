//! `health` in both binaries: the exit code of /readyz, for images without a shell.

use std::time::Duration;

use serde_json::json;
use tests::{ProducerConfig, Record, Services, World, ports};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_exit_code_of_health_is_whether_the_sink_is_ready() {
    let services = Services::private();
    let port = ports::free();
    let world = World::new("health")
        .kafka(&services.kafka)
        .postgres(&services.postgres)
        .table("CREATE TABLE t (id int PRIMARY KEY)")
        .upsert("id")
        .set("http.listen", format!("0.0.0.0:{port}"));
    let health = |args: &[&str]| world.config.finish(&[&["health"], args].concat(), LONG);
    let nobody = health(&[]).expect_code(1);
    for words in [&format!("http://127.0.0.1:{port}/readyz") as &str, "refused", "is it running"] {
        assert!(nobody.stderr.contains(words), "{words}: {}", nobody.stderr);
    }

    world.produce([Record::json(&json!({"id": 1}))]);
    let sink = world.config.run();
    world.wait_rows(LONG, 1);
    tests::wait::holds(LONG, "health", || health(&[]), |output| output.code == Some(0));
    health(&["--live"]).expect_code(0);

    services.postgres.kill();
    let waits = tests::wait::holds(LONG, "health", || health(&[]), |output| output.code == Some(1));
    assert!(waits.stderr.contains("/readyz answers 503: {"), "{}", waits.stderr);
    assert!(waits.stderr.contains("reason"), "{}", waits.stderr);
    health(&["--live"]).expect_code(0);
    services.postgres.start_again();
    tests::wait::holds(LONG, "health", || health(&[]), |output| output.code == Some(0));
    drop(sink);
}

#[test]
fn health_needs_the_address_only() {
    let port = ports::free();
    let listen = format!("127.0.0.1:{port}");
    let world = World::new("health").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    let world = world.set("http.listen", listen.clone());
    let sink = world.sink();
    sink.wait_ready(LONG);
    // The sink's file is elsewhere; only the variable is the same.
    let config = tests::SinkConfig::new("127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/x")
        .topic("other")
        .set("http.listen", "127.0.0.1:1")
        .env("SINK__HTTP__LISTEN", &listen);
    config.finish(&["health"], LONG).expect_code(0);
    config.finish(&["health", "--alive"], LONG).expect_code(2);
}

#[test]
fn the_producer_has_it_as_well() {
    let kafka = &Services::shared().kafka;
    let config = ProducerConfig::new(kafka.bootstrap(), &kafka.topic("health", 1))
        .set("http.listen", format!("0.0.0.0:{}", ports::free()));
    config.finish(&["health"], LONG).expect_code(1);
    let producer = config.start(&["run"]);
    tests::wait::holds(LONG, "health", || config.finish(&["health"], LONG), |output| output.code == Some(0));
    config.finish(&["health", "--live"], LONG).expect_code(0);
    producer.stop(LONG);
}

#[test]
fn off_serves_nothing_and_the_run_goes_on() {
    let world =
        World::new("off").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id").set("http.listen", "off");
    let run = world.drain([Record::json(&json!({"id": 1}))]);
    assert_eq!(world.rows(), 1);
    assert!(run.stderr.contains("http=off"), "{}", run.stderr);
    let health = world.config.finish(&["health"], LONG).expect_code(2);
    assert!(health.stderr.contains("http.listen is off"), "{}", health.stderr);
}
