//! TLS and logins to Kafka: each kind that is accepted carries records, and each that is refused is named at once.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tests::kafka::guarded::{Guarded, PASSWORD, USER};
use tests::scratch::Scratch;
use tests::{ProducerConfig, Services, SinkConfig};

const PATIENCE: Duration = Duration::from_secs(60);
/// How soon a refusal has to be named.
const SOON: Duration = Duration::from_secs(30);

static BROKER: LazyLock<Guarded> = LazyLock::new(|| Guarded::start().expect("Kafka starts"));

/// Properties of librdkafka.
type Properties = Vec<(&'static str, String)>;

fn given(properties: &[(&'static str, &str)]) -> Properties {
    properties.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// TLS that trusts the broker's authority.
fn tls(protocol: &str) -> Properties {
    given(&[("security.protocol", protocol), ("ssl.ca.location", &BROKER.file("ca.crt"))])
}

fn login(mechanism: &str, password: &str) -> Properties {
    let login = [("sasl.mechanism", mechanism), ("sasl.username", USER), ("sasl.password", password)];
    [tls("SASL_SSL"), given(&login)].concat()
}

fn unsecured_token() -> Properties {
    let token = [
        ("sasl.mechanism", "OAUTHBEARER"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=scores"),
    ];
    [tls("SASL_SSL"), given(&token)].concat()
}

fn client_certificate() -> Properties {
    let files = [BROKER.file("client.crt"), BROKER.file("client.key")];
    [tls("SSL"), given(&[("ssl.certificate.location", &files[0]), ("ssl.key.location", &files[1])])].concat()
}

fn replaced(mut properties: Properties, name: &str, value: &str) -> Properties {
    for property in properties.iter_mut().filter(|(given, _)| *given == name) {
        value.clone_into(&mut property.1);
    }
    properties
}

fn sink(address: &str, topic: &str, properties: &Properties) -> SinkConfig {
    let url = Services::shared().postgres.database("guarded");
    let config = SinkConfig::new(address, url).topic(topic).table("ipl_livescores");
    properties.iter().fold(config, |config, (name, value)| config.property(name, value))
}

fn producer(address: &str, topic: &str, properties: &Properties) -> ProducerConfig {
    let config = ProducerConfig::new(address, topic);
    properties.iter().fold(config, |config, (name, value)| config.property(name, value))
}

#[test]
fn every_accepted_login_carries_records_from_the_producer_to_the_table() {
    for (port, properties) in [
        (BROKER.sasl, login("SCRAM-SHA-512", PASSWORD)),
        (BROKER.sasl, login("PLAIN", PASSWORD)),
        (BROKER.sasl, unsecured_token()),
        (BROKER.mutual, client_certificate()),
    ] {
        let topic = BROKER.kafka.topic("guarded", 2);
        let address = format!("localhost:{port}");
        let produced =
            producer(&address, &topic, &properties).finish(&["once", "--records", "100"], PATIENCE);
        produced.expect_code(0);
        let config = sink(&address, &topic, &properties);
        config.finish(&["check", "--sample", "10"], PATIENCE).expect_code(0);
        let output =
            config.finish(&["run", "--max-records", "100", "--summary", "json"], PATIENCE).expect_code(0);
        assert_eq!((output.assert_accounted(), output.count("rows_written")), (100, 100), "{properties:?}");
        assert!(!output.stderr.contains(PASSWORD), "{}", output.stderr);
    }
}

/// What is refused: where, with which properties, and the words that name it.
fn refused() -> Vec<(String, Properties, Vec<&'static str>)> {
    let at = |host: &str, port: u16| format!("{host}:{port}");
    let other = BROKER.file("other.crt");
    let scram = || login("SCRAM-SHA-512", PASSWORD);
    vec![
        (at("localhost", BROKER.sasl), login("SCRAM-SHA-512", "wr0ng"), vec!["Authentication failed"]),
        (at("localhost", BROKER.sasl), login("PLAIN", "wr0ng"), vec!["Authentication failed"]),
        (
            at("localhost", BROKER.sasl),
            replaced(scram(), "ssl.ca.location", &other),
            vec!["certificate", "unable to get local issuer certificate", "ssl.ca.location"],
        ),
        (at("127.0.0.1", BROKER.sasl), scram(), vec!["certificate", "127.0.0.1", "mismatch"]),
        (at("localhost", BROKER.expired), tls("SSL"), vec!["certificate has expired"]),
        (at("localhost", BROKER.mutual), tls("SSL"), vec!["certificate", "ssl.certificate.location"]),
    ]
}

#[test]
fn check_names_each_refusal_within_seconds() {
    for (address, properties, words) in refused() {
        let output = sink(&address, "guarded", &properties).finish(&["check"], PATIENCE).expect_code(1);
        for word in words.iter().chain([&address.as_str()]) {
            assert!(output.stdout.contains(word), "{word}: {}", output.stdout);
        }
        assert!(output.elapsed < SOON, "{properties:?}: {:?}", output.elapsed);
        assert!(!(output.stdout + &output.stderr).contains("wr0ng"));
    }
}

#[test]
fn a_running_sink_names_each_refusal_on_readyz_within_seconds() {
    let sinks: Vec<_> = refused()
        .into_iter()
        .map(|(address, properties, words)| (sink(&address, "guarded", &properties).run(), address, words))
        .collect();
    for (sink, address, words) in &sinks {
        let words: Vec<&str> = words.iter().copied().chain([address.as_str()]).collect();
        sink.wait_not_ready(SOON, &words);
        sink.assert_live();
    }
}

#[test]
fn the_producer_names_each_refusal_within_seconds() {
    for (address, properties, words) in refused() {
        let config = producer(&address, "guarded", &properties).property("message.timeout.ms", "5000");
        let output = config.finish(&["once", "--records", "1"], PATIENCE);
        assert_ne!(output.code, Some(0));
        for word in words {
            assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
        }
        assert!(output.elapsed < SOON, "{properties:?}: {:?}", output.elapsed);
    }
}

/// Writes a secret as Kubernetes does: the file is replaced.
fn secret(files: &Scratch, name: &str, text: &str) -> String {
    let path = files.path().join(name);
    fs::write(path.with_extension("new"), text).unwrap();
    fs::rename(path.with_extension("new"), &path).unwrap();
    path.display().to_string()
}

#[test]
fn a_rotated_password_of_kafka_needs_no_restart() {
    let broker = Guarded::start().expect("Kafka starts");
    let (files, topic) = (Scratch::new("kafka-secrets").unwrap(), broker.kafka.topic("rotated", 1));
    let file = secret(&files, "password", PASSWORD);
    let login = given(&[
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", &broker.file("ca.crt")),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", USER),
        ("sasl.password_file", &file),
        ("reconnect.backoff.max.ms", "1000"),
    ]);
    let address = format!("localhost:{}", broker.sasl);
    let produce = || {
        let plain = producer(&broker.kafka.bootstrap(), &topic, &Properties::new());
        plain.finish(&["once", "--records", "100"], PATIENCE).expect_code(0);
    };
    let sink = sink(&address, &topic, &login).run();
    let publishing = producer(&address, &topic, &login).set("producer.interval_ms", 500).start(&["run"]);
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 100.0);
    broker.kafka.change_password(USER, "changed");
    // Connections that are open stay logged in.
    broker.kafka.restart();
    let named = ["Authentication failed", "sasl.password_file", &file, "which was changed"];
    sink.wait_not_ready(PATIENCE, &named);
    publishing.wait_not_ready(PATIENCE, &named);
    secret(&files, "password", "changed");
    sink.wait_ready(PATIENCE);
    let read = sink.metrics().unwrap().sum("sink_records_consumed_total");
    produce();
    sink.wait_metric(PATIENCE, "sink_records_consumed_total", |records| records >= read + 100.0);
    publishing.wait_ready(PATIENCE);
    assert!(!sink.stderr().contains("changed\""), "{}", sink.stderr());
}

/// A token without a signature, which the broker takes.
fn token(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!("{{\"sub\":\"{USER}\",\"iat\":{now},\"exp\":{}}}", now + seconds);
    let encoded = |text: &str| {
        let text = openssl::base64::encode_block(text.as_bytes());
        text.trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    format!("{}.{}.", encoded("{\"alg\":\"none\"}"), encoded(&claims))
}

#[test]
fn a_token_command_is_run_again_before_its_token_ends() {
    let (files, topic) = (Scratch::new("tokens").unwrap(), BROKER.kafka.topic("tokens", 1));
    let file = secret(&files, "token", &token(8));
    let address = format!("localhost:{}", BROKER.sasl);
    let properties = [tls("SASL_SSL"), given(&[("sasl.mechanism", "OAUTHBEARER")])].concat();
    let script = format!("echo run >> {file}.log; cat {file} || exit 7");
    let command = vec!["sh", "-c", &script];
    let key = "kafka.oauthbearer_token_command";
    let producer = producer(&address, &topic, &properties).set(key, command.clone());
    producer.finish(&["once", "--records", "100"], PATIENCE).expect_code(0);
    let config = sink(&address, &topic, &properties).set(key, command);
    config.finish(&["check", "--sample", "10"], PATIENCE).expect_code(0);
    let sink = config.run();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 100.0);
    let runs = || fs::read_to_string(format!("{file}.log")).unwrap().lines().count();
    let before = runs();
    secret(&files, "token", &token(3600));
    tests::wait::holds(PATIENCE, "the command runs again", runs, |runs| *runs > before);
    fs::remove_file(&file).unwrap();
    let output = config.finish(&["check"], PATIENCE).expect_code(1);
    for words in ["kafka.oauthbearer_token_command", "ended with exit status 7"] {
        assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
    }
    config.run().wait_not_ready(PATIENCE, &["kafka.oauthbearer_token_command", "ended with exit status 7"]);
}

#[test]
fn a_replaced_client_certificate_is_used_without_a_restart_by_anybody() {
    let (files, topic) = (Scratch::new("rotated").unwrap(), BROKER.kafka.topic("rotated", 1));
    producer(&BROKER.kafka.bootstrap(), &topic, &Vec::new())
        .finish(&["once", "--records", "100"], PATIENCE)
        .expect_code(0);
    let file = |end: &str| files.path().join(format!("used.{end}")).display().to_string();
    let place = |name: &str| {
        // The key first: for a moment, the two do not belong together.
        for end in ["key", "crt"] {
            fs::copy(BROKER.file(&format!("{name}.{end}")), file(end)).unwrap();
        }
    };
    place("other");
    let used = given(&[("ssl.certificate.location", &file("crt")), ("ssl.key.location", &file("key"))]);
    let properties = [tls("SSL"), used].concat();
    let sink = sink(&format!("localhost:{}", BROKER.mutual), &topic, &properties).run();
    sink.wait_not_ready(PATIENCE, &["kafka", "ssl.certificate.location"]);
    place("client");
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows == 100.0);
    sink.wait_ready(PATIENCE);
    let log = sink.stop(PATIENCE).expect_code(0).stderr;
    let again = log.lines().filter(|line| line.contains("starting again to read a file that was replaced"));
    let again: Vec<_> = again.collect();
    assert!(again.len() == 1 && again[0].contains("ssl.certificate.location is"), "{log}");
}
