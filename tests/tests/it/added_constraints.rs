//! Constraints, indexes and triggers may be added while the sink runs, also to a single partition: from then on, batching
//! hides no refusal.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, World};

const PATIENCE: Duration = Duration::from_secs(60);

const PARTITIONED: &str = "CREATE TABLE other (v int PRIMARY KEY); INSERT INTO other VALUES (10), (11); \
     CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); \
     CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id); \
     CREATE TABLE lowest PARTITION OF low FOR VALUES FROM (0) TO (50); \
     CREATE TABLE high PARTITION OF t FOR VALUES FROM (100) TO (200)";

/// Writes the row (1, 10), makes the `change`, writes these records in one batch, and compares rows and dead letters.
fn after(ddl: &str, change: &str, records: &[Value], rows: &[&str], dead_letters: &[&str]) {
    let world = World::new("constraints").table(ddl).upsert("id").set("batch.linger_ms", 500);
    let sink = world.sink();
    world.produce([Record::json(&json!({"id": 1, "v": 10}))]);
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |n| n >= 1.0);
    world.execute(change);
    world.produce(records.iter().map(Record::json));
    sink.wait_metric(PATIENCE, "sink_records_consumed_total", |n| n >= 1.0 + records.len() as f64);
    sink.assert_accounted();
    let found: Vec<String> = world.column("SELECT concat_ws(' ', id, v) FROM t ORDER BY id");
    assert_eq!(found, rows, "{change}");
    let found: Vec<String> = world
        .column("SELECT concat_ws(' ', \"offset\", sqlstate) FROM sink_dead_letters ORDER BY \"offset\"");
    assert_eq!(found, dead_letters, "{change}");
}

#[test]
fn merging_does_not_hide_a_refusal_by_a_constraint_added_to_a_partition() {
    let records = [json!({"id": 2, "v": -1}), json!({"id": 2, "v": 11})];
    for (change, state) in [
        ("ALTER TABLE lowest ADD CHECK (v > 0)", "1 23514"),
        ("ALTER TABLE lowest ADD FOREIGN KEY (v) REFERENCES other", "1 23503"),
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN IF NEW.v < 0 THEN RAISE 'no'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON lowest FOR EACH ROW EXECUTE FUNCTION refuse()",
            "1 P0001",
        ),
        (
            "DROP TABLE lowest; CREATE TABLE lowest (id int PRIMARY KEY, v int CHECK (v > 0)); \
             INSERT INTO lowest VALUES (1, 10); ALTER TABLE low ATTACH PARTITION lowest FOR VALUES FROM (0) TO (50)",
            "1 23514",
        ),
    ] {
        after(PARTITIONED, change, &records, &["1 10", "2 11"], &[state]);
    }
}

#[test]
fn rows_keep_their_order_once_a_partition_gets_a_unique_index() {
    let records = [json!({"id": 3, "v": 10}), json!({"id": 1, "v": 11})];
    let change = "CREATE UNIQUE INDEX own ON lowest (v)";
    after(PARTITIONED, change, &records, &["1 11"], &["1 23505"]);
}

#[test]
fn a_foreign_key_added_to_a_table_is_noticed() {
    let ddl = "CREATE TABLE other (v int PRIMARY KEY); INSERT INTO other VALUES (1), (4), (10); \
         CREATE TABLE t (id int PRIMARY KEY, v int REFERENCES other)";
    let change = "ALTER TABLE t ADD FOREIGN KEY (v) REFERENCES t NOT VALID";
    let records = [json!({"id": 3, "v": 4}), json!({"id": 4, "v": 4})];
    after(ddl, change, &records, &["1 10", "4 4"], &["1 23503"]);
}
