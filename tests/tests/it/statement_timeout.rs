//! Statements that the server cancels: a batch that takes too long is written in smaller parts.

use std::time::Duration;

use serde_json::json;
use tests::{Record, World, wait};

const PATIENCE: Duration = Duration::from_secs(120);
const RECORDS: i64 = 2_000;

/// A table that is written slowly, as this body of a trigger says, by a role whose statements have a time limit.
fn slow_table(name: &str, partitions: i32, body: &str, timeout: &str) -> World<'static> {
    let ddl = format!(
        "CREATE TABLE t (id int PRIMARY KEY, v int); \
         CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$; \
         CREATE TRIGGER dawdle BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION dawdle()"
    );
    let role = format!(
        "GRANT ALL ON t TO $role; GRANT ALL ON SCHEMA public TO $role; \
         ALTER ROLE $role SET statement_timeout = '{timeout}'"
    );
    World::new(name).partitions(partitions).table(&ddl).role(&role).upsert("id")
}

#[test]
fn a_batch_that_takes_longer_than_statement_timeout_is_written_in_smaller_parts() {
    let world = slow_table("slow", 2, "PERFORM pg_sleep(0.004)", "1500ms").with(|config| {
        config.set("postgres.writers", 1).set("batch.max_rows", 1_000).set("batch.linger_ms", 1_000)
    });
    let record = |id: i64| Record::json(&json!({"id": id, "v": id})).partition(i32::from(id % 3 == 0));
    world.produce((0..RECORDS).map(record));
    let sink = world.sink();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= RECORDS as f64);
    assert_eq!(sink.assert_accounted(), RECORDS as u64);
    let metrics = sink.metrics().unwrap();
    let cancelled = metrics.sum_where("sink_retries_total", &[("class", "transient")]);
    assert!((1.0..=8.0).contains(&cancelled), "{cancelled} statements were cancelled");
    assert!(metrics.sum("sink_dead_letters_total") < 1.0);
    sink.wait_ready(PATIENCE);
    assert_eq!(world.count("t WHERE v = id"), RECORDS);
    assert_eq!(world.position(), RECORDS);
}

#[test]
fn a_statement_that_the_operator_cancels_is_tried_again() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int); \
         CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$; \
         CREATE TRIGGER hold BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION hold()";
    let world = World::new("cancelled").table(ddl).upsert("id");
    let hold = world.hold("SELECT pg_advisory_xact_lock(7)");
    world.produce_json((0..100).map(|id| json!({"id": id, "v": id})));
    let sink = world.sink();
    // Alone, a record is tried again as often as it takes.
    for cancelled in 1..=9 {
        wait::until(PATIENCE, "a statement waits, and is cancelled", || {
            let cancel = "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event = 'advisory' OFFSET 0) w";
            world.one::<i64>(cancel) > 0
        });
        let retries = f64::from(cancelled);
        sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= retries);
    }
    hold.release();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 100.0);
    assert_eq!(sink.assert_accounted(), 100);
    assert_eq!(world.count("t WHERE v = id"), 100);
    assert!(sink.metrics().unwrap().sum("sink_dead_letters_total") < 1.0);
    sink.wait_ready(PATIENCE);
}

#[test]
fn a_breaker_that_opens_in_a_part_of_a_batch_holds_the_parts_that_follow() {
    let world = slow_table("parts", 1, "PERFORM pg_sleep(0.01)", "1500ms").with(|config| {
        config
            .set("batch.max_rows", 600)
            .set("batch.linger_ms", 2_000)
            .set("errors.breaker_window_records", 100)
            .set("errors.breaker_retry_ms", 500)
    });
    // Slow ones first, so that the whole is cancelled; then three parts of a hundred that are refused.
    let v = |id: i64| if id < 300 { json!(id) } else { json!("late") };
    world.produce_json((0..600).map(|id| json!({"id": id, "v": v(id)})));
    let sink = world.sink();
    sink.wait_metric(PATIENCE, "sink_breaker_open", |open| open >= 1.0);
    let metrics = sink.metrics().unwrap();
    assert!(metrics.sum_where("sink_retries_total", &[("class", "transient")]) >= 1.0, "it was cancelled");
    let tried = metrics.sum_where("sink_batches_total", &[("outcome", "breaker")]);
    sink.wait_metric(PATIENCE, "sink_batches_total", |_| {
        let metrics = sink.metrics().unwrap();
        metrics.sum_where("sink_batches_total", &[("outcome", "breaker")]) >= tried + 2.0
    });
    world.execute("ALTER TABLE t ALTER v TYPE text");
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 600.0);
    sink.wait_metric(PATIENCE, "sink_breaker_open", |open| open < 1.0);
    assert_eq!(sink.assert_accounted(), 600);
    let metrics = sink.metrics().unwrap();
    assert!(metrics.sum("sink_fenced_total") < 1.0 && metrics.sum("sink_dead_letters_total") < 1.0);
    assert_eq!(world.rows(), 600);
}

#[test]
fn a_part_that_fails_alone_is_decided_by_the_parts_that_follow() {
    // Two of them take too long together, and two fail with an error of the configuration.
    let body = "PERFORM pg_sleep(1.2); IF NEW.v = -1 THEN PERFORM 1 FROM no_such_table; END IF";
    let world = slow_table("lone-part", 1, body, "2s").set("batch.linger_ms", 2_000);
    let v = |id: i64| if id == 1 || id == 2 { -1 } else { id };
    world.produce_json((0..6).map(|id| json!({"id": id, "v": v(id)})));
    let sink = world.sink();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 4.0);
    assert_eq!(sink.assert_accounted(), 6);
    let metrics = sink.metrics().unwrap();
    assert!(metrics.sum_where("sink_retries_total", &[("class", "transient")]) >= 1.0, "it was cancelled");
    assert!(metrics.sum("sink_fenced_total") < 1.0);
    sink.wait_ready(PATIENCE);
    let offsets = "SELECT \"offset\" FROM sink_dead_letters WHERE sqlstate = '42P01' ORDER BY 1";
    assert_eq!(world.column::<i64>(offsets), [1, 2]);
}
