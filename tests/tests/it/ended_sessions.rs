//! A record for which the server ends the session, or crashes: it becomes a dead letter after several sessions, each of which
//! has written another row of its table. A table that ends every session is waited for.

use serde_json::json;
use tests::{PostgresOptions, Record, World, wait};

use crate::evidence::PATIENCE;

const TERMINATE: &str = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10)";
/// The session ends without a word, and the server ends all others and recovers.
const CRASH: &str =
    "EXECUTE format('COPY (SELECT 1) TO PROGRAM ''kill -9 %s''', pg_backend_pid()); PERFORM pg_sleep(10)";

/// A trigger that does this for some rows.
fn trigger(kind: &str, condition: &str, deed: &str) -> String {
    format!(
        "CREATE FUNCTION ends() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF {condition} THEN {deed}; END IF; RETURN NEW; END $$; \
         {kind} FOR EACH ROW EXECUTE FUNCTION ends();"
    )
}

const BEFORE: &str = "CREATE TRIGGER ends BEFORE INSERT OR UPDATE ON t";
const DEFERRED: &str =
    "CREATE CONSTRAINT TRIGGER ends AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED";
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v int);";

fn record(id: i32, v: i32) -> serde_json::Value {
    json!({"id": id, "v": v})
}

/// The offsets of the dead letters.
fn dead_letters(world: &World<'_>) -> Vec<i64> {
    world.column("SELECT \"offset\" FROM sink_dead_letters ORDER BY 1")
}

/// Produces so many records, of which those at `fatal` end their session, into an empty table.
fn assert_found(kind: &str, records: i32, fatal: &[i32]) {
    let ddl = format!("{TABLE} {}", trigger(kind, "NEW.v = -1", TERMINATE));
    let world = World::new("ended").table(&ddl).upsert("id").set("batch.linger_ms", 300);
    world.produce_json((0..records).map(|id| record(id, if fatal.contains(&id) { -1 } else { id })));
    let run = world.config.until_end();
    let offsets: Vec<i64> = fatal.iter().map(|offset| i64::from(*offset)).collect();
    let good = i64::from(records) - offsets.len() as i64;
    assert_eq!((dead_letters(&world), world.rows()), (offsets, good), "{}", run.stderr);
    let reasons: Vec<String> = world.column("SELECT detail FROM sink_dead_letters");
    let named =
        |reason: &String| reason.contains("ended its session") && reason.contains("terminating connection");
    assert!(reasons.iter().all(named), "{reasons:?}");
}

#[test]
fn a_record_among_thousands_that_ends_its_session_is_found_in_a_few_attempts() {
    assert_found(BEFORE, 5_000, &[3_210]);
}

#[test]
fn the_first_and_the_last_record_of_an_empty_table_are_found() {
    assert_found(BEFORE, 20, &[0, 19]);
}

#[test]
fn a_record_that_ends_its_session_at_commit_is_found() {
    assert_found(DEFERRED, 20, &[7]);
}

#[test]
fn several_records_that_end_their_sessions_are_found_one_after_the_other() {
    assert_found(BEFORE, 100, &[3, 4, 50, 99]);
}

#[test]
fn a_record_that_ends_its_session_because_of_its_key_or_of_the_stored_row_is_found() {
    let by_key = trigger(BEFORE, "NEW.id = 7", TERMINATE);
    let by_row = trigger("CREATE TRIGGER ends BEFORE UPDATE ON t", "OLD.id = 7", TERMINATE);
    let stored = "INSERT INTO t SELECT n, n FROM generate_series(0, 50) n;";
    for (before, trigger, rows) in [("", &by_key, 19), (stored, &by_row, 51)] {
        let world = World::new("ended").table(&format!("{TABLE} {before} {trigger}")).upsert("id");
        world.produce_json((0..20).map(|id| record(id, 100 + id)));
        let run = world.config.until_end();
        assert_eq!((dead_letters(&world), world.rows()), (vec![7], rows), "{}", run.stderr);
        assert_eq!(world.count("t WHERE v >= 100"), 19);
    }
}

#[test]
fn a_batch_that_is_too_slow_for_whoever_ends_long_transactions_is_written_in_parts() {
    let slow = trigger(BEFORE, "true", "PERFORM pg_sleep(0.4)");
    let world =
        World::new("ended").table(&format!("{TABLE} {slow}")).upsert("id").set("batch.linger_ms", 300);
    world.produce_json((0..12).map(|id| record(id, id)));
    let sink = world.sink();
    let mut ended = 0;
    wait::until(PATIENCE, "all are written", || {
        ended += world.one::<i64>(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE application_name LIKE 'kafka-sink:%' AND datname = current_database() \
               AND xact_start < clock_timestamp() - interval '2 seconds'",
        );
        world.rows() == 12
    });
    assert!(ended >= 3, "{ended} sessions were ended");
    assert_eq!(world.dead_letters(), 0, "{}", sink.stderr());
    assert_eq!(sink.assert_accounted(), 12);
}

