//! What the functions of a table do to the session of the sink changes neither rows nor later batches.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Record, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);
const PERIOD: &str = "[2024-01-02 10:00:00,2024-03-10 10:00:00)";
const ROWS: i64 = 300;

/// A table whose trigger does `what` for each row, and 300 records that are written in batches of 20.
fn world(what: &str, when: &str, mode: &str) -> World<'static> {
    let world = World::new("trigger_sets").table(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, period tstzrange, name text, note text); CREATE SCHEMA other; \
         CREATE TABLE other.t (LIKE t); DO $$ BEGIN CREATE ROLE other_role; EXCEPTION WHEN duplicate_object OR unique_violation \
         THEN NULL; END $$; \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN new; END $$; \
         CREATE TRIGGER g {when} INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()"
    ));
    let world = if mode == "plain" { world.unkeyed() } else { world.keyed(mode, "id") };
    world.set("batch.max_rows", 20)
}

fn records(name: &str) -> impl Iterator<Item = Record> {
    (0..ROWS).map(move |id| {
        // Every second record lacks a column, so that no single COPY writes them all.
        let record = json!({"id": id, "period": PERIOD, "name": name});
        let more = json!({"id": id, "period": PERIOD, "name": name, "note": "è"});
        Record::json(if id % 2 == 0 { &record } else { &more })
    })
}

fn assert_rows(world: &World<'_>, name: &str, context: &str) {
    let kinds: Vec<String> = world.column(
        "SELECT concat_ws(' ', period, name, note, count(*)) FROM t GROUP BY period, name, note ORDER BY note NULLS FIRST",
    );
    let period = "[\"2024-01-02 10:00:00+00\",\"2024-03-10 10:00:00+00\")";
    let half = ROWS / 2;
    assert_eq!(kinds, [format!("{period} {name} {half}"), format!("{period} {name} è {half}")], "{context}");
    assert_eq!(world.count("other.t"), 0, "{context}");
}

const SETTINGS: &[&str] = &[
    "SET search_path = other",
    "SET TimeZone = 'America/New_York'",
    "SET DateStyle = 'German, DMY'",
    "SET client_encoding = 'LATIN1'",
    "SET ROLE other_role",
    "SET session_replication_role = replica",
    "SET default_transaction_read_only = on",
    "SET lock_timeout = 1",
    "RESET ALL",
    "SET array_nulls = off",
    "PERFORM pg_advisory_lock(1)",
];

fn assert_unharmed(when: &str) {
    for mode in ["plain", "insert", "upsert"] {
        for what in SETTINGS {
            let context = format!("{what}, {when}, {mode}");
            let world = world(what, when, mode);
            world.execute("GRANT ALL ON SCHEMA public TO other_role; GRANT ALL ON t TO other_role");
            let began = Instant::now();
            world.produce(records("é"));
            let sink = world.sink();
            world.wait_rows(PATIENCE, ROWS);
            assert_rows(&world, "é", &context);
            if mode == "upsert" {
                world.produce(records("ü"));
                let updated = || world.count("t WHERE name <> 'é'");
                wait::holds(PATIENCE, "the rows are updated", updated, |updated| *updated == ROWS);
                assert_rows(&world, "ü", &context);
            }
            assert!(began.elapsed() < Duration::from_secs(10), "{context}: {:?}", began.elapsed());
            let log = sink.stderr();
            assert!(!log.contains("WARN") && !log.contains("ERROR"), "{context}: {log}");
            // In one statement, that would change the rows behind the first.
            let changes_reading = what.contains("client_encoding") || what.contains("TimeZone");
            if changes_reading && when == "BEFORE" {
                assert!(log.contains("its rows are read before they run"), "{context}: {log}");
            }
            sink.stop(PATIENCE).expect_code(0);
        }
    }
}

#[test]
fn what_a_trigger_sets_in_the_session_changes_no_later_batch_and_holds_nothing_up() {
    assert_unharmed("AFTER");
}

#[test]
fn what_a_trigger_sets_in_the_session_changes_no_later_row_of_its_batch() {
    assert_unharmed("BEFORE");
}

#[test]
fn rows_that_differ_in_what_they_carry_are_not_changed_either() {
    let columns: Vec<String> = (0..12).map(|n| format!("c{n} tstzrange")).collect();
    let world = World::new("trigger_shapes")
        .table(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, {}); \
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET TimeZone = 'America/New_York'; RETURN new; END $$; \
             CREATE TRIGGER g BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
            columns.join(", ")
        ))
        .upsert("id");
    let record = |id: i64, salt: i64| {
        let carried = (0..12).filter(|n| (id * 37 + salt) >> (n % 10) & 1 == 1);
        let fields = carried.map(|n| (format!("c{n}"), json!(PERIOD)));
        let record: serde_json::Map<String, serde_json::Value> =
            fields.chain([("id".to_owned(), json!(id))]).collect();
        Record::json(&record.into())
    };
    world.drain((0..ROWS).map(|id| record(id, 0)));
    world.drain((0..ROWS).map(|id| record(id, 11)));
    let each: Vec<String> = (0..12).map(|n| format!("(c{n})")).collect();
    let kinds: Vec<String> = world.column(&format!(
        "SELECT DISTINCT v::text FROM t, LATERAL (VALUES {}) c(v) WHERE v IS NOT NULL",
        each.join(", ")
    ));
    assert_eq!(kinds, ["[\"2024-01-02 10:00:00+00\",\"2024-03-10 10:00:00+00\")"]);
    assert_eq!(world.rows(), ROWS);
    world.config.finish(&["check"], PATIENCE).expect_code(0);
}

