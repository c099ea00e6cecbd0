//! `check` and `config` meet the mistakes that users make on the way to a broker and a database.

use std::fs;

use serde_json::{Value, json};
use tests::{Kafka, KafkaOptions, Record, Services, SinkConfig, wait};

use crate::check::{SOON, Setup, assert_says, check};

#[test]
fn a_broker_or_a_database_that_is_not_there_is_named_with_its_address() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, name text)");
    let wrong = format!("127.0.0.1:{}", tests::ports::free());
    let no_server = format!("postgresql://postgres:hunter2@{wrong}/x");
    let config =
        setup.config.clone().set("kafka.bootstrap_servers", wrong.clone()).set("postgres.url", no_server);
    let output = check(&config, 1);
    assert_says(
        &output,
        "error",
        "kafka",
        &["no broker answers", &wrong, "refused", "kafka.bootstrap_servers"],
    );
    assert_says(&output, "error", "postgres", &["cannot connect", &wrong, "refused", "postgres.url"]);
    assert!(!(output.stdout + &output.stderr).contains("hunter2"));

    let nowhere = setup.url.rsplit_once('/').unwrap().0.to_owned() + "/nowhere";
    let right = nowhere.rsplit_once('@').unwrap().1.replace("/nowhere", ": database");
    let two = nowhere.replacen('@', &format!("@{wrong},"), 1);
    let output = check(&setup.config.clone().set("postgres.url", nowhere), 1);
    let named = ["\"nowhere\" does not exist", "3D000", "create the database", &right];
    assert_says(&output, "error", "postgres", &named);
    let refused = format!("{wrong}: error connecting to server");
    let output = check(&setup.config.clone().set("postgres.url", two), 1);
    assert_says(&output, "error", "postgres", &["3D000", &right, &refused]);
}

#[test]
fn a_wrong_password_is_distinguished_from_a_wrong_address() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, name text)");
    let postgres = &Services::shared().postgres;
    let role = tests::names::unique("locked").replace('-', "_");
    let mut admin = tests::postgres::connect(&setup.url);
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'right'")).unwrap();
    // Only this role needs its password; the other tests' sessions do not notice.
    let file = postgres.dir().join("data/pg_hba.conf");
    let rules = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}")).unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    let with = |password: &str| {
        let url = setup.url.replace("postgres@", &format!("{role}:{password}@"));
        setup.config.clone().set("postgres.url", url)
    };
    let output = wait::holds(
        SOON,
        "the rule applies",
        || with("wrong").finish(&["check"], SOON),
        |o| o.code == Some(1),
    );
    assert_says(
        &output,
        "error",
        "postgres",
        &["password authentication failed", "28P01", "postgres.password_file"],
    );
    assert!(!(output.stdout + &output.stderr).contains("wrong@"));
    check(&with("right"), 0);
    fs::write(&file, rules).unwrap();
    admin.batch_execute(&format!("SELECT pg_reload_conf(); DROP ROLE {role}")).unwrap();
}

#[test]
fn a_configuration_that_does_not_load_exits_with_2_and_names_every_mistake() {
    let config = SinkConfig::new("127.0.0.1:1", "postgresql://postgres@127.0.0.1:1/x")
        .topic("t")
        .table("ipl_livescores")
        .set("kafka.group_idd", "g")
        .set("sink.insert_mode", "upsrt")
        .env("SINK__BATCH__MAX_ROWS", "many");
    let output = config.finish(&["check", "--output", "json"], SOON).expect_code(2);
    for words in [
        "kafka.group_idd: unknown key; did you mean kafka.group_id?",
        "did you mean \"upsert\"?",
        "batch.max_rows: expected an integer, found \"many\" (variable SINK__BATCH__MAX_ROWS)",
    ] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
        assert!(output.stdout.contains(&words.replace('"', "\\\"")), "{words}: {}", output.stdout);
    }
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&report["ok"], &report["errors"]), (&json!(false), &json!(3)));

    let config = SinkConfig::new("127.0.0.1:1", "postgresql://u@h:port/x").property("no.such.property", "x");
    for command in ["check", "run"] {
        let output = config.finish(&[command], SOON).expect_code(2);
        assert!(
            output.stderr.contains("postgres.url: ") || output.stderr.contains("no.such.property"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn unauthorised_topics_and_groups_are_distinguished_from_missing_ones() {
    let options = KafkaOptions::default()
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("allow.everyone.if.no.acl.found", "true");
    let kafka = Kafka::start(options).unwrap();
    kafka.create_topic("secret", 1, &[]);
    kafka.produce("secret", [Record::json(&json!({"id": 1, "name": "a"}))]);
    let url = Services::shared().postgres.database("check");
    tests::postgres::connect(&url).batch_execute("CREATE TABLE t (id int PRIMARY KEY, name text)").unwrap();
    let config = SinkConfig::new(kafka.bootstrap(), &url).topic("secret").table("t").pk_fields(&["id"]);
    check(&config, 0);
    // Whoever has a rule for reading is the only one who may: describing goes on for all.
    kafka.acl(&["--add", "--allow-principal", "User:other", "--operation", "Read", "--topic", "secret"]);
    kafka.acl(&["--add", "--allow-principal", "User:*", "--operation", "Describe", "--topic", "secret"]);
    kafka.acl(&[
        "--add",
        "--allow-principal",
        "User:other",
        "--operation",
        "Read",
        "--group",
        config.group_id(),
    ]);
    let denied = || check(&config, 1);
    let output =
        wait::holds(SOON, "the rules apply", denied, |o| o.stdout.contains("not authorised to read"));
    assert_says(
        &output,
        "error",
        "topic secret",
        &["not authorised to read topic \"secret\"", "kafka-acls --add"],
    );
    assert_says(
        &output,
        "error",
        "group",
        &["not authorised", config.group_id(), "--operation Read --group"],
    );
}

#[test]
fn config_shows_what_applies_without_secrets() {
    let config = SinkConfig::new("127.0.0.1:1", "postgresql://sink:hunter2@127.0.0.1:1/x?sslmode=disable")
        .topic("t")
        .table("t")
        .pk_fields(&["id"])
        .property("sasl.password", "hunter2")
        .set("http.listen", "127.0.0.1:0")
        .env("SINK__BATCH__MAX_ROWS", "7");
    let toml = config.finish(&["config"], SOON).expect_code(0).stdout;
    let shown: toml::Table = toml.parse().unwrap();
    assert_eq!(shown["batch"]["max_rows"].as_integer(), Some(7));
    let url = "postgresql://sink:[redacted]@127.0.0.1:1/x?sslmode=disable";
    assert_eq!(shown["postgres"]["url"].as_str(), Some(url));
    let json = config.finish(&["config", "--output", "json"], SOON).expect_code(0).stdout;
    let same: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(same["kafka"]["properties"]["sasl.password"], "[redacted]");
    assert_eq!(serde_json::to_value(&shown).unwrap(), same);
    assert!(!toml.contains("hunter2") && !json.contains("hunter2"));
}
