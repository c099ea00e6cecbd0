//! Transactions that pass `postgres.deadline_ms`: what never fits is written in smaller batches.

use std::time::Duration;

use postgres::Client;
use serde_json::json;
use tests::signals::{self, Signal};
use tests::{KafkaOptions, PostgresOptions, Record, Services, Sink, SinkConfig, wait};

const PATIENCE: Duration = Duration::from_secs(120);
const RECORDS: i64 = 600;

fn config(services: &Services, topic: &str, url: &str) -> SinkConfig {
    SinkConfig::new(services.kafka.bootstrap(), url)
        .topic(topic)
        .table("t")
        .pk_fields(&["id"])
        .set("postgres.writers", 1)
        .set("batch.linger_ms", 1_000)
}

fn produce(services: &Services, topic: &str) {
    services.kafka.produce(topic, (0..RECORDS).map(|id| Record::json(&json!({"id": id, "v": id}))));
}

#[track_caller]
fn assert_all_there(sink: &Sink, client: &mut Client) {
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= RECORDS as f64);
    assert_eq!(sink.assert_accounted(), RECORDS as u64);
    sink.wait_ready(PATIENCE);
    assert!(sink.metrics().unwrap().sum("sink_dead_letters_total") < 1.0);
    let rows: i64 = client.query_one("SELECT count(*) FROM t WHERE v = id", &[]).unwrap().get(0);
    assert_eq!(rows, RECORDS);
    let position: i64 = client.query_one("SELECT next_offset FROM sink_offsets", &[]).unwrap().get(0);
    assert_eq!(position, RECORDS);
}

/// 600 rows of 10 ms each do not fit into 2 s, whenever the trigger runs.
fn never_fits(trigger: &str) {
    let services = Services::shared();
    let topic = services.kafka.topic("overdue", 1);
    let url = services.postgres.database("overdue");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, v int); \
             CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$; {trigger}"
        ))
        .unwrap();
    produce(services, &topic);
    let sink = config(services, &topic, &url).set("postgres.deadline_ms", 2_000).run();
    assert_all_there(&sink, &mut client);
    assert!(sink.stderr().contains("ended after postgres.deadline_ms"), "{}", sink.log_tail());
    let failed = sink.metrics().unwrap().sum("sink_retries_total");
    assert!((1.0..=6.0).contains(&failed), "{failed} attempts failed");
}

#[test]
fn a_batch_that_never_fits_into_the_deadline_is_written_in_smaller_ones() {
    never_fits("CREATE TRIGGER dawdle BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dawdle()");
}

#[test]
fn a_commit_that_never_fits_into_the_deadline_is_written_in_smaller_ones() {
    never_fits(
        "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION dawdle()",
    );
}

#[test]
fn the_successor_of_a_writer_that_hangs_begins_with_smaller_batches() {
    // A backend stopped in its search for deadlocks, a second into a wait, would hold the locks of the whole server.
    let postgres = PostgresOptions::default().setting("deadlock_timeout", "10min");
    let services = Services::start(KafkaOptions::default(), postgres).unwrap();
    let topic = services.kafka.topic("successor", 1);
    let url = services.postgres.database("successor");
    let (mut client, mut holder) = (tests::postgres::connect(&url), tests::postgres::connect(&url));
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int); \
             CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$; \
             CREATE TRIGGER gate BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION gate()",
        )
        .unwrap();
    holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    produce(&services, &topic);
    let sink = config(&services, &topic, &url).set("postgres.deadline_ms", 4_000).run();
    let at_the_gate = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND wait_event = 'advisory'";
    let hung = wait::holds(
        PATIENCE,
        "the writer is inside COPY",
        || client.query_opt(at_the_gate, &[]).unwrap().map(|row| row.get::<_, i32>(0)),
        Option::is_some,
    );
    let hung = hung.expect("it was waited for");
    signals::send(hung, Signal::Stop);
    wait::until(PATIENCE, "the backend is frozen", || signals::is_stopped(hung));
    wait::until(PATIENCE, "the writer is replaced", || sink.stderr().contains("past its deadline, replaced"));
    holder.batch_execute("SELECT pg_advisory_unlock(1)").unwrap();
    signals::send(hung, Signal::Cont);
    assert_all_there(&sink, &mut client);
    let largest = "SELECT max(n) FROM (SELECT count(*) AS n FROM t GROUP BY xmin) transactions";
    let largest: i64 = client.query_one(largest, &[]).unwrap().get(0);
    assert!(largest <= RECORDS / 2, "{largest} rows in one transaction");
}

#[test]
fn records_that_arrive_while_a_batch_is_written_in_parts_follow_the_last_part() {
    const ALL: i64 = 1_500;
    let services = Services::shared();
    let topic = services.kafka.topic("parts", 1);
    let url = services.postgres.database("parts");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int); \
             CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$; \
             CREATE TRIGGER dawdle BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dawdle()",
        )
        .unwrap();
    services.kafka.produce(&topic, (0..ALL).map(|id| Record::json(&json!({"id": id, "v": id}))));
    // The first batch passes the deadline while the second, which is as large, is open.
    let sink =
        config(services, &topic, &url).set("postgres.deadline_ms", 1_500).set("batch.max_rows", 400).run();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= ALL as f64);
    assert!(sink.stderr().contains("ended after postgres.deadline_ms"), "{}", sink.log_tail());
    assert_eq!(sink.assert_accounted(), ALL as u64);
    assert!(sink.metrics().unwrap().sum("sink_fenced_total") < 1.0, "{}", sink.log_tail());
    let rows: i64 = client.query_one("SELECT count(*) FROM t WHERE v = id", &[]).unwrap().get(0);
    assert_eq!(rows, ALL);
}
