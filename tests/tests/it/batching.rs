//! The result equals applying the records one by one, whatever the batching: the same random records, in batches of
//! one, of a few and of all, give the same table and the same dead letters in every mode.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use tests::{Record, World};

const RECORDS: usize = 300;
const KEYS: u32 = 60;
const SIZES: [u32; 3] = [1, 7, 5000];

/// A table that has no constraint but its key.
const PLAIN: &str = "CREATE TABLE t (id int PRIMARY KEY, required text NOT NULL, a int, b text DEFAULT 'none'); \
     INSERT INTO t SELECT i, 'there', i, 'before' FROM generate_series(0, 20) i";
/// A CHECK that depends on what is stored already, a foreign key, and a second unique index.
const CONSTRAINED: &str = "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(0, 5); \
     CREATE TABLE t (id int PRIMARY KEY, required text NOT NULL, a int, b text DEFAULT 'none', \
        c int DEFAULT 3 REFERENCES parent, u int UNIQUE, CHECK ((a + c) % 4 <> 1)); \
     INSERT INTO t SELECT i, 'there', 8 + i / 4 * 4, 'before', 0, i FROM generate_series(0, 20) i";

/// A record of few keys, with fields absent, null or wrong now and then; `required` is NOT NULL without a default.
fn random_record(random: &mut ChaCha8Rng, n: usize) -> Record {
    let mut fields = Map::new();
    let mut one_in = |chance: u32| random.random_range(0..chance) == 0;
    let (no_key, no_required, no_a, null_a, wrong_a, no_b, null_b) =
        (one_in(40), one_in(3), one_in(3), one_in(6), one_in(30), one_in(2), one_in(6));
    if !no_key {
        fields.insert("id".into(), json!(random.random_range(0..KEYS)));
    }
    if !no_required {
        fields.insert("required".into(), json!(format!("r{n}")));
    }
    if !no_a {
        let a = if wrong_a {
            json!("many")
        } else if null_a {
            Value::Null
        } else {
            json!(n)
        };
        fields.insert("a".into(), a);
    }
    if !no_b {
        fields.insert("b".into(), if null_b { Value::Null } else { json!(format!("b{n}")) });
    }
    // Only the table with constraints has these columns; for the other one the fields are unknown.
    if random.random_range(0..2) == 0 {
        fields.insert("c".into(), json!(random.random_range(0..7)));
    }
    if random.random_range(0..2) == 0 {
        fields.insert("u".into(), json!(random.random_range(0..50)));
    }
    Record::json(&Value::Object(fields))
}

/// Table and dead letters after all records, as text.
fn outcome(records: &[Record], table: &str, mode: &str, max_rows: u32) -> (Vec<String>, Vec<String>) {
    let world = World::new("batching")
        .table(table)
        .keyed(mode, "id")
        .set("batch.max_rows", max_rows)
        .set("batch.linger_ms", 200);
    let run = world.drain(records.iter().cloned());
    assert_eq!(run.count("records"), RECORDS as i64);
    // A dead letter shows when its transaction began: this proves how many transactions there were.
    let dead_letters = world.dead_letters();
    let transactions: i64 = world.one("SELECT count(DISTINCT created_at) FROM sink_dead_letters");
    match max_rows {
        1 => assert_eq!(transactions, dead_letters, "each record in a transaction of its own"),
        7 => assert!(transactions > dead_letters / 7, "{transactions} transactions for {dead_letters}"),
        _ => assert!(transactions <= 3, "{transactions} transactions for {dead_letters}"),
    }
    (
        world.column("SELECT t::text FROM t ORDER BY id"),
        world.column(
            "SELECT concat_ws(' ', \"offset\", reason, sqlstate, \"constraint\") FROM sink_dead_letters ORDER BY \"offset\"",
        ),
    )
}

fn every_size_gives_the_same(table: &str, mode: &str) {
    for seed in [1, 2] {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let records: Vec<Record> = (0..RECORDS).map(|n| random_record(&mut random, n)).collect();
        let one_by_one = outcome(&records, table, mode, SIZES[0]);
        assert!(one_by_one.0.len() > 21, "records must have made rows");
        let refusals: &[&str] = if table == CONSTRAINED { &["23514", "23503", "t_u_key"] } else { &[] };
        for refusal in refusals.iter().chain(&["wrong_type", "missing_field"]) {
            let seen = one_by_one.1.iter().any(|dead_letter| dead_letter.contains(refusal));
            assert!(seen, "records must have been refused for {refusal}: {:?}", one_by_one.1);
        }
        for size in &SIZES[1..] {
            let batched = outcome(&records, table, mode, *size);
            assert_eq!(batched.0, one_by_one.0, "table, {mode}, seed {seed}, batches of {size}");
            assert_eq!(batched.1, one_by_one.1, "dead letters, {mode}, seed {seed}, batches of {size}");
        }
    }
}

#[test]
fn upserts_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(PLAIN, "upsert");
}

#[test]
fn ignored_inserts_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(PLAIN, "insert_ignore");
}

#[test]
fn inserts_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(PLAIN, "insert");
}

#[test]
fn upserts_into_a_table_with_constraints_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(CONSTRAINED, "upsert");
}

#[test]
fn ignored_inserts_into_a_table_with_constraints_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(CONSTRAINED, "insert_ignore");
}

#[test]
fn inserts_into_a_table_with_constraints_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(CONSTRAINED, "insert");
}
