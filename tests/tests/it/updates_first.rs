//! Upserts into a large table whose keys mostly exist: an UPDATE goes before the look-up.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, json};
use tests::{Postgres, PostgresOptions, Record, World, wait};

const EXISTING: i64 = 8_000;
/// Large enough for the UPDATE to go first.
const DDL: &str = "\
    CREATE TABLE t (id int PRIMARY KEY, required text NOT NULL, version int, a int, b int DEFAULT 7, pad text); \
    INSERT INTO t SELECT n, 'there', 100, n, n, repeat('x', 200) FROM generate_series(0, 7999) n";

fn postgres() -> Postgres {
    Postgres::start(PostgresOptions::default().setting("log_statement", "all")).unwrap()
}

fn world(postgres: &Postgres) -> World<'_> {
    World::new("updates_first")
        .partitions(1)
        .postgres(postgres)
        .table(DDL)
        .upsert("id")
        .set("batch.linger_ms", 300)
}

/// How many updates have gone before a look-up.
fn updates_first(postgres: &Postgres) -> usize {
    let log = fs::read_to_string(postgres.dir().join("postgres.log")).unwrap();
    log.lines().filter(|line| line.contains("UPDATE \"t\" t SET") && line.contains("RETURNING s.o")).count()
}

/// Of every four keys, three exist. Any of the columns may be missing, so some of the others cannot be inserted.
fn records(seed: u64, count: u32, keys: Range<i64>) -> Vec<Record> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|n| {
            let mut fields = Map::from_iter([("id".to_owned(), json!(random.random_range(keys.clone())))]);
            // Some are older than what is stored, most are not.
            fields.insert("version".to_owned(), json!(n / 10 + random.random_range(80..200)));
            for (name, chance) in [("required", 0.9), ("a", 0.5), ("b", 0.5)] {
                if random.random_bool(chance) {
                    let value = if name == "required" { json!(format!("r{n}")) } else { json!(n) };
                    fields.insert(name.to_owned(), value);
                }
            }
            Record::json(&serde_json::Value::Object(fields))
        })
        .collect()
}

#[test]
fn the_table_is_as_if_every_key_had_been_looked_up() {
    let postgres = postgres();
    for version in [None, Some("version")] {
        let records = records(1, 6_000, EXISTING / 4..EXISTING * 5 / 4);
        let outcome = |max_rows: i64| {
            let mut world = world(&postgres).set("batch.max_rows", max_rows);
            if let Some(field) = version {
                world = world.set("sink.version_field", field);
            }
            let before = updates_first(&postgres);
            let run = world.drain(records.iter().cloned());
            run.assert_accounted();
            let counts = ["rows_written", "skipped", "dead_letters"].map(|field| run.count(field));
            let rows: Vec<String> =
                world.column("SELECT concat_ws(' ', id, required, version, a, b) FROM t ORDER BY id");
            let rejected: Vec<i64> = world.column("SELECT \"offset\" FROM sink_dead_letters ORDER BY 1");
            (updates_first(&postgres) - before, (rows, rejected, counts))
        };
        // The sink expects nothing of the next batch from so few records.
        let (none, looked_up) = outcome(90);
        let (some, updated_first) = outcome(1_000);
        assert_eq!(none, 0);
        assert!(some >= 3, "{some} updates went first");
        let (_, rejected, [_, skipped, _]) = &looked_up;
        assert!(rejected.len() > 10 && *skipped > 0, "{looked_up:?}");
        assert_eq!(updated_first.0, looked_up.0, "rows, by {version:?}");
        assert_eq!(updated_first.1, looked_up.1, "dead letters, by {version:?}");
    }
}

#[test]
fn a_row_that_appears_during_the_update_is_updated_as_well() {
    let postgres = postgres();
    let world = world(&postgres).set("batch.max_rows", 500);
    let record = |id: i64| Record::json(&json!({"id": id, "required": "sink", "a": -1}));
    // The first batch shows that its keys exist. The second has a row that another session holds, and one that is new.
    world.produce((0..500).map(record));
    world.produce((1_000..1_499).map(record).chain([record(EXISTING)]));
    let held = world.hold("SELECT FROM t WHERE id = 1200 FOR UPDATE");
    let appearing = world.hold(&format!("INSERT INTO t VALUES ({EXISTING}, 'other', 1, 1, 1)"));
    let sink = world.sink();
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'kafka-sink:%' \
                 AND query LIKE 'UPDATE%RETURNING s.o' AND cardinality(pg_blocking_pids(pid)) > 0)";
    wait::until(Duration::from_secs(60), "the update waits for the held row", || world.one(waits));
    appearing.commit();
    held.commit();
    wait::until(Duration::from_secs(60), "both batches are written", || world.position() == 1_000);
    let run = sink.stop(Duration::from_secs(30));
    assert_eq!(world.count("t WHERE required = 'sink' AND a = -1"), 1_000, "{}", run.stdout);
}

#[test]
fn two_writers_of_the_same_keys_do_not_deadlock() {
    let postgres = postgres();
    let world = World::new("updates_first").postgres(&postgres).partitions(2).table(DDL).upsert("id");
    let world = world.set("batch.max_rows", 2_000).set("batch.linger_ms", 300);
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let record =
        |n: i32, id: i64| Record::json(&json!({"id": id, "required": "sink", "a": n})).partition(n % 2);
    let records: Vec<Record> = (0..60_000).map(|n| record(n, random.random_range(0..EXISTING))).collect();
    let run = world.drain(records);
    assert_eq!(run.count("records"), 60_000);
    assert!(updates_first(&postgres) > 10, "{} updates went first", updates_first(&postgres));
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(world.one::<i64>(deadlocks), 0);
    assert_eq!(world.rows(), EXISTING);
}
