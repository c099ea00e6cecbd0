//! Kafka's credentials from files: both binaries log in with what a mounted Secret holds, and say so when it is wrong.

use std::fs;
use std::time::Duration;

use tests::scratch::Scratch;
use tests::{Kafka, KafkaOptions, ProducerConfig, Services, SinkConfig};

const MINUTE: Duration = Duration::from_secs(60);

/// A broker whose second listener wants a user and a password; returns its address as well.
fn guarded() -> (Kafka, String) {
    let port = tests::ports::free();
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_scores=\"s3cret\";";
    let options = KafkaOptions::default()
        .elsewhere("127.0.0.1", port)
        .property(
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,ELSEWHERE:SASL_PLAINTEXT",
        )
        .property("listener.name.elsewhere.sasl.enabled.mechanisms", "PLAIN")
        .property("listener.name.elsewhere.plain.sasl.jaas.config", login);
    (Kafka::start(options).expect("Kafka starts"), format!("127.0.0.1:{port}"))
}

#[test]
fn producer_and_sink_log_in_with_a_password_from_a_file() {
    let (kafka, address) = guarded();
    let topic = kafka.topic("guarded", 2);
    let url = Services::shared().postgres.database("guarded");
    let secrets = Scratch::new("secrets").expect("a place for secrets");
    let file = secrets.path().join("password");
    // As an editor leaves it.
    fs::write(&file, "s3cret\n").expect("a secret");
    let file = file.display().to_string();
    let login = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "scores"),
        ("sasl.password_file", &file),
    ];
    let mut producer = ProducerConfig::new(&address, &topic);
    let mut sink = SinkConfig::new(&address, &url).topic(&topic).table("ipl_livescores");
    for (name, value) in login {
        producer = producer.property(name, value);
        sink = sink.property(name, value);
    }
    producer.finish(&["once", "--records", "100"], MINUTE).expect_code(0);
    let output = sink.finish(&["run", "--max-records", "100", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!((output.assert_accounted(), output.count("rows_written")), (100, 100));
    assert!(!output.stderr.contains("s3cret"));

    fs::write(&file, "another").expect("a secret");
    let output = producer.property("message.timeout.ms", "5000").finish(&["once", "--records", "1"], MINUTE);
    assert_ne!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("Authentication failed"), "{}", output.stderr);
}
