//! version_field: what is older than the stored row does not overwrite it.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Expected, Record, World};

fn world(ddl: &str, version: &str) -> World<'static> {
    World::new("versions")
        .table(ddl)
        .keyed_by_record("id")
        .set("sink.version_field", version)
        .set("batch.linger_ms", 500)
}

/// Runs over `records`, and returns how often records were skipped as stale.
fn stale(world: &World<'_>, records: &[Record]) -> f64 {
    let sink = world.sink();
    sink.wait_ready(Duration::from_secs(60));
    let before = sink.metrics().unwrap().sum("sink_records_consumed_total");
    world.produce(records.iter().cloned());
    let all = before + records.len() as f64;
    sink.wait_metric(Duration::from_secs(60), "sink_records_consumed_total", |n| n == all);
    sink.assert_accounted();
    let stale = sink.metrics().unwrap().sum_where("sink_records_skipped_total", &[("reason", "stale")]);
    sink.stop(Duration::from_secs(60));
    stale
}

fn put(id: u32, row: &Value) -> Record {
    Record::keyed(id.to_string(), row.to_string())
}

#[test]
fn an_older_record_is_skipped_an_equal_one_wins_and_a_stored_null_is_older_than_anything() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz); \
         INSERT INTO t VALUES (1, 0, '2024-01-02'), (2, 0, '2024-01-02'), (3, 0, NULL), (4, 0, '2024-01-02')",
        "at",
    );
    let records = [
        put(1, &json!({"n": 1, "at": "2024-01-01T23:59:59.999999Z"})),
        put(2, &json!({"n": 2, "at": "2024-01-02T00:00:00Z"})),
        put(3, &json!({"n": 3, "at": "1999-01-01T00:00:00Z"})),
        put(4, &json!({"n": 4, "at": "2024-01-02T01:00:00+02:00"})),
        put(5, &json!({"n": 5, "at": "2024-01-01T00:00:00Z"})),
    ];
    assert_eq!(stale(&world, &records), 2.0);
    let mut expected = Expected::by("id").ignoring(&["at"]);
    for (id, n) in [(1, 0), (2, 2), (3, 3), (4, 0), (5, 5)] {
        expected.add(&json!({"id": id, "n": n}));
    }
    expected.assert_exactly_once(&mut world.client(), "t");
}

#[test]
fn within_a_batch_the_same_rule_decides_and_a_tombstone_deletes_whatever_the_version() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, n int, m int, v int); INSERT INTO t VALUES (4, 0, 0, 6), (5, 0, 0, 99)",
        "v",
    );
    let records = [
        // 1: the newest of three, not the last.
        put(1, &json!({"n": 1, "v": 5})),
        put(1, &json!({"n": 2, "v": 7})),
        put(1, &json!({"n": 3, "v": 6})),
        // 2: of equal ones the later.
        put(2, &json!({"n": 1, "v": 5})),
        put(2, &json!({"n": 2, "v": 5})),
        // 3: a delete in between forgets the version.
        put(3, &json!({"n": 1, "v": 50})),
        Record::tombstone("3"),
        put(3, &json!({"n": 2, "v": 1})),
        // 4: stored is 6, so that the first is stale, and its m must not come in with the second.
        put(4, &json!({"m": 4, "v": 5})),
        put(4, &json!({"n": 4, "v": 7})),
        // 5: much newer is stored; a tombstone deletes it all the same.
        put(5, &json!({"n": 5, "v": 1})),
        Record::tombstone("5"),
    ];
    // In one batch: one of 1, one of 4; the first of 5 is superseded by the tombstone.
    assert_eq!(stale(&world, &records), 2.0);
    let mut expected = Expected::by("id");
    expected.add(&json!({"id": 1, "n": 2, "v": 7}));
    expected.add(&json!({"id": 2, "n": 2, "v": 5}));
    expected.add(&json!({"id": 3, "n": 2, "v": 1}));
    expected.add(&json!({"id": 4, "n": 4, "m": 0, "v": 7}));
    expected.assert_exactly_once(&mut world.client(), "t");
}

#[test]
fn a_record_without_a_version_is_a_dead_letter() {
    let world =
        world("CREATE TABLE t (id int PRIMARY KEY, v int)", "version").set("sink.rename.version", "v");
    let records =
        [put(1, &json!({})), put(2, &json!({"version": null})), put(3, &json!({"version": 3, "v": 9}))];
    let run = world.drain(records);
    assert_eq!((run.assert_accounted(), run.count("dead_letters")), (3, 2));
    assert_eq!(world.reasons(), ["missing_field", "missing_field"]);
    let mut expected = Expected::by("id");
    expected.add(&json!({"id": 3, "v": 3}));
    expected.assert_exactly_once(&mut world.client(), "t");
}

