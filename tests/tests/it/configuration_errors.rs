//! All mistakes of a configuration are named together, before anything is touched, and never with a value that may be secret.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Output, ProducerConfig, SinkConfig};

const SOON: Duration = Duration::from_secs(30);
const CANARY: &str = "c4n4ry";

/// Mistakes in keys, properties, the URL and a file, with a canary wherever a secret may be.
fn mistaken() -> SinkConfig {
    SinkConfig::new("127.0.0.1:1", format!("postgresql://u:{CANARY}@127.0.0.1:1/x?sslmode=fulll"))
        .topic("t")
        .table("t")
        .pk_fields(&["id"])
        .set("sink.ddl_file", "/nowhere.sql")
        .set("errors.dead_letters", "topic")
        .property("sasl.pasword", CANARY)
        .property("security.protocol", CANARY)
        .property("socket.timeout.ms", "-1")
        .property("group.id", "g")
}

const NAMED: [&str; 7] = [
    "errors.dead_letter_topic: must be given",
    "kafka.properties.\"group.id\": belongs to the sink",
    "kafka.properties.\"sasl.pasword\": librdkafka has no such property; did you mean sasl.password?",
    "kafka.properties.\"security.protocol\": librdkafka does not accept the value",
    "kafka.properties.\"socket.timeout.ms\": the value is outside allowed range",
    "postgres.url: sslmode=fulll",
    "sink.ddl_file: cannot read /nowhere.sql",
];

#[track_caller]
fn assert_no_canary(output: &Output) {
    assert!(!(output.stdout.clone() + &output.stderr).contains(CANARY), "{}{}", output.stdout, output.stderr);
}

#[test]
fn every_command_names_all_mistakes_of_all_parts_at_once() {
    let config = mistaken();
    let commands: [&[&str]; 5] = [
        &["run"],
        &["check"],
        &["config"],
        &["offsets", "reset", "--to-earliest", "--execute"],
        &["dead-letters", "discard", "--execute"],
    ];
    for command in commands {
        let output = config.finish(command, SOON).expect_code(2);
        for words in NAMED {
            assert!(output.stderr.contains(words), "{command:?}: {words}:\n{}", output.stderr);
        }
        assert_eq!(output.stderr.lines().count(), NAMED.len(), "{}", output.stderr);
        assert!(!output.stderr.contains("started"), "{}", output.stderr);
        assert_no_canary(&output);
    }
    let output = config.finish(&["check", "--output", "json"], SOON).expect_code(2);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["errors"], NAMED.len());
    assert_no_canary(&output);
}

#[test]
fn properties_that_contradict_each_other_are_a_configuration_error_before_the_start() {
    let config =
        SinkConfig::new("127.0.0.1:1", "postgresql://u@127.0.0.1:1/x").topic("t").table("t").unkeyed();
    for (name, value, words) in [
        ("max.poll.interval.ms", "5000", "max.poll.interval.ms"),
        ("ssl.ca.location", "/nowhere.pem", "ssl.ca.location"),
    ] {
        let config = config.clone().property(name, value).property("security.protocol", "SSL");
        for command in ["run", "check"] {
            let output = config.finish(&[command], SOON).expect_code(2);
            assert!(output.stderr.starts_with("kafka.properties: "), "{}", output.stderr);
            assert!(output.stderr.contains(words), "{}", output.stderr);
            assert!(!output.stderr.contains("started"), "{}", output.stderr);
        }
    }
}

#[test]
fn the_producer_names_all_properties_that_are_refused() {
    let config = ProducerConfig::new("127.0.0.1:1", "t")
        .property("sasl.pasword", CANARY)
        .property("compression.type", CANARY)
        .property("acks", "1")
        .set("producer.batch_size", 0);
    for command in ["once", "run"] {
        let started = Instant::now();
        let output = config.finish(&[command], SOON).expect_code(2);
        assert!(started.elapsed() < Duration::from_secs(10));
        for words in [
            "kafka.properties.acks: cannot be set",
            "kafka.properties.\"compression.type\": librdkafka does not accept the value",
            "kafka.properties.\"sasl.pasword\": librdkafka has no such property; did you mean sasl.password?",
            "producer.batch_size: ",
        ] {
            assert!(output.stderr.contains(words), "{words}:\n{}", output.stderr);
        }
        assert_no_canary(&output);
    }
}

#[test]
fn a_login_that_needs_another_build_is_refused_with_the_name_of_that_build() {
    let sink = SinkConfig::new("127.0.0.1:1", "postgresql://u@127.0.0.1:1/x").topic("t").table("t").unkeyed();
    let producer = ProducerConfig::new("127.0.0.1:1", "t");
    for (name, value, feature) in [
        ("sasl.mechanism", "GSSAPI", "gssapi"),
        ("sasl.mechanisms", "GSSAPI", "gssapi"),
        // Its mechanism is GSSAPI, unless another is given.
        ("security.protocol", "SASL_SSL", "gssapi"),
        ("sasl.oauthbearer.method", "oidc", "oidc"),
    ] {
        let sink = sink.clone().property(name, value);
        let producer = producer.clone().property(name, value);
        let outputs = [
            sink.finish(&["run", "--until-end"], SOON),
            sink.finish(&["check"], SOON),
            producer.finish(&["once"], SOON),
        ];
        for output in outputs {
            let output = output.expect_code(2);
            let error = format!("kafka.properties.\"{name}\": needs ");
            let builds =
                format!("an image whose tag ends with -kerberos-oidc, or build with `--features {feature}`");
            let named = output.stderr.lines().any(|line| line.contains(&error) && line.contains(&builds));
            assert!(named, "{error}…{builds}:\n{}", output.stderr);
        }
    }
}
