//! Statements that the server cancels: a batch that takes too long is written in portions.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig, names, wait};

const PATIENCE: Duration = Duration::from_secs(120);
const RECORDS: i64 = 2_000;

#[test]
fn a_batch_that_never_fits_into_statement_timeout_is_written_in_portions() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("slow", 2);
    let url = postgres.database("slow");
    let mut client = tests::postgres::connect(&url);
    let role = names::unique("slow").replace('-', "_");
    client
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, v int); \
             CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM pg_sleep(0.004); RETURN NEW; END $$; \
             CREATE TRIGGER dawdle BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION dawdle(); \
             CREATE ROLE {role} LOGIN; GRANT ALL ON t TO {role}; GRANT ALL ON SCHEMA public TO {role}; \
             ALTER ROLE {role} SET statement_timeout = '1500ms'"
        ))
        .unwrap();
    let record = |id: i64| Record::json(&json!({"id": id, "v": id})).partition(i32::from(id % 3 == 0));
    kafka.produce(&topic, (0..RECORDS).map(record));
    let sink = SinkConfig::new(kafka.bootstrap(), url.replace("postgres@", &format!("{role}@")))
        .topic(&topic)
        .table("t")
        .pk_fields(&["id"])
        .set("postgres.writers", 1)
        .set("batch.max_rows", 1_000)
        .set("batch.linger_ms", 1_000)
        .run();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= RECORDS as f64);
    assert_eq!(sink.assert_accounted(), RECORDS as u64);
    let metrics = sink.metrics().unwrap();
    let cancelled = metrics.sum_where("sink_retries_total", &[("class", "transient")]);
    assert!((1.0..=8.0).contains(&cancelled), "{cancelled} statements were cancelled");
    assert!(metrics.sum("sink_dead_letters_total") < 1.0);
    sink.wait_ready(PATIENCE);
    let rows: i64 = client.query_one("SELECT count(*) FROM t WHERE v = id", &[]).unwrap().get(0);
    assert_eq!(rows, RECORDS);
    let positions: i64 =
        client.query_one("SELECT sum(next_offset)::int8 FROM sink_offsets", &[]).unwrap().get(0);
    assert_eq!(positions, RECORDS);
}

#[test]
fn a_statement_that_the_operator_cancels_is_tried_again() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("cancelled", 1);
    let url = postgres.database("cancelled");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int); \
             CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$; \
             CREATE TRIGGER hold BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION hold(); \
             SELECT pg_advisory_lock(7)",
        )
        .unwrap();
    kafka.produce(&topic, (0..100).map(|id| Record::json(&json!({"id": id, "v": id}))));
    let sink = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t").pk_fields(&["id"]).run();
    // Alone, a record is tried again as often as it takes.
    for cancelled in 1..=9 {
        wait::until(PATIENCE, "a statement waits, and is cancelled", || {
            let cancel = "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event = 'advisory' OFFSET 0) w";
            client.query_one(cancel, &[]).unwrap().get::<_, i64>(0) > 0
        });
        let retries = f64::from(cancelled);
        sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= retries);
    }
    client.batch_execute("SELECT pg_advisory_unlock(7)").unwrap();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 100.0);
    assert_eq!(sink.assert_accounted(), 100);
    let rows: i64 = client.query_one("SELECT count(*) FROM t WHERE v = id", &[]).unwrap().get(0);
    assert_eq!(rows, 100);
    assert!(sink.metrics().unwrap().sum("sink_dead_letters_total") < 1.0);
    sink.wait_ready(PATIENCE);
}

