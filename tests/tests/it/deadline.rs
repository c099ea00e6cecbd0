//! Transactions that pass `postgres.deadline_ms`: what never fits is written in smaller batches.

use std::time::Duration;

use serde_json::json;
use tests::signals::{self, Signal};
use tests::world::Builder;
use tests::{PostgresOptions, Sink, World, wait};

const PATIENCE: Duration = Duration::from_secs(120);
const RECORDS: i64 = 600;

/// Records, and a table that `ddl` makes slow.
fn world<'a>(builder: Builder<'a>, records: i64, ddl: &str) -> World<'a> {
    let world = builder.table(&format!("CREATE TABLE t (id int PRIMARY KEY, v int); {ddl}"));
    world.produce_json((0..records).map(|id| json!({"id": id, "v": id})));
    world.upsert("id").set("postgres.writers", 1).set("batch.linger_ms", 1_000)
}

#[track_caller]
fn assert_all_there(sink: &Sink, world: &World<'_>) {
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= RECORDS as f64);
    assert_eq!(sink.assert_accounted(), RECORDS as u64);
    sink.wait_ready(PATIENCE);
    assert!(sink.metrics().unwrap().sum("sink_dead_letters_total") < 1.0);
    assert_eq!(world.count("t WHERE v = id"), RECORDS);
    assert_eq!(world.position(), RECORDS);
}

/// 600 rows of 10 ms each do not fit into 2 s, whenever the trigger runs.
fn never_fits(trigger: &str) {
    let ddl = format!(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$; {trigger}"
    );
    let world = world(World::new("overdue"), RECORDS, &ddl).set("postgres.deadline_ms", 2_000);
    let sink = world.sink();
    assert_all_there(&sink, &world);
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
    let ddl = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$; \
               CREATE TRIGGER gate BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION gate()";
    let world = world(World::new("successor").private_postgres(postgres), RECORDS, ddl)
        .set("postgres.deadline_ms", 4_000);
    let gate = world.hold("SELECT pg_advisory_xact_lock(1)");
    let sink = world.sink();
    let at_the_gate = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND wait_event = 'advisory'";
    let in_copy = || world.column::<i32>(at_the_gate);
    let hung = wait::holds(PATIENCE, "the writer is inside COPY", in_copy, |pids| !pids.is_empty())[0];
    signals::send(hung, Signal::Stop);
    wait::until(PATIENCE, "the backend is frozen", || signals::is_stopped(hung));
    wait::until(PATIENCE, "the writer is replaced", || sink.stderr().contains("past its deadline, replaced"));
    gate.release();
    signals::send(hung, Signal::Cont);
    assert_all_there(&sink, &world);
    let largest: i64 =
        world.one("SELECT max(n) FROM (SELECT count(*) AS n FROM t GROUP BY xmin) transactions");
    assert!(largest <= RECORDS / 2, "{largest} rows in one transaction");
}

#[test]
fn records_that_arrive_while_a_batch_is_written_in_parts_follow_the_last_part() {
    const ALL: i64 = 1_500;
    let ddl = "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$; \
               CREATE TRIGGER dawdle BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dawdle()";
    // The first batch passes the deadline while the second, which is as large, is open.
    let world =
        world(World::new("parts"), ALL, ddl).set("postgres.deadline_ms", 1_500).set("batch.max_rows", 400);
    let sink = world.sink();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= ALL as f64);
    assert!(sink.stderr().contains("ended after postgres.deadline_ms"), "{}", sink.log_tail());
    assert_eq!(sink.assert_accounted(), ALL as u64);
    assert!(sink.metrics().unwrap().sum("sink_fenced_total") < 1.0, "{}", sink.log_tail());
    assert_eq!(world.count("t WHERE v = id"), ALL);
}
