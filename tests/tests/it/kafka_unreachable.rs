//! Kafka that cannot be reached: the sink names the cause, logs little, uses little CPU, and goes on by itself.

use std::time::Duration;

use serde_json::json;
use tests::{KafkaOptions, Services, Sink, SinkConfig, World};

const LONG: Duration = Duration::from_secs(120);

fn reason(sink: &Sink) -> String {
    sink.get("/readyz").map(|(_, body)| body).unwrap_or_default()
}

fn log_lines(sink: &Sink) -> usize {
    sink.stderr().lines().count()
}

#[test]
fn a_sink_whose_broker_dies_waits_quietly_and_goes_on() {
    let builder = World::new("unreachable").partitions(4).private_kafka(KafkaOptions::default());
    let world = builder.table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    let produce = |ids: std::ops::Range<i32>| world.produce_json(ids.map(|id| json!({"id": id})));
    produce(0..100);
    let sink = world.sink();
    sink.wait_metric(LONG, "sink_rows_written_total", |rows| rows == 100.0);
    sink.wait_ready(LONG);
    assert!(!sink.stderr().contains("WARN"), "a healthy start: {}", sink.stderr());
    let lines = log_lines(&sink);

    world.kafka.kill();
    let refused = format!("127.0.0.1:{} failed: Connection refused", world.kafka.port());
    tests::wait::holds(LONG, "/readyz names the cause", || reason(&sink), |reason| reason.contains(&refused));
    let before = sink.cpu_seconds();
    tests::wait::let_pass(Duration::from_secs(40));
    let used = sink.cpu_seconds() - before;
    assert!(used < 1.0, "{used} s of CPU in 40 s");
    assert!(sink.get("/livez").is_ok_and(|(status, _)| status == 200));
    let logged = log_lines(&sink) - lines;
    assert!(logged <= 10, "{logged} lines:\n{}", sink.stderr());

    world.kafka.restart();
    produce(100..200);
    sink.wait_metric(LONG, "sink_rows_written_total", |rows| rows == 200.0);
    sink.wait_ready(LONG);
    assert!(sink.stderr().contains("recovered component=\"kafka\""), "{}", sink.stderr());
    sink.sigterm();
    sink.wait(LONG).expect_code(0);
}

#[test]
fn the_cause_is_named_and_logged_once() {
    let services = Services::shared();
    let url = services.postgres.database("unreachable_cause");
    let free = format!("127.0.0.1:{}", tests::ports::free());
    let broker = services.kafka.bootstrap();
    let config = |address: &str| SinkConfig::new(address, &url).topic("t").table("t").pk_fields(&["id"]);
    let login = config(&broker)
        .property("security.protocol", "SASL_PLAINTEXT")
        .property("sasl.mechanism", "PLAIN")
        .property("sasl.username", "u")
        .property("sasl.password", "canary");
    let configs = [
        (config(&free), "Connection refused"),
        (config("no-such-host.invalid:9092"), "Failed to resolve 'no-such-host.invalid:9092'"),
        (config(&broker).property("security.protocol", "SSL"), "SSL handshake failed"),
        (login, "SASL"),
    ];
    // Also where the topics have to be found first.
    let by_pattern = |config: &SinkConfig| {
        config.clone().set("kafka.topics", Vec::<String>::new()).set("kafka.topics_regex", "^t.*")
    };
    let with_patterns = configs.iter().map(|(config, expected)| (by_pattern(config).run(), *expected));
    let sinks: Vec<_> =
        configs.iter().map(|(config, expected)| (config.run(), *expected)).chain(with_patterns).collect();
    for (sink, expected) in &sinks {
        tests::wait::holds(
            LONG,
            "/readyz names the cause",
            || reason(sink),
            |reason| reason.contains(expected),
        );
    }
    tests::wait::let_pass(Duration::from_secs(20));
    for (sink, expected) in sinks {
        let stderr = sink.stderr();
        assert!(stderr.lines().count() <= 16, "{expected}:\n{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
        assert!(!stderr.contains("canary"), "{stderr}");
        sink.sigterm();
        sink.wait(LONG).expect_code(0);
    }
}
