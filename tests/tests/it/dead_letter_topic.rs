//! `errors.dead_letters = "topic"`: refused records as they came, with Connect's headers, acknowledged before the batch
//! commits; and nothing commits while they cannot be stored.

use std::time::Duration;

use serde_json::json;
use tests::{Kafka, KafkaOptions, PostgresOptions, Record, Services, SinkConfig, wait};

const PATIENCE: Duration = Duration::from_secs(60);
const BAD: &[u8] = b"{\"id\": 5, \"n\": \"\xff\"}";

fn good(id: i32) -> Record {
    Record::json(&json!({"id": id, "n": id}))
}

fn config(kafka: &Kafka, url: &str, topic: &str, letters: &str) -> SinkConfig {
    SinkConfig::new(kafka.bootstrap(), url)
        .topic(topic)
        .table("t")
        .pk_fields(&["id"])
        .set("errors.dead_letters", "topic")
        .set("errors.dead_letter_topic", letters)
}

fn state(client: &mut postgres::Client) -> (i64, i64) {
    let row =
        client.query_one("SELECT (SELECT count(*) FROM t), next_offset FROM sink_offsets", &[]).unwrap();
    (row.get(0), row.get(1))
}

#[test]
fn a_refused_record_is_in_the_topic_as_it_came_with_the_headers_of_kafka_connect() {
    let Services { kafka, postgres } = Services::shared();
    let (topic, letters) = (kafka.topic("source", 1), kafka.topic("letters", 1));
    let url = postgres.database("letters");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int CONSTRAINT small CHECK (n < 9))")
        .unwrap();
    let bad = Record::keyed(b"k\x00y".to_vec(), BAD)
        .header("trace", b"\x00\xff".to_vec())
        .header("trace", "again")
        .timestamp_ms(1_700_000_000_123);
    let keyless = Record::new("[]");
    kafka.produce(&topic, (0..5).map(good).chain([bad.clone(), keyless]).chain((6..10).map(good)));
    let config = config(kafka, &url, &topic, &letters);
    let run = config.finish(&["run", "--until-end", "--summary", "json"], PATIENCE).expect_code(0);
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (8, 3));
    assert_eq!(run.assert_accounted(), 11);

    let stored = kafka.read_all(&letters);
    assert_eq!(stored.len(), 3);
    let letter = &stored[0];
    assert_eq!((&letter.key, &letter.payload), (&bad.key, &bad.payload));
    assert_eq!(letter.timestamp_ms, bad.timestamp_ms);
    assert_eq!(letter.headers[..2], bad.headers[..]);
    let header_of = |letter: &Record, name: &str| {
        let name = format!("__connect.errors.{name}");
        let mut all = letter.headers.iter().filter(|(key, _)| *key == name);
        let value = all.next().and_then(|(_, value)| value.clone());
        assert!(all.next().is_none(), "{name} is there once");
        value.map(|value| String::from_utf8(value).unwrap())
    };
    let header = |name: &str| header_of(letter, name);
    for (name, value) in [
        ("topic", topic.as_str()),
        ("partition", "0"),
        ("offset", "5"),
        ("connector.name", config.connector()),
        ("task.id", "0"),
        ("stage", "VALUE_CONVERTER"),
        ("class.name", "sink-connector"),
        ("exception.class.name", "invalid_utf8"),
    ] {
        assert_eq!(header(name).as_deref(), Some(value), "{name}");
    }
    assert!(header("exception.message").is_some_and(|message| !message.is_empty()));
    assert_eq!((stored[1].key.as_deref(), stored[1].payload.as_deref()), (None, Some(&b"[]"[..])));
    // What only the server could refuse, with what it said.
    assert_eq!(stored[2].payload, good(9).payload);
    assert_eq!(header_of(&stored[2], "stage").as_deref(), Some("TASK_PUT"));
    assert_eq!(header_of(&stored[2], "exception.class.name").as_deref(), Some("refused"));
    let said = header_of(&stored[2], "exception.message").unwrap();
    assert!(said.contains("small") && said.contains("23514"), "{said}");
    let table = client.query_one("SELECT to_regclass('sink_dead_letters') IS NULL", &[]).unwrap();
    assert!(table.get::<_, bool>(0), "there is no table of dead letters");
}

#[test]
fn nothing_commits_while_the_topic_is_missing_and_everything_once_it_is_there() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("unlettered", 1);
    let letters = tests::names::unique("missing_letters");
    let url = postgres.database("unlettered");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)").unwrap();
    kafka.produce(&topic, (0..5).map(good).chain([Record::new(BAD)]).chain((6..10).map(good)));
    let sink = config(kafka, &url, &topic, &letters).run();
    let reason = format!("dead letters cannot be sent to topic {letters}: it does not exist");
    let answer = || sink.get("/readyz").map_or((0, String::new()), |answer| answer);
    wait::holds(PATIENCE, "/readyz says what is missing", answer, |(status, body)| {
        *status == 503 && body.contains(&reason)
    });
    let labels = [("class", "configuration")];
    let tries = || sink.metrics().map_or(0.0, |m| m.sum_where("sink_retries_total", &labels));
    let before = tries();
    wait::until(PATIENCE, "it tries again", || tries() >= before + 2.0);
    assert_eq!(state(&mut client), (0, 0), "nothing has been committed");
    kafka.create_topic(&letters, 1, &[]);
    wait::holds(PATIENCE, "rows", || state(&mut client), |seen| *seen == (9, 10));
    sink.wait_ready(PATIENCE);
    assert_eq!(sink.assert_accounted(), 10);
    let stored = kafka.read_all(&letters);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].payload.as_deref(), Some(BAD));
    sink.sigterm();
    sink.wait(PATIENCE).expect_code(0);
}