#[test]
fn old_records_do_not_win_whatever_the_type_of_the_version() {
    // (type, older, newer); each pair comes newest first, in one batch, and then the older one again in another.
    let types = [
        ("bigint", json!(9), json!(10)),
        ("numeric", json!(9.5), json!(10)),
        ("double precision", json!(-1), json!(0.5)),
        ("date", json!("1999-12-31"), json!("2000-01-01")),
        ("text", json!("a"), json!("b")),
        (
            "uuid",
            json!("00000000-0000-0000-0000-000000000001"),
            json!("a0000000-0000-0000-0000-000000000000"),
        ),
    ];
    for (sql, older, newer) in types {
        let world = world(&format!("CREATE TABLE t (id int PRIMARY KEY, n text, v {sql})"), "v");
        let old = put(1, &json!({"n": "old", "v": older}));
        assert_eq!(stale(&world, &[put(1, &json!({"n": "new", "v": newer})), old.clone()]), 1.0, "{sql}");
        assert_eq!(stale(&world, &[old]), 1.0, "{sql}");
        assert_eq!(world.column::<String>("SELECT n FROM t"), ["new"], "{sql}");
    }
}

#[test]
fn a_newer_row_that_appears_between_the_look_up_and_the_insert_stays() {
    for (stored, n) in [("50", 0), ("NULL", 1)] {
        let world = world("CREATE TABLE t (id int PRIMARY KEY, n int, v int)", "v");
        let records: Vec<Record> = (1..=4).map(|id| put(id, &json!({"n": 1, "v": 5}))).collect();
        let rows = [1, 2, 3].map(|id| format!("({id}, 0, {stored})"));
        super::keys::let_keys_appear(&world.url, rows.each_ref().map(String::as_str), || {
            let expected = if n == 0 { 3.0 } else { 0.0 };
            assert_eq!(stale(&world, &records), expected, "stored {stored}");
        });
        let sum = "SELECT (sum(n) FILTER (WHERE id < 4))::int, count(*) FROM t";
        let row = world.client().query_one(sum, &[]).unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, i64>(1)), (3 * n, 4), "stored {stored}");
    }
}

#[test]
fn a_version_field_without_a_column_is_named_until_the_column_is_added() {
    let world = world("CREATE TABLE t (id int PRIMARY KEY, n int)", "v");
    let sink = world.sink();
    let words = ["version_field names", "no column outside the key"];
    sink.wait_not_ready(Duration::from_secs(60), &words);
    world.execute("ALTER TABLE t ADD v int");
    sink.wait_ready(Duration::from_secs(60));
}

#[test]
fn a_replay_does_not_overwrite_a_newer_row_and_deletes_what_could_not_be_deleted() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, n int, v int); INSERT INTO t VALUES (3, 3, 1); \
         CREATE TABLE child (id int REFERENCES t); INSERT INTO child VALUES (3)",
        "v",
    );
    let records = [
        put(1, &json!({"n": "old", "v": 5})),
        put(2, &json!({"n": "only", "v": 5})),
        Record::tombstone("3"),
        put(1, &json!({"n": 1, "v": 6})),
    ];
    assert_eq!(stale(&world, &records), 0.0);
    assert_eq!(world.dead_letters(), 3);
    world.execute("ALTER TABLE t ALTER n TYPE text; DELETE FROM child");
    let replay = ["dead-letters", "replay", "--output", "json"];
    let replayed = world.config.finish(&replay, Duration::from_secs(60)).expect_code(0);
    let replayed: Value = serde_json::from_str(&replayed.stdout).unwrap();
    assert_eq!(
        replayed,
        json!({"rows_written": 1, "rows_deleted": 1, "skipped": 1, "failed": 0, "failures": [], "not_replayed": [], "not_configured": []})
    );
    assert_eq!(world.dead_letters(), 0);
    let mut expected = Expected::by("id");
    expected.add(&json!({"id": 1, "n": "1", "v": 6}));
    expected.add(&json!({"id": 2, "n": "only", "v": 5}));
    expected.assert_exactly_once(&mut world.client(), "t");
}
