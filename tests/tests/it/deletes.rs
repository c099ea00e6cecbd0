//! Tombstones: deleted by key, or skipped and counted.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Expected, Output, Record, World};

fn world(ddl: &str) -> World<'static> {
    World::new("deletes").table(ddl).keyed_by_record("id")
}

fn put(id: u32, row: &Value) -> Record {
    Record::keyed(id.to_string(), row.to_string())
}

fn counts(run: &Output) -> [i64; 4] {
    ["rows_written", "rows_deleted", "skipped", "dead_letters"].map(|field| run.count(field))
}

#[test]
fn a_tombstone_deletes_the_row_of_its_key_and_one_without_a_row_is_skipped_as_absent() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 3) i",
    );
    let records = [Record::tombstone("1"), Record::tombstone("{\"id\": 2}"), Record::tombstone("9")];
    world.produce(records);
    let sink = world.sink();
    sink.wait_metric(Duration::from_secs(60), "sink_records_consumed_total", |n| n == 3.0);
    assert_eq!(sink.assert_accounted(), 3);
    let metrics = sink.metrics().unwrap();
    assert_eq!(metrics.value("sink_rows_deleted_total", &[("table", "t")]), Some(2.0));
    assert_eq!(metrics.sum_where("sink_records_skipped_total", &[("reason", "absent")]), 1.0);
    let mut expected = Expected::by("id");
    expected.add(&json!({"id": 3, "n": 3}));
    expected.assert_exactly_once(&mut world.client(), "t");
}

#[test]
fn without_delete_enabled_tombstones_are_skipped_and_counted() {
    let world = world("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)")
        .set("sink.delete_enabled", false);
    world.produce([Record::tombstone("1"), Record::tombstone("2")]);
    let sink = world.sink();
    sink.wait_metric(Duration::from_secs(60), "sink_records_consumed_total", |n| n == 2.0);
    assert_eq!(sink.assert_accounted(), 2);
    let metrics = sink.metrics().unwrap();
    assert_eq!(metrics.sum_where("sink_records_skipped_total", &[("reason", "tombstone")]), 2.0);
    assert_eq!(metrics.sum("sink_rows_deleted_total"), 0.0);
    assert_eq!(world.rows(), 1);
}

#[test]
fn a_key_inserted_deleted_and_inserted_again_in_one_batch_has_only_the_last_record() {
    for mode in ["upsert", "insert_ignore", "insert"] {
        let world = world(
            "CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (2, 0, 0), (4, 0, 0)",
        );
        let records = [
            // 1: new, deleted, made again: nothing of the first is left.
            put(1, &json!({"a": 1, "b": 1})),
            Record::tombstone("1"),
            put(1, &json!({"a": 2})),
            // 2: there, deleted, made again.
            Record::tombstone("2"),
            put(2, &json!({"b": 3})),
            // 3: again and again, deleted at last.
            put(3, &json!({"a": 1})),
            Record::tombstone("3"),
            put(3, &json!({"a": 2})),
            Record::tombstone("3"),
            Record::tombstone("3"),
            // 4: there, deleted, made, deleted, made.
            Record::tombstone("4"),
            put(4, &json!({"a": 1, "b": 1})),
            Record::tombstone("4"),
            put(4, &json!({"a": 9})),
        ];
        let world = world.with(|config| config.insert_mode(mode).set("batch.linger_ms", 500));
        let run = world.drain(records);
        // Deleted: 1, 2, twice 3 and twice 4; the third tombstone of 3 finds nothing.
        assert_eq!((run.count("rows_deleted"), run.count("dead_letters")), (6, 0), "{mode}");
        let mut expected = Expected::by("id");
        expected.add(&json!({"id": 1, "a": 2}));
        expected.add(&json!({"id": 2, "b": 3}));
        expected.add(&json!({"id": 4, "a": 9}));
        expected.assert_exactly_once(&mut world.client(), "t");
    }
}

#[test]
fn thousands_of_tombstones_are_deleted_by_a_few_statements() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i; \
         CREATE TABLE statements (n int); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN INSERT INTO statements VALUES (1); RETURN NULL; END'; \
         CREATE TRIGGER note AFTER DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION note()",
    );
    let world = world.set("batch.linger_ms", 500);
    let run = world.drain((1..=20_000).map(|id| Record::tombstone(id.to_string())));
    assert_eq!(counts(&run), [0, 20_000, 0, 0]);
    let statements = world.count("statements");
    assert!((1..=40).contains(&statements), "one for each batch: {statements}");
    assert_eq!(world.rows(), 0);
}

#[test]
fn a_tombstone_that_a_trigger_suppresses_is_skipped_and_a_bad_key_is_a_dead_letter() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, 2); \
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN IF OLD.id = 1 THEN RETURN NULL; END IF; RETURN OLD; END'; \
         CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()",
    );
    let keyless = Record { key: None, payload: None, ..Record::default() };
    let records = [Record::tombstone("1"), Record::tombstone("2"), Record::tombstone("two"), keyless];
    let run = world.drain(records);
    assert_eq!(counts(&run), [0, 1, 1, 2]);
    let rows = world
        .client()
        .query("SELECT reason, payload IS NULL, \"offset\" FROM sink_dead_letters ORDER BY \"offset\"", &[])
        .unwrap();
    let dead_letters: Vec<(String, bool, i64)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
    assert_eq!(dead_letters, [("wrong_type".to_owned(), true, 2), ("missing_field".to_owned(), true, 3)]);
    assert_eq!(world.column::<i32>("SELECT id FROM t"), [1]);
}

#[test]
fn a_tombstone_whose_row_others_refer_to_is_a_dead_letter_and_its_neighbours_are_deleted() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i; \
         CREATE TABLE child (id int REFERENCES t); INSERT INTO child VALUES (2), (999)",
    );
    let records = (1..=1000).map(|id| Record::tombstone(id.to_string()));
    let world = world.set("batch.linger_ms", 500);
    let run = world.drain(records.chain([put(1001, &json!({"n": 1}))]));
    assert_eq!(counts(&run), [1, 998, 0, 2]);
    let rows = world
        .client()
        .query("SELECT \"offset\", sqlstate, payload IS NULL FROM sink_dead_letters ORDER BY \"offset\"", &[])
        .unwrap();
    let dead_letters: Vec<(i64, String, bool)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
    assert_eq!(dead_letters, [(1, "23503".to_owned(), true), (998, "23503".to_owned(), true)]);
    assert_eq!(world.column::<i32>("SELECT id FROM t ORDER BY id"), [2, 999, 1001]);
}

#[test]
fn deleting_without_keys_from_the_record_is_a_configuration_error() {
    let world = world("CREATE TABLE t (id int PRIMARY KEY)").with(|config| config.pk_mode("record_value"));
    let run = world.config.finish(&["run"], Duration::from_secs(30)).expect_code(2);
    assert!(run.stderr.contains("sink.delete_enabled: needs pk_mode = \"record_key\""), "{}", run.stderr);
}
