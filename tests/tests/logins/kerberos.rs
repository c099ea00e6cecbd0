//! Kerberos: both binaries log in with a keytab, and name what is refused.

use std::sync::LazyLock;
use std::time::Duration;

use tests::{Kafka, KafkaOptions, ProducerConfig, Services, SinkConfig, ports};

use crate::kdc::Kdc;

const PATIENCE: Duration = Duration::from_secs(60);

/// A realm, a broker in it, and the port where the broker wants tickets.
struct Realm {
    kdc: Kdc,
    kafka: Kafka,
    port: u16,
}

static REALM: LazyLock<Realm> = LazyLock::new(|| {
    let kdc = Kdc::start();
    let port = ports::free();
    let login = format!(
        "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true keyTab=\"{}\" principal=\"{}\";",
        kdc.file("broker.keytab"),
        Kdc::principal("kafka/localhost")
    );
    let options = KafkaOptions::default()
        .listener("TICKETS", port, "SASL_PLAINTEXT")
        .property("listener.name.tickets.sasl.enabled.mechanisms", "GSSAPI")
        .property("listener.name.tickets.sasl.kerberos.service.name", "kafka")
        .property("listener.name.tickets.gssapi.sasl.jaas.config", &login)
        .jvm_option(&format!("-Djava.security.krb5.conf={}", kdc.file("krb5.conf")));
    Realm { kafka: Kafka::start(options).expect("Kafka starts"), kdc, port }
});

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Both binaries' configurations for a topic, with these properties and variables beside what every login has.
fn configs(topic: &str, properties: Pairs<'_>, variables: Pairs<'_>) -> (ProducerConfig, SinkConfig) {
    let address = format!("localhost:{}", REALM.port);
    let url = Services::shared().postgres.database("tickets");
    let mut producer = ProducerConfig::new(&address, topic);
    let mut sink = SinkConfig::new(&address, url).topic(topic).table("ipl_livescores");
    let login = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "GSSAPI")];
    for (name, value) in login.iter().chain(properties) {
        producer = producer.property(name, value);
        sink = sink.property(name, value);
    }
    let configuration = REALM.kdc.file("krb5.conf");
    for (name, value) in [("KRB5_CONFIG", configuration.as_str())].iter().chain(variables) {
        producer = producer.env(name, value);
        sink = sink.env(name, value);
    }
    (producer, sink)
}

fn carries_records((producer, sink): (ProducerConfig, SinkConfig)) {
    producer.finish(&["once", "--records", "100"], PATIENCE).expect_code(0);
    sink.finish(&["check", "--sample", "10"], PATIENCE).expect_code(0);
    let output = sink.finish(&["run", "--max-records", "100", "--summary", "json"], PATIENCE).expect_code(0);
    assert_eq!((output.assert_accounted(), output.count("rows_written")), (100, 100));
}

#[test]
fn a_client_keytab_is_enough_and_tickets_stay_in_memory() {
    let topic = REALM.kafka.topic("tickets", 2);
    let keytab = REALM.kdc.file("scores.keytab");
    let variables = [("KRB5_CLIENT_KTNAME", keytab.as_str()), ("KRB5CCNAME", "MEMORY:livescores")];
    carries_records(configs(&topic, &[("sasl.kerberos.min.time.before.relogin", "0")], &variables));
}

#[test]
fn librdkafka_gets_tickets_with_kinit() {
    let topic = REALM.kafka.topic("tickets", 2);
    let tickets = format!("FILE:{}", REALM.kdc.file("kinit.tickets"));
    let (keytab, user) = (REALM.kdc.file("scores.keytab"), Kdc::principal("scores"));
    let properties = [("sasl.kerberos.keytab", keytab.as_str()), ("sasl.kerberos.principal", &user)];
    carries_records(configs(&topic, &properties, &[("KRB5CCNAME", &tickets)]));
}

#[test]
fn a_missing_ticket_is_named_within_seconds() {
    let topic = REALM.kafka.topic("tickets", 1);
    let variables = [("KRB5_CLIENT_KTNAME", "/nowhere.keytab"), ("KRB5CCNAME", "MEMORY:livescores")];
    let (producer, sink) = configs(&topic, &[("sasl.kerberos.min.time.before.relogin", "0")], &variables);
    let output = sink.finish(&["check"], PATIENCE).expect_code(1);
    assert!(output.stdout.contains("GSSAPI Error"), "{}", output.stdout);
    sink.run().wait_not_ready(PATIENCE, &["GSSAPI Error"]);
    let output = producer.property("message.timeout.ms", "5000").finish(&["once"], PATIENCE).expect_code(1);
    assert!(output.stderr.contains("GSSAPI Error"), "{}", output.stderr);
}
