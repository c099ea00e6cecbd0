//! Values of records and secrets never reach logs, /readyz, /status, /metrics or the output of commands: only dead letters
//! have them.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, Services, SinkConfig, wait};

const PATIENCE: Duration = Duration::from_secs(60);
/// In every value, key and header.
const VALUE: &str = "kanarienvogel";
/// In every secret.
const SECRET: &str = "wellensittich";

#[track_caller]
fn assert_hidden(what: &str, text: &str) {
    for canary in [VALUE, SECRET] {
        if let Some(line) = text.lines().find(|line| line.to_lowercase().contains(canary)) {
            panic!("{what} shows {canary}: {line}");
        }
    }
}

const TABLE: &str = "CREATE TABLE parent (name text PRIMARY KEY); \
     CREATE EXTENSION IF NOT EXISTS ltree; \
     CREATE TYPE mood AS ENUM ('good'); \
     CREATE TABLE t (id int PRIMARY KEY, u text UNIQUE, age int, at timestamptz, m mood, p text REFERENCES parent, \
       path ltree, q tsquery, c text CHECK (c <> 'kanarienvogel'), short varchar(3), r text); \
     CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
       IF NEW.r IS NOT NULL THEN RAISE EXCEPTION 'no %', NEW.r USING DETAIL = NEW.r, ERRCODE = substr(NEW.r, 1, 5); END IF; \
       RETURN NEW; END $$; \
     CREATE TRIGGER speak BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION speak(); \
     INSERT INTO t (id, u) VALUES (-1, 'kanarienvogel')";

/// A record for each way to be rejected: by the sink, and by the server.
fn rejected() -> Vec<Record> {
    let values: Vec<Value> = vec![
        json!({"id": 1, "u": VALUE}),
        json!({"id": 2, "age": VALUE}),
        json!({"id": 3, "at": VALUE}),
        json!({"id": 4, "m": VALUE}),
        json!({"id": 5, "p": VALUE}),
        json!({"id": 6, "path": format!("{VALUE}..")}),
        json!({"id": 7, "q": format!("{VALUE} & & {VALUE}")}),
        json!({"id": 8, "c": VALUE}),
        json!({"id": 9, "short": VALUE}),
        json!({"id": 10, "r": format!("P0001 {VALUE}")}),
        json!({"id": 11, "r": format!("23514 {VALUE}")}),
        json!({"id": VALUE}),
        json!([VALUE]),
        json!({"v": VALUE}),
    ];
    let mut records: Vec<Record> = values.iter().map(Record::json).collect();
    records.push(Record::keyed(VALUE, format!("{{\"id\": 12, {VALUE}")));
    records.push(Record::keyed(VALUE, VALUE));
    records
}

struct Nest {
    config: SinkConfig,
    topic: String,
    url: String,
}

fn nest(format: &str) -> Nest {
    let Services { kafka, postgres } = Services::shared();
    let url = postgres.database("canaries");
    tests::postgres::connect(&url).batch_execute(TABLE).unwrap();
    let topic = kafka.topic("canaries", 1);
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode("insert")
        .pk_fields(&["id"])
        .set("log.format", format)
        .set("errors.breaker_ratio", 1.0)
        .env("RUST_LOG", "debug");
    Nest { config, topic, url }
}

#[test]
fn values_of_rejected_records_are_in_their_dead_letters_only() {
    for format in ["text", "json"] {
        let Nest { config, topic, url } = nest(format);
        let kafka = &Services::shared().kafka;
        let good = |id: i32| Record::json(&json!({"id": id, "age": 1}));
        // Good ones around them: what looks like a configuration error is decided by its neighbours.
        kafka.produce(&topic, (100..110).map(good).chain(rejected()).chain((200..210).map(good)));
        let check = config.finish(&["check", "--sample", "50"], PATIENCE);
        assert_hidden("check", &check.stdout);
        assert_hidden("check's log", &check.stderr);
        assert!(check.stdout.contains("dead letters"), "{}", check.stdout);
        assert!(!check.stdout.contains("would wait"), "{}", check.stdout);
        let sink = config.run();
        let expected = rejected().len() as f64;
        sink.wait_metric(PATIENCE, "sink_dead_letters_total", |n| n >= expected);
        let stored: i64 = tests::postgres::connect(&url)
            .query_one(
                "SELECT count(*) FROM sink_dead_letters WHERE detail ILIKE $1",
                &[&format!("%{VALUE}%")],
            )
            .unwrap()
            .get(0);
        assert!(stored >= 9, "the values are in {stored} dead letters: the search below could find them");
        for path in ["/status", "/readyz", "/metrics", "/livez"] {
            assert_hidden(path, &sink.get(path).unwrap().1);
        }
        let status: Value = serde_json::from_str(&sink.get("/status").unwrap().1).unwrap();
        assert_eq!(status["dead_letters"]["total"], rejected().len(), "{status}");
        assert!(
            status["dead_letters"]["latest"].as_array().is_some_and(|latest| latest.len() >= 4),
            "{status}"
        );
        let output = sink.stop(PATIENCE);
        assert!(output.stderr.contains("records rejected: "), "{}", output.stderr);
        assert_hidden("the log", &output.stderr);
        assert_hidden("stdout", &output.stdout);
    }
}

