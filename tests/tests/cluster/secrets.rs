//! Credentials that others keep.

use serde_json::json;
use tests::{Kafka, KafkaOptions, wait};

use crate::release::{POD, Release};
use crate::world::{PASSWORD, World};

/// A broker that lets only `scores` in, as pods reach it.
fn guarded() -> (Kafka, String) {
    let world = World::shared();
    let port = tests::ports::free();
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_scores=\"s3cret\";";
    let protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,ELSEWHERE:SASL_PLAINTEXT";
    let options = KafkaOptions::default()
        .elsewhere(world.gateway(), port)
        .property("listener.security.protocol.map", protocols)
        .property("listener.name.elsewhere.sasl.enabled.mechanisms", "PLAIN")
        .property("listener.name.elsewhere.plain.sasl.jaas.config", login);
    (Kafka::start(options).expect("Kafka starts"), format!("{}:{port}", world.gateway()))
}

#[test]
fn a_release_with_secrets_of_others_logs_in_to_kafka_and_postgresql_and_makes_no_secret() {
    let release = Release::new("secrets");
    let (kafka, address) = guarded();
    kafka.create_topic("livescores_topic", 3, &[]);
    let secret = |name: &str, key: &str, value: &str| {
        release.kubectl(&["create", "secret", "generic", name, &format!("--from-literal={key}={value}")]);
    };
    secret("kafka-login", "word", "s3cret");
    secret("database-login", "word", PASSWORD);
    let values = json!({
        "demo": true,
        "kafka": {
            "bootstrapServers": address,
            "existingSecret": "kafka-login",
            "properties": {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "scores",
            },
            "secretProperties": {"sasl.password": "word"},
        },
        "postgres": {
            "url": World::shared().url("sink", &release.namespace),
            "existingSecret": "database-login",
            "passwordKey": "word",
        },
        "producer": {"cronJob": {"suspend": true}},
        "check": {"enabled": true},
    });
    release.install(&values);
    let output = release.test();
    assert!(output.succeeded, "{}", output.text);
    release.kubectl(&["create", "job", "by-hand", "--from=cronjob/scores-livescores-producer"]);
    release.kubectl(&["wait", "--for=condition=complete", "job/by-hand", "--timeout=60s"]);
    let sent: i64 = kafka.end_offsets("livescores_topic").into_iter().sum();
    assert!(sent >= 100, "{sent} records");
    wait::until(POD, "every record has its row", || release.count("ipl_livescores") == sent);

    let secrets = release.kubectl(&["get", "secrets", "-o", "name"]);
    let others: Vec<_> = secrets.lines().filter(|name| !name.contains("sh.helm.release")).collect();
    assert_eq!(others, ["secret/database-login", "secret/kafka-login"]);
    let rendered = release.kubectl(&["get", "configmaps,deployments,cronjobs,pods", "-o", "yaml"]);
    for word in ["s3cret", PASSWORD] {
        assert!(!rendered.contains(word), "{word} is seen outside its Secret");
    }
}
