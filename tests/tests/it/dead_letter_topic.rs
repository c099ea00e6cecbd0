//! `errors.dead_letters = "topic"`: refused records as they came, with Connect's headers, acknowledged before the batch
//! commits; and nothing commits while they cannot be stored.

use std::time::Duration;

use serde_json::json;
use tests::{KafkaOptions, PostgresOptions, Record, Sink, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);
const BAD: &[u8] = b"{\"id\": 5, \"n\": \"\xff\"}";

fn good(id: i32) -> Record {
    Record::json(&json!({"id": id, "n": id}))
}

const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY, n int)";

/// Writes to its table, and dead letters to this topic, which may not exist.
fn into_topic<'a>(world: World<'a>, dead_letters: &str) -> World<'a> {
    world.upsert("id").set("errors.dead_letters", "topic").set("errors.dead_letter_topic", dead_letters)
}

/// Rows and position.
fn state(world: &World<'_>) -> (i64, i64) {
    (world.rows(), world.position())
}

#[track_caller]
fn wait_state(world: &World<'_>, wanted: (i64, i64)) {
    wait::holds(PATIENCE, "rows and position", || state(world), |seen| *seen == wanted);
}

/// Waits until /readyz says that dead letters cannot be sent, and why.
#[track_caller]
fn wait_refused(sink: &Sink, dead_letters: &str, why: &str) {
    let reason = format!("dead letters cannot be sent to topic {dead_letters}: ");
    sink.wait_not_ready(PATIENCE, &[&reason, why]);
}

#[test]
fn a_refused_record_is_in_the_topic_as_it_came_with_the_headers_of_kafka_connect() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, n int CONSTRAINT small CHECK (n < 9))";
    let world = World::new("source").table(ddl);
    let dead_letters = world.kafka.topic("dead_letters", 1);
    let world = into_topic(world, &dead_letters);
    let bad = Record::keyed(b"k\x00y".to_vec(), BAD)
        .header("trace", b"\x00\xff".to_vec())
        .header("trace", "again")
        .timestamp_ms(1_700_000_000_123);
    let keyless = Record::new("[]");
    let run = world.drain((0..5).map(good).chain([bad.clone(), keyless]).chain((6..10).map(good)));
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (8, 3));
    assert_eq!(run.count("records"), 11);

    let stored = world.kafka.read_all(&dead_letters);
    assert_eq!(stored.len(), 3);
    let first = &stored[0];
    assert_eq!((&first.key, &first.payload), (&bad.key, &bad.payload));
    assert_eq!(first.timestamp_ms, bad.timestamp_ms);
    assert_eq!(first.headers[..2], bad.headers[..]);
    let header_of = |dead_letter: &Record, name: &str| {
        let name = format!("__connect.errors.{name}");
        let mut all = dead_letter.headers.iter().filter(|(key, _)| *key == name);
        let value = all.next().and_then(|(_, value)| value.clone());
        assert!(all.next().is_none(), "{name} is there once");
        value.map(|value| String::from_utf8(value).unwrap())
    };
    let header = |name: &str| header_of(first, name);
    for (name, value) in [
        ("topic", world.topic()),
        ("partition", "0"),
        ("offset", "5"),
        ("connector.name", world.config.connector()),
        ("task.id", "0"),
        ("stage", "VALUE_CONVERTER"),
        ("class.name", "sink-connector"),
        ("exception.class.name", "invalid_utf8"),
    ] {
        assert_eq!(header(name).as_deref(), Some(value), "{name}");
    }
    assert!(header("exception.message").is_some_and(|message| !message.is_empty()));
    assert_eq!((stored[1].key.as_deref(), stored[1].payload.as_deref()), (None, Some(&b"[]"[..])));
    // What only the server could refuse, with its message.
    assert_eq!(stored[2].payload, good(9).payload);
    assert_eq!(header_of(&stored[2], "stage").as_deref(), Some("TASK_PUT"));
    assert_eq!(header_of(&stored[2], "exception.class.name").as_deref(), Some("refused"));
    let message = header_of(&stored[2], "exception.message").unwrap();
    assert!(message.contains("small") && message.contains("23514"), "{message}");
    let no_table: bool = world.one("SELECT to_regclass('sink_dead_letters') IS NULL");
    assert!(no_table, "there is no table of dead letters");
}

