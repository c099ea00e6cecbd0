//! Records that would be refused one by one, but not all at once: a batch must not hide the refusal.

use serde_json::{Value, json};
use tests::{Record, World};

/// Rows of `t` and dead letters after these records in one batch, as text.
fn outcome(ddl: &str, mode: &str, records: &[Value]) -> (Vec<String>, Vec<String>) {
    let world = World::new("hidden").table(ddl).keyed(mode, "id").set("batch.linger_ms", 500);
    let run = world.drain(records.iter().map(Record::json));
    assert_eq!(run.count("records"), i64::try_from(records.len()).unwrap());
    (
        world.column("SELECT t::text FROM t ORDER BY t"),
        world.column(
            "SELECT concat_ws(' ', \"offset\", reason, sqlstate) FROM sink_dead_letters ORDER BY \"offset\"",
        ),
    )
}

#[test]
fn a_record_is_refused_although_a_later_record_of_its_key_passes() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a > 0), b text)";
    let records =
        [json!({"id": 1, "a": -1, "b": "refused"}), json!({"id": 1, "a": 2}), json!({"id": 2, "a": 3})];
    for (mode, first) in [("upsert", "(1,2,)"), ("insert_ignore", "(1,2,)"), ("insert", "(1,2,)")] {
        let (rows, dead_letters) = outcome(ddl, mode, &records);
        assert_eq!(rows, [first, "(2,3,)"], "{mode}");
        assert_eq!(dead_letters, ["0 refused 23514"], "{mode}");
    }
}

#[test]
fn a_row_is_refused_although_a_later_record_resolves_its_conflict() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE); INSERT INTO t VALUES (1, 10), (2, 20)";
    // Each insert comes before the update that frees its unique value; updates first, all of them would pass.
    let records = [
        json!({"id": 3, "u": 10}),
        json!({"id": 1, "u": 11}),
        json!({"id": 4, "u": 20}),
        json!({"id": 2, "u": 21}),
    ];
    let (rows, dead_letters) = outcome(ddl, "upsert", &records);
    assert_eq!(rows, ["(1,11)", "(2,21)"]);
    assert_eq!(dead_letters, ["0 refused 23505", "2 refused 23505"]);
}

#[test]
fn the_first_of_two_rows_with_one_unique_value_is_written() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE)";
    let records = [json!({"id": 9, "u": 1}), json!({"id": 1, "u": 1}), json!({"id": 9, "u": 2})];
    let (rows, dead_letters) = outcome(ddl, "upsert", &records);
    assert_eq!(rows, ["(9,2)"]);
    assert_eq!(dead_letters, ["1 refused 23505"]);
}

/// Keys whose bytes differ and that are one key for the server; what is left of five records of it, in each mode.
fn equal_keys(ddl: &str, keys: &[Value; 5]) {
    let records: Vec<Value> = keys.iter().enumerate().map(|(n, key)| json!({"id": key, "n": n})).collect();
    for existing in ["", "INSERT INTO t (id, n) VALUES ('1', 100)"] {
        let row = |mode: &str| {
            let (rows, dead_letters) = outcome(&format!("{ddl}; {existing}"), mode, &records);
            assert_eq!(rows.len(), 1, "{mode}: {rows:?}");
            let n = rows[0].trim_end_matches(')').rsplit(',').next().unwrap().to_owned();
            (n, dead_letters.len())
        };
        let first = if existing.is_empty() { "0" } else { "100" };
        let taken = if existing.is_empty() { 4 } else { 5 };
        assert_eq!(row("upsert"), ("4".to_owned(), 0), "upsert into {ddl}, {existing:?}");
        assert_eq!(row("insert_ignore"), (first.to_owned(), 0), "insert_ignore into {ddl}, {existing:?}");
        assert_eq!(row("insert"), (first.to_owned(), taken), "insert into {ddl}, {existing:?}");
    }
}

#[test]
fn keys_that_padding_makes_equal_are_one_key() {
    let keys = [json!("1  "), json!("1"), json!("1   "), json!("1  "), json!("1 ")];
    equal_keys("CREATE TABLE t (id char(4) PRIMARY KEY, n int)", &keys);
}

#[test]
fn numbers_that_differ_in_their_scale_are_one_key() {
    let numbers = ["1.0", "1", "1.000", "1.0", "1.00"];
    let keys = numbers.map(|number| serde_json::from_str(&format!("\"{number}\"")).unwrap());
    equal_keys("CREATE TABLE t (id numeric PRIMARY KEY, n int)", &keys);
}

#[test]
fn keys_that_a_collation_makes_equal_are_one_key() {
    let keys = [json!("1a"), json!("1A"), json!("1a"), json!("1A"), json!("1a")];
    let ddl = "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE t (id text COLLATE caseless PRIMARY KEY, n int)";
    let records: Vec<Value> = keys.iter().enumerate().map(|(n, key)| json!({"id": key, "n": n})).collect();
    let existing = "INSERT INTO t VALUES ('1A', 100)";
    for ddl in [ddl.to_owned(), format!("{ddl}; {existing}")] {
        let (rows, dead_letters) = outcome(&ddl, "upsert", &records);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert!(rows[0].to_lowercase() == "(1a,4)" && dead_letters.is_empty(), "{rows:?} {dead_letters:?}");
        let (rows, dead_letters) = outcome(&ddl, "insert_ignore", &records);
        let first = if ddl.ends_with("100)") { "(1a,100)" } else { "(1a,0)" };
        assert!(rows[0].to_lowercase() == first && dead_letters.is_empty(), "{rows:?} {dead_letters:?}");
    }
}
