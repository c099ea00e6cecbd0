//! The result equals applying the records one by one, whatever the batching, in every mode that there is: with
//! tombstones, versions, keys from the record's key or from Kafka, and keys that only the server knows to be equal.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use tests::{Output, Record, SinkConfig, World};

const RECORDS: usize = 300;

/// What is written how, and from what.
struct Case {
    mode: &'static str,
    ddl: &'static str,
    settings: fn(SinkConfig) -> SinkConfig,
    /// The key of a record, from a number below 40.
    key: fn(u32, &mut ChaCha8Rng) -> String,
    tombstones: bool,
    version: Option<fn(u32) -> Value>,
}

/// Few keys, so that each comes often; fields absent or wrong now and then. `required` is NOT NULL without a default.
fn records(case: &Case, seed: u64) -> Vec<Record> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..RECORDS)
        .map(|n| {
            let number = random.random_range(0..40);
            let key = (case.key)(number, &mut random);
            let mut one_in = |chance: u32| random.random_range(0..chance) == 0;
            if case.tombstones && one_in(4) {
                return Record::tombstone(key);
            }
            let mut fields = Map::new();
            if !one_in(4) {
                fields.insert("required".into(), json!(format!("r{n}")));
            }
            if !one_in(3) {
                fields.insert("a".into(), if one_in(30) { json!("many") } else { json!(n) });
            }
            if !one_in(2) {
                fields.insert("b".into(), if one_in(5) { Value::Null } else { json!(format!("b{n}")) });
            }
            if let Some(version) = case.version
                && !one_in(20)
            {
                fields.insert("v".into(), version(random.random_range(0..30)));
            }
            Record::keyed(key, Value::Object(fields).to_string())
        })
        .collect()
}

/// Table, dead letters, and what the run says of itself.
fn outcome(case: &Case, records: &[Record], max_rows: u32) -> (Vec<String>, Vec<String>, Output) {
    let world = World::new("batching_modes")
        .table(case.ddl)
        .with(|config| (case.settings)(config.insert_mode(case.mode)))
        .set("batch.max_rows", max_rows)
        .set("batch.linger_ms", 200);
    let run = world.drain(records.iter().cloned());
    assert_eq!(run.count("records"), RECORDS as i64);
    let table = world.column("SELECT (to_jsonb(t) - 'topic')::text FROM t ORDER BY 1");
    let dead_letters =
        world.column("SELECT concat_ws(' ', \"offset\", reason) FROM sink_dead_letters ORDER BY \"offset\"");
    (table, dead_letters, run)
}

fn every_size_gives_the_same(case: &Case) {
    let records = records(case, 11);
    let one_by_one = outcome(case, &records, 1);
    assert!(one_by_one.0.len() > 5, "records must have made rows");
    assert!(!one_by_one.1.is_empty(), "records must have been refused");
    assert_eq!(one_by_one.2.count("rows_deleted") > 0, case.tombstones, "{}", one_by_one.2.summary());
    for size in [7, 5000] {
        let batched = outcome(case, &records, size);
        assert_eq!(batched.0, one_by_one.0, "table, {}, batches of {size}", case.mode);
        assert_eq!(batched.1, one_by_one.1, "dead letters, {}, batches of {size}", case.mode);
        assert_eq!(batched.2.count("rows_deleted"), one_by_one.2.count("rows_deleted"), "batches of {size}");
    }
}

const TEXT_KEY: &str = "CREATE TABLE t (id text PRIMARY KEY, required text NOT NULL, a int, b text DEFAULT 'none', v int); \
                        INSERT INTO t SELECT 'k' || i, 'there', i, 'before', 10 FROM generate_series(0, 15) i";

/// The server refuses some rows for their values, and some for rows that are stored at that moment.
const CONSTRAINED: &str = "CREATE TABLE t (id text PRIMARY KEY, required text NOT NULL, a int CHECK (a % 5 <> 0), b text DEFAULT 'none'); \
                      CREATE UNIQUE INDEX ON t ((a % 50)); \
                      INSERT INTO t SELECT 'k' || i, 'there', i, 'before' FROM generate_series(1, 4) i";

fn by_record_key(config: SinkConfig) -> SinkConfig {
    config.pk_mode("record_key").pk_fields(&["id"]).set("sink.delete_enabled", true)
}