#[test]
fn a_letter_that_is_acknowledged_while_postgres_goes_away_is_not_lost_and_its_batch_is_written_later() {
    let kafka = &Services::shared().kafka;
    let postgres = tests::Postgres::start(PostgresOptions::default()).unwrap();
    let (topic, letters) = (kafka.topic("torn", 1), kafka.topic("torn_letters", 1));
    let mut client = postgres.client();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)").unwrap();
    // Deferred, so that COMMIT waits for the lock, after the letter was sent.
    client
        .batch_execute(
            "CREATE TABLE gate (); \
             CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN LOCK TABLE gate IN ACCESS SHARE MODE; RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER pass AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED \
               FOR EACH ROW EXECUTE FUNCTION pass()",
        )
        .unwrap();
    let mut holder = postgres.client();
    let mut held = holder.transaction().unwrap();
    held.batch_execute("LOCK TABLE gate").unwrap();
    kafka.produce(&topic, (0..5).map(good).chain([Record::new(BAD)]).chain((6..10).map(good)));
    let sink = config(kafka, &postgres.url(), &topic, &letters).run();
    wait::until(PATIENCE, "the letter is there", || kafka.end_offsets(&letters) == [1]);
    assert_eq!(state(&mut client), (0, 0), "acknowledged before anything is committed");
    postgres.restart_immediate();
    let observe =
        || tests::postgres::try_connect(&postgres.url()).map_or((-1, -1), |mut client| state(&mut client));
    wait::holds(PATIENCE, "rows", observe, |seen| *seen == (9, 10));
    assert_eq!(sink.assert_accounted(), 10);
    assert_eq!(kafka.end_offsets(&letters), [1], "what was acknowledged is not sent again by the same sink");
}

#[test]
fn nothing_commits_while_the_broker_refuses_a_letter() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("narrow", 1);
    let letters = tests::names::unique("narrow_letters");
    kafka.create_topic(&letters, 1, &[("max.message.bytes", "10")]);
    let url = postgres.database("narrow");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)").unwrap();
    kafka.produce(&topic, (0..5).map(good).chain([Record::new(BAD)]));
    let sink = config(kafka, &url, &topic, &letters).run();
    let answer = || sink.get("/readyz").map_or((0, String::new()), |answer| answer);
    wait::holds(PATIENCE, "/readyz says why", answer, |(status, body)| {
        *status == 503 && body.contains("a letter is too large for it; raise its max.message.bytes")
    });
    assert_eq!(state(&mut client), (0, 0));
    kafka.alter_topic(&letters, &[]);
    wait::holds(PATIENCE, "rows", || state(&mut client), |seen| *seen == (5, 6));
    assert_eq!(kafka.read_all(&letters).len(), 1);
}

#[test]
fn nothing_commits_while_the_topic_may_not_be_written_or_its_broker_is_away() {
    let options = KafkaOptions::default()
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("allow.everyone.if.no.acl.found", "true");
    let kafka = Kafka::start(options).unwrap();
    let (topic, letters) = (kafka.topic("barred", 1), kafka.topic("barred_letters", 1));
    let url = Services::shared().postgres.database("barred");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)").unwrap();
    // Whoever has a rule is the only one who may.
    let allow = |who: &str| {
        kafka.acl(&["--add", "--allow-principal", who, "--operation", "Write", "--topic", &letters]);
    };
    allow("User:other");
    kafka.produce(&topic, (0..5).map(good).chain([Record::new(BAD)]).chain((6..10).map(good)));
    let sink = config(&kafka, &url, &topic, &letters).run();
    let ready_says = |words: &str| {
        let answer = || sink.get("/readyz").map_or((0, String::new()), |answer| answer);
        let reason = format!("dead letters cannot be sent to topic {letters}: ");
        wait::holds(PATIENCE, "/readyz says why", answer, |(status, body)| {
            *status == 503 && body.contains(&reason) && body.contains(words)
        });
    };
    ready_says("may not write to it");
    assert_eq!(state(&mut client), (0, 0), "nothing has been committed");
    allow("User:ANONYMOUS");
    wait::holds(PATIENCE, "rows", || state(&mut client), |seen| *seen == (9, 10));
    sink.wait_ready(PATIENCE);

    // The next batch is read, and waits for its table, when the broker goes away.
    let mut holder = tests::postgres::connect(&url);
    let mut held = holder.transaction().unwrap();
    held.batch_execute("LOCK TABLE t IN SHARE MODE").unwrap();
    kafka.produce(&topic, (10..15).map(good).chain([Record::new(BAD)]));
    let waiting = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name LIKE 'kafka-sink:%' AND wait_event_type = 'Lock'";
    wait::until(PATIENCE, "it waits", || client.query_one(waiting, &[]).unwrap().get::<_, i64>(0) == 1);
    kafka.kill();
    held.rollback().unwrap();
    ready_says("");
    assert_eq!(state(&mut client), (9, 10), "nothing more has been committed");
    kafka.restart();
    wait::holds(PATIENCE, "rows", || state(&mut client), |seen| *seen == (14, 16));
    assert!(kafka.end_offsets(&letters)[0] >= 2, "both letters are there");
    assert_eq!(sink.assert_accounted(), 16);
}
