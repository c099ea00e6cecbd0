//! OIDC: both binaries get their tokens from an authorisation server, and name what is refused.

use std::time::Duration;

use tests::kafka::guarded::{Guarded, USER};
use tests::{ProducerConfig, Services, SinkConfig, wait};

use crate::token_server::{CLIENT, SECRET, TokenServer};

const PATIENCE: Duration = Duration::from_secs(60);

fn configs(broker: &Guarded, topic: &str, properties: &[(&str, &str)]) -> (ProducerConfig, SinkConfig) {
    let address = format!("localhost:{}", broker.sasl);
    let url = Services::shared().postgres.database("tokens");
    let mut producer = ProducerConfig::new(&address, topic);
    let mut sink = SinkConfig::new(&address, url).topic(topic).table("ipl_livescores");
    let authority = broker.file("ca.crt");
    let login = [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", &authority),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "oidc"),
        ("sasl.oauthbearer.client.id", CLIENT),
    ];
    for (name, value) in login.iter().chain(properties) {
        producer = producer.property(name, value);
        sink = sink.property(name, value);
    }
    (producer, sink)
}

#[test]
fn tokens_of_an_authorisation_server_carry_records_and_are_renewed() {
    let (broker, server) = (Guarded::start().expect("Kafka starts"), TokenServer::start(USER, 10));
    let topic = broker.kafka.topic("oidc", 2);
    let (producer, sink) = configs(
        &broker,
        &topic,
        &[
            ("sasl.oauthbearer.client.secret", SECRET),
            ("sasl.oauthbearer.token.endpoint.url", &server.url),
            ("https.ca.location", &server.authority()),
        ],
    );
    producer.finish(&["once", "--records", "100"], PATIENCE).expect_code(0);
    sink.finish(&["check", "--sample", "10"], PATIENCE).expect_code(0);
    let running = sink.run();
    running.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 100.0);
    let before = server.given();
    wait::until(PATIENCE, "tokens are renewed", || server.given() > before);
    producer.finish(&["once", "--records", "100"], PATIENCE).expect_code(0);
    running.wait_metric(PATIENCE, "sink_records_consumed_total", |records| records >= 200.0);
    assert!(!running.stop(PATIENCE).stderr.contains(SECRET));
}

#[test]
fn a_refused_secret_and_an_unknown_authority_are_named_without_the_secret() {
    let (broker, server) = (Guarded::start().expect("Kafka starts"), TokenServer::start(USER, 60));
    let topic = broker.kafka.topic("oidc", 1);
    let (url, authority, other) = (server.url.as_str(), server.authority(), broker.file("ca.crt"));
    for (secret, authority, words) in
        [("wr0ng-secret", &authority, "invalid_client"), (SECRET, &other, "certificate")]
    {
        let (producer, sink) = configs(
            &broker,
            &topic,
            &[
                ("sasl.oauthbearer.client.secret", secret),
                ("sasl.oauthbearer.token.endpoint.url", url),
                ("https.ca.location", authority),
            ],
        );
        let checked = sink.finish(&["check"], PATIENCE).expect_code(1);
        let produced =
            producer.property("message.timeout.ms", "5000").finish(&["once"], PATIENCE).expect_code(1);
        for output in [&checked, &produced] {
            let printed = output.stdout.clone() + &output.stderr;
            assert!(printed.contains(words) && !printed.contains(secret), "{words}: {printed}");
        }
    }
    assert_eq!(server.given(), 0);
}
