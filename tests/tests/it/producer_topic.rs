//! The producer without its topic, and without a broker: it says what is wrong within seconds, with name and address.

use std::time::Duration;

use tests::{Kafka, KafkaOptions, ProducerConfig, Services, wait};

const LONG: Duration = Duration::from_secs(60);
/// Five seconds, and the time that a process needs to start on a busy machine.
const SOON: Duration = Duration::from_secs(7);

#[test]
fn a_missing_topic_is_named_within_five_seconds_with_what_to_do() {
    let kafka = &Services::shared().kafka;
    let config = ProducerConfig::new(kafka.bootstrap(), "no_such_topic");
    for command in [&["once", "--records", "5"] as &[&str], &["run"]] {
        let output = config.finish(command, LONG).expect_code(1);
        assert!(output.elapsed < SOON, "{:?}", output.elapsed);
        for words in ["topic \"no_such_topic\" does not exist", "create it", "auto.create.topics.enable"] {
            assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
        }
    }
}

#[test]
fn a_name_that_kafka_does_not_allow_is_refused_at_once_with_its_key() {
    let config = ProducerConfig::new("127.0.0.1:1", "t");
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for args in [
        &["once", "--topic", "live scores"] as &[&str],
        &["run", "--topic", ".."],
        &["publish", "--topic", "a/b", path],
    ] {
        let output = config.finish(args, LONG).expect_code(2);
        assert!(output.elapsed < SOON && output.stderr.contains("cannot be a topic"), "{output:?}");
        assert!(output.stderr.contains("--topic") || output.stderr.contains("kafka.topic"), "{output:?}");
    }
}

#[test]
fn brokers_that_create_topics_create_it() {
    let options = KafkaOptions::default().property("auto.create.topics.enable", "true");
    let kafka = Kafka::start(options).unwrap();
    let config = ProducerConfig::new(kafka.bootstrap(), "created_by_use");
    config.finish(&["once", "--records", "5"], LONG).expect_code(0);
    assert_eq!(kafka.partitions("created_by_use"), 4);
}

#[test]
fn a_topic_that_is_deleted_during_a_run_is_named() {
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("deleted", 1);
    let config = ProducerConfig::new(kafka.bootstrap(), &topic)
        .property("topic.metadata.refresh.interval.ms", "1000")
        .property("topic.metadata.propagation.max.ms", "1000");
    let producer = config.start(&["run", "--interval", "200ms"]);
    let sent = || producer.sum_where("producer_records_total", &[("outcome", "acknowledged")]);
    wait::holds(LONG, "records are acknowledged", sent, |records| *records > 0.0);
    kafka.delete_topic(&topic);
    let output = producer.wait(LONG).expect_code(1);
    for words in
        [&format!("topic \"{topic}\" does not exist") as &str, "create it", "records were acknowledged"]
    {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
}

#[test]
fn an_unreachable_broker_is_named_with_its_cause() {
    let broker = Services::shared().kafka.bootstrap();
    let free = format!("127.0.0.1:{}", tests::ports::free());
    let config = |address: &str| ProducerConfig::new(address, "t").property("message.timeout.ms", "6000");
    let login = config(&broker)
        .property("security.protocol", "SASL_PLAINTEXT")
        .property("sasl.mechanism", "PLAIN")
        .property("sasl.username", "u")
        .property("sasl.password", "c4n4ry");
    let nowhere = "no-such-host.invalid:9092";
    // The system accepts connections to it, and nobody answers.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute_address = mute.local_addr().unwrap().to_string();
    let producers = [
        (config(&free), &free as &str, "Connection refused"),
        (config(nowhere), nowhere, "Failed to resolve"),
        (config(&broker).property("security.protocol", "SSL"), &broker, "SSL handshake failed"),
        (login, &broker, "SASL"),
        (config(&mute_address), &mute_address, "no answer from"),
    ]
    .map(|(config, address, cause)| (config.start(&["once"]), address, cause));
    for (producer, address, cause) in &producers {
        // While the records wait.
        let log = || producer.stderr();
        let named = |log: &String| log.contains("WARN") && log.contains(address) && log.contains(cause);
        wait::holds(SOON, "the log names the cause", log, named);
    }
    for (producer, address, cause) in producers {
        let output = producer.wait(LONG).expect_code(1);
        let error = output.stderr.lines().last().unwrap_or_default();
        for words in ["100 of 100 records were not acknowledged", address] {
            assert!(error.contains(words), "{words}: {error}");
        }
        // A later attempt at TLS may only be disconnected.
        assert!(error.contains(cause) || error.contains("SSL connection closed by peer"), "{cause}: {error}");
        assert!(output.stderr.lines().count() < 12, "{}", output.stderr);
        assert!(!output.stderr.contains("c4n4ry"), "{}", output.stderr);
    }
}
