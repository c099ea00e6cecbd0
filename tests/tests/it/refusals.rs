//! Records that only the server can refuse: exactly those become dead letters, with the server's message, and all
//! others are written, in a number of round trips that depends on the refused records and hardly on the batch.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tests::{Postgres, PostgresOptions, Record, World};

const PATIENCE: Duration = Duration::from_secs(90);
const RECORDS: usize = 600;
/// First, in the middle (of a key that exists, in the keyed modes) and last.
const BAD: [usize; 3] = [0, 300, RECORDS - 1];

/// What refuses v = -1: statements that make it, the SQLSTATE, the constraint.
type Check = (&'static str, &'static str, Option<&'static str>);

const CHECKS: [Check; 8] = [
    ("ALTER TABLE t ADD CONSTRAINT positive CHECK (v >= 0)", "23514", Some("positive")),
    (
        "CREATE TABLE parent (v int PRIMARY KEY); INSERT INTO parent SELECT generate_series(0, 200000); \
         ALTER TABLE t ADD CONSTRAINT known FOREIGN KEY (v) REFERENCES parent",
        "23503",
        Some("known"),
    ),
    (
        "CREATE TABLE parent (v int PRIMARY KEY); INSERT INTO parent SELECT generate_series(0, 200000); \
         ALTER TABLE t ADD CONSTRAINT known FOREIGN KEY (v) REFERENCES parent DEFERRABLE INITIALLY DEFERRED",
        "23503",
        Some("known"),
    ),
    (
        "ALTER TABLE t ADD CONSTRAINT apart EXCLUDE USING gist (int4range(v * 10, v * 10 + 5) WITH &&); \
         INSERT INTO t (id, v) VALUES (-1, -1)",
        "23P01",
        Some("apart"),
    ),
    ("CREATE UNIQUE INDEX other ON t (v); INSERT INTO t (id, v) VALUES (-1, -1)", "23505", Some("other")),
    (
        "CREATE TABLE audit (v int PRIMARY KEY); INSERT INTO audit VALUES (-1); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN INSERT INTO audit VALUES (NEW.v); RETURN NULL; END $$; \
         CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()",
        "23505",
        Some("audit_pkey"),
    ),
    (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.v < 0 THEN RAISE EXCEPTION 'not here'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse()",
        "P0001",
        None,
    ),
    ("CREATE INDEX fraction ON t ((1 / (v + 1)))", "22012", None),
];

fn record(id: usize, bad: &[usize]) -> Record {
    let v = if bad.contains(&id) { -1 } else { i64::try_from(id).unwrap() };
    Record::json(&json!({"id": id, "v": v}))
}

/// Runs over records of which these are bad: exactly those are dead letters, and the others are rows.
fn assert_refused(world: &World<'_>, records: usize, bad: &[usize], check: Check) {
    world.produce((0..records).map(|id| record(id, bad)));
    let run = world.config.until_end_within(PATIENCE);
    assert_eq!(run.count("records"), i64::try_from(records).unwrap());
    assert_eq!(run.count("dead_letters"), i64::try_from(bad.len()).unwrap());
    assert_eq!(run.count("rows_written"), i64::try_from(records - bad.len()).unwrap());
    let sql = "SELECT \"offset\", sqlstate, \"constraint\", reason FROM sink_dead_letters ORDER BY 1";
    let dead_letters = world.client().query(sql, &[]).unwrap();
    let offsets: Vec<usize> =
        dead_letters.iter().map(|row| usize::try_from(row.get::<_, i64>(0)).unwrap()).collect();
    assert_eq!(offsets, bad, "{check:?}");
    for dead_letter in &dead_letters {
        assert_eq!(dead_letter.get::<_, String>(1), check.1, "{check:?}");
        assert_eq!(dead_letter.get::<_, Option<String>>(2).as_deref(), check.2, "{check:?}");
        assert_eq!(dead_letter.get::<_, String>(3), "refused");
    }
    let ids: Vec<i32> = world.column("SELECT id FROM t WHERE id >= 0 AND v = id ORDER BY id");
    let ids: Vec<usize> = ids.into_iter().map(|id| usize::try_from(id).unwrap()).collect();
    let good: Vec<usize> = (0..records).filter(|id| !bad.contains(id)).collect();
    assert!(ids == good, "{check:?}: {} rows of {}", ids.len(), good.len());
}

fn every_check_refuses(mode: &str) {
    let keyed = mode != "unkeyed";
    for check in CHECKS {
        let key = if keyed { "PRIMARY KEY" } else { "" };
        let world = World::new("refusals").table(&format!("CREATE TABLE t (id int {key}, v int)"));
        if mode == "upsert" {
            world.execute("INSERT INTO t SELECT n, 100000 + n FROM generate_series(0, 500, 2) n");
        }
        world.execute(check.0);
        let world = if keyed { world.keyed(mode, "id") } else { world.unkeyed() };
        assert_refused(&world, RECORDS, &BAD, check);
    }
}

#[test]
fn a_record_that_only_the_server_refuses_becomes_a_dead_letter_in_an_unkeyed_table() {
    every_check_refuses("unkeyed");
}

#[test]
fn a_record_that_only_the_server_refuses_becomes_a_dead_letter_in_upserts() {
    every_check_refuses("upsert");
}

#[test]
fn a_record_that_only_the_server_refuses_becomes_a_dead_letter_in_ignored_inserts() {
    every_check_refuses("insert_ignore");
}

/// COPY statements that a sink sent for 5,000 records in one batch.
fn copies(postgres: &Postgres, bad: &[usize]) -> usize {
    let world = World::new("copies")
        .postgres(postgres)
        .table(&format!("CREATE TABLE t (id int, v int); {}", CHECKS[0].0))
        .unkeyed()
        .set("batch.max_rows", 5_000)
        .set("batch.linger_ms", 1_000);
    let before = logged_copies(postgres);
    assert_refused(&world, 5_000, bad, CHECKS[0]);
    logged_copies(postgres) - before
}

/// How many COPY statements into `t` a cluster with `log_statement = all` has logged.
pub(crate) fn logged_copies(postgres: &Postgres) -> usize {
    let log = fs::read_to_string(postgres.dir().join("postgres.log")).unwrap();
    log.lines().filter(|line| line.contains(": COPY \"t\"") && line.contains("execute ")).count()
}

#[test]
fn refused_records_are_found_in_few_round_trips() {
    let postgres = Postgres::start(PostgresOptions::default().setting("log_statement", "all")).unwrap();
    // Bisecting 5,000 records takes 13 steps, each with at most one attempt at either half.
    let steps = 5_000_f64.log2().ceil() as usize;
    assert_eq!(copies(&postgres, &[]), 1, "without a refusal, one COPY");
    for place in [0, 2_500, 4_999] {
        let copies = copies(&postgres, &[place]);
        assert!((steps..=2 * steps + 2).contains(&copies), "{copies} for one at {place}");
    }
    let scattered: Vec<usize> = (0..50).map(|n| n * 100 + n * 37 % 100).collect();
    let copies = copies(&postgres, &scattered);
    assert!(copies <= 50 * 2 * 8 + 100, "{copies} for 50 of 5,000");
}