/// Periods that were not read in UTC.
fn shifted(world: &World<'_>, table: &str) -> i64 {
    world.count(&format!("{table} WHERE period::text NOT LIKE '[\"2024-01-02 10:00:00+00\"%'"))
}

#[test]
fn rows_of_new_keys_and_of_other_tables_go_where_they_belong() {
    for what in ["SET search_path = other", "SET LOCAL search_path = ''", "SET LOCAL ROLE other_role"] {
        let world = world(what, "BEFORE", "upsert");
        world.drain(records("é").take(150));
        // Updates first, then inserts.
        let run = world.drain(records("é"));
        assert!(!run.stderr.contains("WARN"), "{what}: {}", run.stderr);
        assert_rows(&world, "é", what);
    }
    let world = World::new("trigger_tables").topics(2).table(
        "CREATE SCHEMA other; CREATE TABLE other.b (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY); \
         CREATE TABLE b (LIKE other.b INCLUDING ALL); \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET LOCAL search_path = other; RETURN new; END $$; \
         CREATE TRIGGER g BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()",
    );
    let world = world.upsert("id").set("postgres.writers", 1);
    let (a, b) = (world.topics[0].clone(), world.topics[1].clone());
    for topic in [&a, &b] {
        world.kafka.produce(topic, (0..20).map(|id| Record::json(&json!({"id": id}))));
    }
    let world = world.with(|config| config.topic_set(&a, "table", "a").topic_set(&b, "table", "b"));
    world.config.until_end();
    assert_eq!((world.count("a"), world.count("b"), world.count("other.b")), (20, 20, 0));
}

#[test]
fn rows_behind_a_rejected_record_are_read_as_they_should() {
    const SHIFT: &str = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN SET TimeZone = 'America/New_York'; PERFORM pg_advisory_lock(1); RETURN new; END $$;";
    for trigger in [
        "CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f()",
    ] {
        let world = World::new("trigger_rejected")
            .table(&format!(
                "CREATE TABLE t (id int PRIMARY KEY CHECK (id % 7 <> 3), period tstzrange); {SHIFT} {trigger}"
            ))
            .upsert("id")
            .set("errors.breaker_ratio", 1.0);
        world.drain((0..70).map(|id| Record::json(&json!({"id": id, "period": PERIOD}))));
        assert_eq!((world.rows(), world.dead_letters(), shifted(&world, "t")), (60, 10, 0), "{trigger}");
    }
}

#[test]
fn functions_of_statements_checks_defaults_and_cascades_count_as_well() {
    const SET: &str = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN SET TimeZone = 'America/New_York'; RETURN new; END $$; \
         CREATE FUNCTION c(int) RETURNS bool LANGUAGE plpgsql AS \
         $$ BEGIN SET TimeZone = 'America/New_York'; RETURN true; END $$;";
    for (ddl, size) in [
        (
            "CREATE TABLE t (id int PRIMARY KEY, period tstzrange); \
          CREATE TRIGGER g BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION f()",
            1,
        ),
        ("CREATE TABLE t (id int PRIMARY KEY CHECK (c(id)), period tstzrange)", 5),
        ("CREATE TABLE t (id int PRIMARY KEY, period tstzrange, d bool DEFAULT c(1))", 5),
        ("CREATE DOMAIN i AS int CHECK (c(VALUE)); CREATE TABLE t (id i PRIMARY KEY, period tstzrange)", 5),
    ] {
        let world =
            World::new("functions").table(&format!("{SET} {ddl}")).upsert("id").set("batch.max_rows", size);
        world.drain((0..20).map(|id| Record::json(&json!({"id": id, "period": PERIOD}))));
        assert_eq!((world.rows(), shifted(&world, "t")), (20, 0), "{ddl}");
    }
    let world = World::new("cascade")
        .table(&format!(
            "{SET} CREATE TABLE t (id int PRIMARY KEY, period tstzrange); \
             CREATE TABLE child (id int REFERENCES t ON DELETE CASCADE); \
             CREATE TRIGGER g AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION f()"
        ))
        .keyed_by_record("id")
        .set("batch.max_rows", 1);
    let record = |id: &str| Record::keyed(id, json!({"period": PERIOD}).to_string());
    world.drain([record("1")]);
    world.execute("INSERT INTO child VALUES (1)");
    world.drain([Record::tombstone("1"), record("3"), record("4")]);
    assert_eq!((world.count("child"), world.rows(), shifted(&world, "t")), (0, 2, 0));
}
