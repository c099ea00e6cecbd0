//! A foreign key of a table to itself: which rows find their parent must not depend on the batches.

use serde_json::{Value, json};
use tests::{Record, World};

const DEFERRABLE: [&str; 3] = ["", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"];

/// What is written: `(key, value)`; a tombstone without a value.
type Written = (i64, Option<Value>);

fn put(id: i64, parent: impl Into<Value>) -> Written {
    (id, Some(json!({"id": id, "parent": parent.into()})))
}

fn delete(id: i64) -> Written {
    (id, None)
}

/// The rows of `t` and the dead letters of one run with batches of at most so many records.
fn run(ddl: &str, mode: &str, max_rows: i64, records: &[Written]) -> (Vec<String>, Vec<String>) {
    let world = World::new("self_references").table(ddl);
    let record = |(id, value): &Written| {
        let key = json!({"id": id}).to_string();
        match value {
            Some(value) => Record::json(value).key(key),
            None => Record::tombstone(key),
        }
    };
    let world = match mode {
        "unkeyed" => world.unkeyed(),
        mode => world.keyed_by_record("id").with(|config| config.insert_mode(mode)),
    };
    let world = world.set("batch.max_rows", max_rows).set("batch.linger_ms", 300);
    let run = world.drain(records.iter().map(record));
    assert_eq!(run.count("records"), i64::try_from(records.len()).unwrap());
    (
        world.column("SELECT concat_ws(' ', id, parent) FROM t ORDER BY id"),
        world
            .column("SELECT concat_ws(' ', \"offset\", sqlstate) FROM sink_dead_letters ORDER BY \"offset\""),
    )
}

/// Asserts that these records give these rows and dead letters, in batches of one and in one batch.
fn assert_result(ddl: &str, mode: &str, records: &[Written], rows: &[&str], dead_letters: &[&str]) {
    for max_rows in [1, 5000] {
        let (found, refused) = run(ddl, mode, max_rows, records);
        assert_eq!(found, rows, "{ddl}, {mode}, {max_rows} at once");
        assert_eq!(refused, dead_letters, "{ddl}, {mode}, {max_rows} at once");
    }
}

#[test]
fn a_child_before_its_parent_is_refused_and_one_after_it_is_written() {
    let records = [put(2, 1), put(1, Value::Null), put(3, 1), put(4, 4), put(6, 5), put(5, 3), put(7, 6)];
    let rows = ["1", "3 1", "4 4", "5 3"];
    let dead_letters = ["0 23503", "4 23503", "6 23503"];
    for deferrable in DEFERRABLE {
        let ddl = format!("CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t {deferrable})");
        for mode in ["upsert", "insert_ignore", "insert", "unkeyed"] {
            assert_result(&ddl, mode, &records, &rows, &dead_letters);
        }
    }
}

#[test]
fn an_update_does_not_refer_to_a_row_that_comes_later() {
    let existing = "INSERT INTO t VALUES (1, NULL), (2, 1)";
    let ddl = format!("CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t); {existing}");
    assert_result(&ddl, "upsert", &[put(2, 3), put(3, 1), put(1, 3)], &["1 3", "2 1", "3 1"], &["0 23503"]);
}

#[test]
fn references_that_the_sink_cannot_compare_are_checked_by_the_server_record_by_record() {
    let records = [put(2, 1), put(1, Value::Null), put(3, 1)];
    let other_type = "CREATE TABLE t (id int PRIMARY KEY, parent bigint REFERENCES t)";
    let scale = "CREATE TABLE t (id numeric PRIMARY KEY, parent numeric(9, 0) REFERENCES t)";
    let partitioned = "CREATE TABLE t (id int PRIMARY KEY, parent int) PARTITION BY RANGE (id); \
         CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (2); \
         CREATE TABLE high PARTITION OF t FOR VALUES FROM (2) TO (9); \
         ALTER TABLE t ADD FOREIGN KEY (parent) REFERENCES t";
    let of_a_partition = partitioned.replace("ALTER TABLE t ADD", "ALTER TABLE high ADD");
    let trigger = "CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t); \
         CREATE FUNCTION one() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN NEW.parent := CASE WHEN NEW.id = 1 THEN NULL ELSE 1 END; RETURN NEW; END $$; \
         CREATE TRIGGER one BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION one()";
    let view = "CREATE TABLE heap (key int PRIMARY KEY, over int REFERENCES heap DEFERRABLE INITIALLY DEFERRED); \
         CREATE VIEW t AS SELECT key AS id, over AS parent FROM heap";
    for ddl in [other_type, scale, partitioned, &of_a_partition, trigger] {
        assert_result(ddl, "upsert", &records, &["1", "3 1"], &["0 23503"]);
    }
    assert_result(view, "unkeyed", &records, &["1", "3 1"], &["0 23503"]);
    // The parent comes from a default.
    let default = "CREATE TABLE t (id int PRIMARY KEY, parent int DEFAULT 1 REFERENCES t)";
    let records = [(2, Some(json!({"id": 2}))), put(1, Value::Null), (3, Some(json!({"id": 3})))];
    assert_result(default, "upsert", &records, &["1", "3 1"], &["0 23503"]);
}

#[test]
fn a_parent_is_deleted_only_after_its_children() {
    let existing = "INSERT INTO t VALUES (1, NULL), (2, 1), (3, 2)";
    let records = [delete(1), delete(2), delete(3), delete(2), put(1, Value::Null), put(4, 1)];
    for action in ["NO ACTION", "RESTRICT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"] {
        let ddl = format!(
            "CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t ON DELETE {action}); {existing}"
        );
        assert_result(&ddl, "upsert", &records, &["1", "4 1"], &["0 23503", "1 23503"]);
    }
}

#[test]
fn the_cascade_of_a_deleted_parent_does_not_depend_on_the_batch() {
    let existing = "INSERT INTO t VALUES (1, NULL), (2, 1), (3, 2), (5, 1)";
    let records = [delete(1), put(2, 1), put(1, Value::Null), put(6, 2), put(7, 1), delete(5)];
    for (action, rows, dead_letters) in [
        ("CASCADE", &["1", "7 1"][..], &["1 23503", "3 23503"][..]),
        ("SET NULL", &["1", "2", "3 2", "6 2", "7 1"], &["1 23503"]),
    ] {
        let ddl = format!(
            "CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t ON DELETE {action}); {existing}"
        );
        assert_result(&ddl, "upsert", &records, rows, dead_letters);
    }
}

#[test]
fn parents_that_come_first_are_written_with_their_children() {
    let world = World::new("tree")
        .table("CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t)")
        .upsert("id")
        .set("batch.linger_ms", 500);
    let record = |id: i64| Record::json(&json!({"id": id, "parent": (id > 1).then_some(id / 2)}));
    let run = world.drain((1..=400).map(record));
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (400, 0));
    // A row shows which command of which transaction wrote it.
    let statements: i64 = world.one("SELECT count(DISTINCT (xmin::text, cmin::text)) FROM t");
    assert!(statements < 20, "{statements} statements for 400 rows");
}