fn text_key(number: u32, random: &mut ChaCha8Rng) -> String {
    // The same key as bare text, as a JSON string and as an object.
    match random.random_range(0..3) {
        0 => format!("k{number}"),
        1 => format!("\"k{number}\""),
        _ => format!("{{\"id\":\"k{number}\"}}"),
    }
}

fn deletes_in(mode: &'static str) {
    every_size_gives_the_same(&Case {
        mode,
        ddl: TEXT_KEY,
        settings: by_record_key,
        key: text_key,
        tombstones: true,
        version: None,
    });
}

#[test]
fn upserts_and_deletes_are_the_same_in_batches_of_any_size() {
    deletes_in("upsert");
}

#[test]
fn ignored_inserts_and_deletes_are_the_same_in_batches_of_any_size() {
    deletes_in("insert_ignore");
}

#[test]
fn inserts_and_deletes_are_the_same_in_batches_of_any_size() {
    deletes_in("insert");
}

#[test]
fn deletes_from_a_table_with_constraints_are_the_same_in_batches_of_any_size() {
    for mode in ["upsert", "insert_ignore", "insert"] {
        every_size_gives_the_same(&Case {
            mode,
            ddl: CONSTRAINED,
            settings: by_record_key,
            key: text_key,
            tombstones: true,
            version: None,
        });
    }
}

#[test]
fn versioned_upserts_and_deletes_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(&Case {
        mode: "upsert",
        ddl: TEXT_KEY,
        settings: |config| by_record_key(config).set("sink.version_field", "v"),
        key: text_key,
        tombstones: true,
        version: Some(|n| json!(n)),
    });
}

#[test]
fn versions_that_only_the_server_can_compare_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(&Case {
        mode: "upsert",
        ddl: "CREATE TABLE t (id int PRIMARY KEY, required text NOT NULL, a int, b text, v text COLLATE \"en-x-icu\"); \
              INSERT INTO t SELECT i, 'there', i, 'before', 'm' FROM generate_series(0, 15) i",
        settings: |config| by_record_key(config).set("sink.version_field", "v"),
        key: |number, _| number.to_string(),
        tombstones: false,
        // In this collation a < B < c; by bytes B < a.
        version: Some(|n| {
            json!(String::from(if n % 2 == 0 { b'A' + n as u8 / 2 } else { b'a' + n as u8 / 2 } as char))
        }),
    });
}

/// Keys of a type in which values with different bytes are equal.
fn equal_for_the_server(mode: &'static str, ddl: &'static str, key: fn(u32, &mut ChaCha8Rng) -> String) {
    every_size_gives_the_same(&Case {
        mode,
        ddl,
        settings: by_record_key,
        key,
        tombstones: true,
        version: None,
    });
}

#[test]
fn padded_keys_are_one_key_in_batches_of_any_size() {
    for mode in ["upsert", "insert_ignore", "insert"] {
        equal_for_the_server(
            mode,
            "CREATE TABLE t (id char(5) PRIMARY KEY, required text NOT NULL, a int, b text DEFAULT 'none'); \
             INSERT INTO t SELECT 'k' || i, 'there', i, 'before' FROM generate_series(0, 15) i",
            |number, random| format!("k{number}{}", if random.random_range(0..2) == 0 { " " } else { "" }),
        );
    }
}

#[test]
fn numeric_keys_are_one_key_whatever_their_scale() {
    equal_for_the_server(
        "upsert",
        "CREATE TABLE t (id numeric PRIMARY KEY, required text NOT NULL, a int, b text DEFAULT 'none'); \
         INSERT INTO t SELECT i, 'there', i, 'before' FROM generate_series(0, 15) i",
        |number, random| format!("{number}{}", ["", ".0", ".00"][random.random_range(0..3)]),
    );
}

#[test]
fn keys_from_kafka_are_the_same_in_batches_of_any_size() {
    every_size_gives_the_same(&Case {
        mode: "insert_ignore",
        ddl: "CREATE TABLE t (topic text, part int, \"offset\" bigint, required text NOT NULL, a int, b text DEFAULT 'none'); \
              CREATE UNIQUE INDEX ON t (topic, part, \"offset\")",
        settings: |config| config.pk_mode("kafka").pk_fields(&["topic", "part", "offset"]),
        key: |number, _| number.to_string(),
        tombstones: false,
        version: None,
    });
}