#[test]
fn a_record_alone_is_decided_by_a_row_that_the_table_had_before() {
    let ddl = format!(
        "{TABLE} INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; {}",
        trigger(BEFORE, "NEW.v = -1", TERMINATE)
    );
    let world = World::new("ended").table(&ddl).upsert("id");
    world.produce_json([record(100, -1)]);
    let run = world.config.until_end();
    assert_eq!((dead_letters(&world), world.rows()), (vec![0], 50), "{}", run.stderr);
}

#[test]
fn a_record_alone_in_an_empty_table_waits_for_others_and_costs_no_more_sessions() {
    let ddl = format!("{TABLE} {}", trigger(BEFORE, "NEW.v = -1", TERMINATE));
    let world = World::new("ended").table(&ddl).upsert("id");
    world.produce_json([record(0, -1)]);
    let sink = world.sink();
    sink.wait_not_ready(PATIENCE, &["ended its session", "waiting for one"]);
    assert_eq!(world.dead_letters(), 0);
    world.produce_json((1..5).map(|id| record(id, id)));
    world.wait_rows(PATIENCE, 4);
    sink.wait_ready(PATIENCE);
    assert_eq!(dead_letters(&world), [0], "{}", sink.stderr());
    assert_eq!(sink.assert_accounted(), 5);
}

#[test]
fn a_table_that_ends_every_session_is_waited_for_and_nothing_is_rejected() {
    let ddl = format!(
        "{TABLE} INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; {}",
        trigger(BEFORE, "true", TERMINATE)
    );
    let world = World::new("ended").table(&ddl).upsert("id");
    world.produce_json((100..110).map(|id| record(id, id)));
    let sink = world.sink();
    sink.wait_not_ready(PATIENCE, &["57P01"]);
    sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= 16.0);
    assert_eq!((world.dead_letters(), world.rows()), (0, 50), "{}", sink.stderr());
    world.execute("DROP TRIGGER ends ON t");
    world.wait_rows(PATIENCE, 60);
    assert_eq!(world.dead_letters(), 0);
}

#[test]
fn a_script_that_ends_whoever_waits_for_a_lock_counts_against_no_record() {
    let world = World::new("ended").table(TABLE).upsert("id").set("batch.linger_ms", 300);
    world.execute("INSERT INTO t SELECT n, n FROM generate_series(0, 50) n");
    let lock = world.hold("UPDATE t SET v = 0 WHERE id = 4");
    world.produce_json((0..10).map(|id| record(id, 100 + id)));
    let sink = world.sink();
    let mut ended = 0;
    wait::until(PATIENCE, "eight sessions end", || {
        ended += world.one::<i64>(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE wait_event_type = 'Lock' AND application_name LIKE 'kafka-sink:%' AND datname = current_database() \
               AND query_start < clock_timestamp() - interval '1 second'",
        );
        ended >= 8
    });
    assert_eq!(world.dead_letters(), 0, "{}", sink.stderr());
    lock.release();
    wait::until(PATIENCE, "all are written", || world.count("t WHERE v >= 100") == 10);
    assert_eq!(world.dead_letters(), 0, "{}", sink.stderr());
    assert_eq!(sink.assert_accounted(), 10);
}

#[test]
fn a_record_for_which_the_server_crashes_is_found() {
    let ddl = format!("{TABLE} {}", trigger(BEFORE, "NEW.v = -1", CRASH));
    let world = World::new("crash").private_postgres(PostgresOptions::default()).table(&ddl).upsert("id");
    world.produce_json((0..20).map(|id| record(id, if id == 7 { -1 } else { id })));
    let run = world.config.until_end();
    assert_eq!((dead_letters(&world), world.rows()), (vec![7], 19), "{}", run.stderr);
    assert!(
        world.postgres.log_tail().contains("was terminated by signal 9"),
        "{}",
        world.postgres.log_tail()
    );
}

#[test]
fn other_tables_are_written_while_a_record_ends_the_sessions_of_its_own() {
    let mut world = World::new("ended")
        .topics(2)
        .table(&format!(
            "CREATE TABLE sound (id int PRIMARY KEY, v int); {TABLE} {}",
            trigger(BEFORE, "NEW.v = -1", TERMINATE)
        ))
        .upsert("id")
        .set("postgres.writers", 1)
        .set("batch.linger_ms", 300);
    let (sick, sound) = (world.topics[0].clone(), world.topics[1].clone());
    world.config = world.config.topic_set(&sound, "table", "sound");
    let records = |bad: Option<i32>| {
        (0..10).map(move |id| Record::json(&record(id, if Some(id) == bad { -1 } else { id })))
    };
    world.kafka.produce(&sick, records(Some(4)));
    world.kafka.produce(&sound, records(None));
    let sink = world.sink();
    wait::holds(PATIENCE, "the sound table", || world.count("sound"), |rows| *rows == 10);
    world.wait_rows(PATIENCE, 9);
    sink.wait_ready(PATIENCE);
    assert_eq!(dead_letters(&world), [4], "{}", sink.stderr());
    assert_eq!(sink.assert_accounted(), 20);
}
