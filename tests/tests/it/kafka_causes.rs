//! Why Kafka does not answer, with the address: also where only a part of a cluster is unreachable, or frozen.

use std::time::Duration;

use serde_json::json;
use tests::{KafkaOptions, Sink, World, ports, wait};

const LONG: Duration = Duration::from_secs(120);

/// A cluster whose only broker answers at its first address, and sends clients of the second listener to a port
/// where nobody listens.
fn misadvertised() -> (World<'static>, u16, u16) {
    let [port, second, closed] = [(); 3].map(|()| ports::free());
    let advertised = format!("PLAINTEXT://127.0.0.1:{port},SECOND://127.0.0.1:{closed}");
    let options = KafkaOptions { port: Some(port), ..KafkaOptions::default() }
        .listener("SECOND", second, "PLAINTEXT")
        .property("advertised.listeners", &advertised);
    let world = World::new("misadvertised")
        .private_kafka(options)
        .table("CREATE TABLE t (id int PRIMARY KEY)")
        .upsert("id")
        .set("kafka.bootstrap_servers", format!("127.0.0.1:{second}"));
    (world, second, closed)
}

fn cpu_in_40_seconds(sink: &Sink) -> f64 {
    let before = sink.cpu_seconds();
    wait::let_pass(Duration::from_secs(40));
    sink.cpu_seconds() - before
}

#[test]
fn an_advertised_address_where_nobody_listens_is_named_at_little_cost() {
    let (world, _, closed) = misadvertised();
    world.produce_json([json!({"id": 1})]);
    let refused = format!("127.0.0.1:{closed} failed: Connection refused");
    let pattern = format!("^{}$", world.topic().replace('.', "\\."));
    let by_pattern = world.config.clone().name("by_pattern").group("by_pattern");
    let by_pattern = by_pattern.set("kafka.topics", Vec::<String>::new()).set("kafka.topics_regex", pattern);
    let sinks = [world.sink(), by_pattern.run()];
    for sink in &sinks {
        sink.wait_not_ready(LONG, &[&refused]);
    }
    let check = world.config.finish(&["check"], LONG).expect_code(1);
    assert!(check.stdout.contains(&refused), "{}", check.stdout);
    let [first, second] = &sinks;
    let others = second.cpu_seconds();
    let used = cpu_in_40_seconds(first);
    assert!(used < 1.0, "{used} s of CPU in 40 s");
    let others = second.cpu_seconds() - others;
    assert!(others < 1.0, "{others} s of CPU in 40 s by a pattern");
    for sink in sinks {
        let log = sink.stderr();
        assert!(log.lines().count() <= 16, "{log}");
        sink.sigterm();
        sink.wait(LONG).expect_code(0);
    }
}

#[test]
fn a_frozen_broker_is_named_and_not_blamed_for_an_older_error() {
    let builder = World::new("frozen_broker").private_kafka(KafkaOptions::default());
    let world = builder.table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.produce_json((0..10).map(|id| json!({"id": id})));
    let sink = world.sink();
    world.wait_rows(LONG, 10);
    sink.wait_ready(LONG);
    world.kafka.kill();
    // The error that must not be named later.
    wait::until(LONG, "the client notices", || sink.stderr().contains("Connection refused"));
    world.kafka.restart();
    world.produce_json((10..20).map(|id| json!({"id": id})));
    world.wait_rows(LONG, 20);
    sink.wait_ready(LONG);
    world.kafka.pause();
    let body = sink.wait_not_ready(LONG, &["kafka", "no answer from", &world.kafka.bootstrap()]);
    assert!(!body.contains("refused"), "{body}");
    world.kafka.resume();
    sink.wait_ready(LONG);
    world.produce_json((20..30).map(|id| json!({"id": id})));
    world.wait_rows(LONG, 30);
    sink.stop(LONG).expect_code(0);
}

#[test]
fn a_port_of_another_service_is_named_as_such() {
    let world = World::new("no_broker").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    let address = format!("127.0.0.1:{}", world.postgres.port());
    let config = world.config.clone().set("kafka.bootstrap_servers", address.clone());
    let cause = format!("{address}: what answers is no broker");
    let check = config.finish(&["check"], LONG).expect_code(1);
    assert!(check.stdout.contains(&cause), "{}", check.stdout);
    let sink = config.run();
    let body = sink.wait_not_ready(LONG, &[&cause]);
    assert!(!body.contains("receive.message.max.bytes"), "{body}");
}
