//! A table whose rows refer to each other: the batching must not decide which of them find what they refer to.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, Services, SinkConfig};

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
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("related", 1);
    let url = postgres.database("related");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute(ddl).unwrap();
    let record = |(id, value): &Written| {
        let key = json!({"id": id}).to_string();
        match value {
            Some(value) => Record::json(value).key(key),
            None => Record::tombstone(key),
        }
    };
    kafka.produce(&topic, records.iter().map(record));
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .set("batch.max_rows", max_rows)
        .set("batch.linger_ms", 300);
    let config = match mode {
        "unkeyed" => config.insert_mode("insert").pk_mode("none"),
        mode => {
            config.insert_mode(mode).pk_mode("record_key").pk_fields(&["id"]).set("sink.delete_enabled", true)
        }
    };
    let args = ["run", "--until-end", "--deadline", "60s", "--summary", "json"];
    let run = config.finish(&args, Duration::from_secs(90)).expect_code(0);
    assert_eq!(run.assert_accounted(), i64::try_from(records.len()).unwrap());
    let mut text =
        |sql: &str| -> Vec<String> { client.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect() };
    (
        text("SELECT concat_ws(' ', id, parent) FROM t ORDER BY id"),
        text("SELECT concat_ws(' ', \"offset\", sqlstate) FROM sink_dead_letters ORDER BY \"offset\""),
    )
}

/// Checks that one batch comes to what these records come to one by one.
fn comes_to(ddl: &str, mode: &str, records: &[Written], rows: &[&str], letters: &[&str]) {
    for max_rows in [1, 5000] {
        let (found, refused) = run(ddl, mode, max_rows, records);
        assert_eq!(found, rows, "{ddl}, {mode}, {max_rows} at once");
        assert_eq!(refused, letters, "{ddl}, {mode}, {max_rows} at once");
    }
}

#[test]
fn a_child_before_its_parent_is_refused_and_one_after_it_is_taken() {
    let records = [put(2, 1), put(1, Value::Null), put(3, 1), put(4, 4), put(6, 5), put(5, 3), put(7, 6)];
    let rows = ["1", "3 1", "4 4", "5 3"];
    let letters = ["0 23503", "4 23503", "6 23503"];
    for deferrable in DEFERRABLE {
        let ddl = format!("CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t {deferrable})");
        for mode in ["upsert", "insert_ignore", "insert", "unkeyed"] {
            comes_to(&ddl, mode, &records, &rows, &letters);
        }
    }
}

#[test]
fn an_update_does_not_refer_to_a_row_that_comes_later() {
    let existing = "INSERT INTO t VALUES (1, NULL), (2, 1)";
    let ddl = format!("CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t); {existing}");
    comes_to(&ddl, "upsert", &[put(2, 3), put(3, 1), put(1, 3)], &["1 3", "2 1", "3 1"], &["0 23503"]);
}

#[test]
fn where_bytes_do_not_tell_what_refers_to_what_the_server_is_asked_record_by_record() {
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
        comes_to(ddl, "upsert", &records, &["1", "3 1"], &["0 23503"]);
    }
    comes_to(view, "unkeyed", &records, &["1", "3 1"], &["0 23503"]);
    // The parent comes from a default.
    let default = "CREATE TABLE t (id int PRIMARY KEY, parent int DEFAULT 1 REFERENCES t)";
    let records = [(2, Some(json!({"id": 2}))), put(1, Value::Null), (3, Some(json!({"id": 3})))];
    comes_to(default, "upsert", &records, &["1", "3 1"], &["0 23503"]);
}

#[test]
fn a_parent_is_deleted_only_after_its_children() {
    let existing = "INSERT INTO t VALUES (1, NULL), (2, 1), (3, 2)";
    let records = [delete(1), delete(2), delete(3), delete(2), put(1, Value::Null), put(4, 1)];
    for action in ["NO ACTION", "RESTRICT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"] {
        let ddl = format!(
            "CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t ON DELETE {action}); {existing}"
        );
        comes_to(&ddl, "upsert", &records, &["1", "4 1"], &["0 23503", "1 23503"]);
    }
}

#[test]
fn what_a_deleted_parent_takes_with_it_or_sets_to_null_does_not_depend_on_the_batch() {
    let existing = "INSERT INTO t VALUES (1, NULL), (2, 1), (3, 2), (5, 1)";
    let records = [delete(1), put(2, 1), put(1, Value::Null), put(6, 2), put(7, 1), delete(5)];
    for (action, rows, letters) in [
        ("CASCADE", &["1", "7 1"][..], &["1 23503", "3 23503"][..]),
        ("SET NULL", &["1", "2", "3 2", "6 2", "7 1"], &["1 23503"]),
    ] {
        let ddl = format!(
            "CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t ON DELETE {action}); {existing}"
        );
        comes_to(&ddl, "upsert", &records, rows, letters);
    }
}

#[test]
fn parents_that_come_first_are_written_with_their_children() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("tree", 1);
    let url = postgres.database("tree");
    let mut client = tests::postgres::connect(&url);
    // Each row keeps which command of which transaction wrote it.
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t)").unwrap();
    let record = |id: i64| Record::json(&json!({"id": id, "parent": (id > 1).then_some(id / 2)}));
    kafka.produce(&topic, (1..=400).map(record));
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .pk_fields(&["id"])
        .set("batch.linger_ms", 500);
    let args = ["run", "--until-end", "--deadline", "60s", "--summary", "json"];
    let run = config.finish(&args, Duration::from_secs(90)).expect_code(0);
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (400, 0));
    let statements: i64 =
        client.query_one("SELECT count(DISTINCT (xmin::text, cmin::text)) FROM t", &[]).unwrap().get(0);
    assert!(statements < 20, "{statements} statements for 400 rows");
}