#[test]
fn a_record_that_stops_the_sink_or_opens_the_breaker_is_named_by_its_place() {
    for (key, value, code) in
        [("errors.tolerance", toml::Value::from("none"), 4), ("errors.breaker_ratio", 0.1.into(), 4)]
    {
        let Nest { config, topic, .. } = nest("text");
        let config = config.set(key, value).set("errors.breaker_window_records", 10);
        Services::shared().kafka.produce(&topic, rejected().into_iter().cycle().take(60));
        let output = config.finish(&["run", "--until-end"], PATIENCE).expect_code(code);
        assert_hidden(key, &output.stderr);
        assert!(output.stderr.contains(&format!("{topic}[0]")), "{}", output.stderr);
    }
}

#[test]
fn a_table_that_waits_does_not_show_the_record_it_waits_with() {
    let Nest { config, topic, url } = nest("text");
    tests::postgres::connect(&url)
        .batch_execute("DROP TABLE t; CREATE TABLE t (id int, u text) PARTITION BY LIST (u)")
        .unwrap();
    let config = config.unkeyed().set("sink.insert_mode", "insert");
    Services::shared().kafka.produce(&topic, [Record::json(&json!({"id": 1, "u": VALUE}))]);
    let sink = config.run();
    let ready = || sink.get("/readyz").map_or((0, String::new()), |answer| answer);
    let (_, body) = wait::holds(PATIENCE, "no partition takes it", ready, |(status, body)| {
        *status == 503 && body.contains("23514")
    });
    assert_hidden("/readyz", &body);
    assert_hidden("/status", &sink.get("/status").unwrap().1);
    assert_hidden("the log", &sink.stop(PATIENCE).stderr);
}

#[test]
fn secrets_are_not_shown_by_any_command_whether_spelled_right_or_wrong() {
    let Services { kafka, postgres } = Services::shared();
    let url = postgres.database("secrets").replace("postgres@", &format!("postgres:{SECRET}@"));
    let good = SinkConfig::new(kafka.bootstrap(), &url).topic("secrets").table("t");
    let cases = [
        good.clone().property("sasl.password", SECRET).property("ssl.key.password", SECRET),
        good.clone().property("sasl.pasword", SECRET),
        good.clone().property("sasl.oauthbearer.client.secret", SECRET),
        good.clone().property("ssl.key.pem", SECRET),
        good.clone().property("sasl.password", SECRET).property("sasl.mechanism", "PLAIM"),
        good.clone().set("postgres.url", format!("{url}?pasword={SECRET}")),
        good.clone().set("postgres.url", format!("{url}?sslpassword={SECRET}&sslmode=disable")),
        good.clone().set("postgres.pasword", SECRET),
        good.clone().env("SINK__POSTGRES__PASWORD", SECRET),
    ];
    for (number, config) in cases.into_iter().enumerate() {
        for format in ["text", "json"] {
            let config = config.clone().set("log.format", format).env("RUST_LOG", "debug");
            for args in [
                &["config"] as &[&str],
                &["check", "--sample", "0"],
                &["check", "--output", "json"],
                &["offsets", "show"],
                &["dead-letters", "list"],
                &["infer-ddl", "--topic", "secrets"],
                &["run", "--until-end", "--deadline", "2s"],
            ] {
                let output = config.finish(args, PATIENCE);
                assert_hidden(&format!("case {number}: {args:?}"), &output.stdout);
                assert_hidden(&format!("case {number}: stderr of {args:?}"), &output.stderr);
            }
        }
    }
}