#[test]
fn a_breaker_that_opens_within_the_portions_of_a_batch_holds_those_that_follow() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("portions", 1);
    let url = postgres.database("portions");
    let mut client = tests::postgres::connect(&url);
    let role = names::unique("portions").replace('-', "_");
    client
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, v int); \
             CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$; \
             CREATE TRIGGER dawdle BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dawdle(); \
             CREATE ROLE {role} LOGIN; GRANT ALL ON t TO {role}; GRANT ALL ON SCHEMA public TO {role}; \
             ALTER ROLE {role} SET statement_timeout = '1500ms'"
        ))
        .unwrap();
    // Slow ones first, so that the whole is cancelled; then three portions of a hundred that are refused.
    let v = |id: i64| if id < 300 { json!(id) } else { json!("late") };
    kafka.produce(&topic, (0..600).map(|id| Record::json(&json!({"id": id, "v": v(id)}))));
    let sink = SinkConfig::new(kafka.bootstrap(), url.replace("postgres@", &format!("{role}@")))
        .topic(&topic)
        .table("t")
        .pk_fields(&["id"])
        .set("batch.max_rows", 600)
        .set("batch.linger_ms", 2_000)
        .set("errors.breaker_window_records", 100)
        .set("errors.breaker_retry_ms", 500)
        .run();
    sink.wait_metric(PATIENCE, "sink_breaker_open", |open| open >= 1.0);
    let metrics = sink.metrics().unwrap();
    assert!(metrics.sum_where("sink_retries_total", &[("class", "transient")]) >= 1.0, "it was cancelled");
    let tried = metrics.sum_where("sink_batches_total", &[("outcome", "breaker")]);
    sink.wait_metric(PATIENCE, "sink_batches_total", |_| {
        let metrics = sink.metrics().unwrap();
        metrics.sum_where("sink_batches_total", &[("outcome", "breaker")]) >= tried + 2.0
    });
    client.batch_execute("ALTER TABLE t ALTER v TYPE text").unwrap();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 600.0);
    sink.wait_metric(PATIENCE, "sink_breaker_open", |open| open < 1.0);
    assert_eq!(sink.assert_accounted(), 600);
    let metrics = sink.metrics().unwrap();
    assert!(metrics.sum("sink_fenced_total") < 1.0 && metrics.sum("sink_dead_letters_total") < 1.0);
    let rows: i64 = client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0);
    assert_eq!(rows, 600);
}

#[test]
fn a_portion_that_fails_alone_is_told_by_the_portions_that_follow() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("lone-portion", 1);
    let url = postgres.database("lone-portion");
    let mut client = tests::postgres::connect(&url);
    let role = names::unique("lone").replace('-', "_");
    // Two of them take too long, and two fail on what is the operator's.
    client
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, v int); \
             CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM pg_sleep(1.2); IF NEW.v = -1 THEN PERFORM 1 FROM no_such_table; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER dawdle BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dawdle(); \
             CREATE ROLE {role} LOGIN; GRANT ALL ON t TO {role}; GRANT ALL ON SCHEMA public TO {role}; \
             ALTER ROLE {role} SET statement_timeout = '2s'"
        ))
        .unwrap();
    let v = |id: i64| if id == 1 || id == 2 { -1 } else { id };
    kafka.produce(&topic, (0..6).map(|id| Record::json(&json!({"id": id, "v": v(id)}))));
    let sink = SinkConfig::new(kafka.bootstrap(), url.replace("postgres@", &format!("{role}@")))
        .topic(&topic)
        .table("t")
        .pk_fields(&["id"])
        .set("batch.linger_ms", 2_000)
        .run();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 4.0);
    assert_eq!(sink.assert_accounted(), 6);
    let metrics = sink.metrics().unwrap();
    assert!(metrics.sum_where("sink_retries_total", &[("class", "transient")]) >= 1.0, "it was cancelled");
    assert!(metrics.sum("sink_fenced_total") < 1.0);
    sink.wait_ready(PATIENCE);
    let letters =
        client.query("SELECT \"offset\" FROM sink_dead_letters WHERE sqlstate = '42P01' ORDER BY 1", &[]);
    let letters: Vec<i64> = letters.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(letters, [1, 2]);
}