#[test]
fn nothing_commits_while_the_topic_is_missing_and_everything_once_it_is_there() {
    let dead_letters = tests::names::unique("missing");
    let world = into_topic(World::new("unsent").table(DDL), &dead_letters);
    world.produce((0..5).map(good).chain([Record::new(BAD)]).chain((6..10).map(good)));
    let sink = world.sink();
    wait_refused(&sink, &dead_letters, "it does not exist");
    let labels = [("class", "configuration")];
    let tries = || sink.sum_where("sink_retries_total", &labels);
    let before = tries();
    wait::until(PATIENCE, "it tries again", || tries() >= before + 2.0);
    assert_eq!(state(&world), (0, 0), "nothing has been committed");
    world.kafka.create_topic(&dead_letters, 1, &[]);
    wait_state(&world, (9, 10));
    sink.wait_ready(PATIENCE);
    assert_eq!(sink.assert_accounted(), 10);
    let stored = world.kafka.read_all(&dead_letters);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].payload.as_deref(), Some(BAD));
    sink.stop(PATIENCE);
}

#[test]
fn a_dead_letter_that_is_acknowledged_while_postgres_restarts_is_not_lost_and_its_batch_is_written_later() {
    let world = World::new("torn").private_postgres(PostgresOptions::default()).table(DDL);
    let dead_letters = world.kafka.topic("torn_dead_letters", 1);
    let world = into_topic(world, &dead_letters);
    // Deferred, so that COMMIT waits for the lock, after the dead letter was sent.
    world.execute(
        "CREATE TABLE gate (); \
         CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN LOCK TABLE gate IN ACCESS SHARE MODE; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER pass AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW EXECUTE FUNCTION pass()",
    );
    let hold = world.hold("LOCK TABLE gate");
    world.produce((0..5).map(good).chain([Record::new(BAD)]).chain((6..10).map(good)));
    let sink = world.sink();
    let sent = || world.kafka.end_offsets(&dead_letters);
    wait::until(PATIENCE, "the dead letter is sent", || sent() == [1]);
    assert_eq!(state(&world), (0, 0), "acknowledged before anything is committed");
    world.postgres.restart_immediate();
    drop(hold);
    wait_state(&world, (9, 10));
    assert_eq!(sink.assert_accounted(), 10);
    assert_eq!(sent(), [1], "an acknowledged dead letter is not sent again by the same sink");
}

#[test]
fn nothing_commits_while_the_broker_refuses_a_dead_letter() {
    let dead_letters = tests::names::unique("narrow");
    let world = into_topic(World::new("narrow").table(DDL), &dead_letters);
    world.kafka.create_topic(&dead_letters, 1, &[("max.message.bytes", "10")]);
    world.produce((0..5).map(good).chain([Record::new(BAD)]));
    let sink = world.sink();
    wait_refused(&sink, &dead_letters, "too large for it; raise its max.message.bytes");
    assert_eq!(state(&world), (0, 0));
    world.kafka.alter_topic(&dead_letters, &[]);
    wait_state(&world, (5, 6));
    assert_eq!(world.kafka.read_all(&dead_letters).len(), 1);
}

#[test]
fn nothing_commits_while_the_topic_may_not_be_written_or_its_broker_is_unreachable() {
    let options = KafkaOptions::default()
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("allow.everyone.if.no.acl.found", "true");
    let world = World::new("barred").private_kafka(options).table(DDL);
    let dead_letters = world.kafka.topic("barred_dead_letters", 1);
    let world = into_topic(world, &dead_letters);
    // Whoever has a rule is the only one who may.
    let allow = |who: &str| {
        let topic = ["--operation", "Write", "--topic", &dead_letters];
        world.kafka.acl(&[&["--add", "--allow-principal", who], &topic[..]].concat());
    };
    allow("User:other");
    world.produce((0..5).map(good).chain([Record::new(BAD)]).chain((6..10).map(good)));
    let sink = world.sink();
    wait_refused(&sink, &dead_letters, "may not write to it");
    assert_eq!(state(&world), (0, 0), "nothing has been committed");
    allow("User:ANONYMOUS");
    wait_state(&world, (9, 10));
    sink.wait_ready(PATIENCE);

    // The next batch is read, and waits for its table, when the broker becomes unreachable.
    let hold = world.hold("LOCK TABLE t IN SHARE MODE");
    world.produce((10..15).map(good).chain([Record::new(BAD)]));
    let waiting = "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'kafka-sink:%' \
        AND wait_event_type = 'Lock'";
    wait::until(PATIENCE, "it waits", || world.count(waiting) == 1);
    world.kafka.kill();
    hold.release();
    wait_refused(&sink, &dead_letters, "");
    assert_eq!(state(&world), (9, 10), "nothing more has been committed");
    world.kafka.restart();
    wait_state(&world, (14, 16));
    assert!(world.kafka.end_offsets(&dead_letters)[0] >= 2, "both dead letters are there");
    assert_eq!(sink.assert_accounted(), 16);
}
