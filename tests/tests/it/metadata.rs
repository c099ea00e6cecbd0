//! Metadata columns: what Kafka knows of a record, beside its value.

use std::time::Duration;

use serde_json::json;
use tests::{Record, SinkConfig, World};

#[test]
fn every_metadata_column_holds_what_kafka_knows_of_the_record() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, k_topic text NOT NULL, k_partition int NOT NULL, \
         k_offset bigint NOT NULL, k_at timestamptz, k_key text, k_headers jsonb)";
    let mut world = World::new("metadata").partitions(2).table(ddl).upsert("id");
    let records = [
        Record::keyed("k1", json!({"id": 1, "k_offset": "not this one"}).to_string())
            .partition(1)
            .timestamp_ms(1_700_000_000_123)
            .header("trace", "x")
            .header("trace", vec![0, 255]),
        Record::json(&json!({"id": 2})).partition(0).timestamp_ms(1),
        Record::keyed(vec![0xff], json!({"id": 3}).to_string()).partition(1),
    ];
    let places = world.produce(records);
    for name in ["topic", "partition", "offset", "key", "headers"] {
        world = world.set(&format!("sink.metadata.{name}"), format!("k_{name}"));
    }
    // A field with the name of a metadata column is not read, and is not an unknown field either.
    let world = world.set("sink.metadata.timestamp", "k_at").set("sink.unknown_fields", "reject");
    let run = world.config.until_end();
    assert_eq!((run.count("records"), run.count("rows_written")), (3, 2));
    let rows = world
        .client()
        .query(
            "SELECT id, k_topic, k_partition, k_offset, (extract(epoch FROM k_at) * 1000)::int8, k_key, \
             k_headers::text FROM t ORDER BY id",
            &[],
        )
        .unwrap();
    for (row, (partition, offset)) in rows.iter().zip(&places) {
        assert_eq!(row.get::<_, String>(1), world.topic());
        assert_eq!((row.get::<_, i32>(2), row.get::<_, i64>(3)), (*partition, *offset));
    }
    assert_eq!(rows[0].get::<_, i64>(4), 1_700_000_000_123);
    assert_eq!(rows[0].get::<_, Option<String>>(5).as_deref(), Some("k1"));
    let headers: serde_json::Value = serde_json::from_str(rows[0].get(6)).unwrap();
    assert_eq!(
        headers,
        json!([{"name": "trace", "value": "x"}, {"name": "trace", "value": {"hex": "00ff"}}])
    );
    assert_eq!(rows[1].get::<_, i64>(4), 1);
    assert_eq!((rows[1].get::<_, Option<String>>(5), rows[1].get::<_, Option<String>>(6)), (None, None));
    // A key that is not text cannot go into text.
    assert_eq!(world.reasons(), ["invalid_utf8"]);
}

#[test]
fn keys_go_into_bytea_as_they_are_and_timestamps_into_bigint_as_milliseconds() {
    let ddl = "CREATE TABLE t (n int, raw bytea, at bigint); \
         CREATE TABLE strict (n int, at bigint, key text NOT NULL)";
    let world = World::new("metadata_bytes").table(ddl).unkeyed().set("sink.metadata.timestamp", "at");
    let records = [
        Record::keyed(vec![0, 0xff, b'"'], json!({"n": 1}).to_string()).timestamp_ms(1_700_000_000_123),
        Record::json(&json!({"n": 2})),
    ];
    world.produce(records);
    let config = |change: fn(SinkConfig) -> SinkConfig| change(world.config.clone());
    let run = config(|config| config.set("sink.metadata.key", "raw")).until_end();
    assert_eq!(run.count("rows_written"), 2);
    let row = world.client().query_one("SELECT raw, at FROM t WHERE n = 1", &[]).unwrap();
    assert_eq!((row.get::<_, Vec<u8>>(0), row.get::<_, i64>(1)), (vec![0, 0xff, b'"'], 1_700_000_000_123));
    let row = world.client().query_one("SELECT raw FROM t WHERE n = 2", &[]).unwrap();
    assert_eq!(row.get::<_, Option<Vec<u8>>>(0), None);
    // A record without a key has null there, which a column that is NOT NULL refuses.
    let strict = config(|config| config.name("strict").table("strict").set("sink.metadata.key", "key"));
    let run = strict.group(&format!("{}_strict", world.topic())).until_end();
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (0, 2));
    assert_eq!(world.reasons(), ["invalid_utf8", "null_value"]);
}

#[test]
fn a_metadata_column_that_is_missing_or_of_the_wrong_type_is_named_until_it_is_fixed() {
    let world = World::new("metadata_wrong")
        .table("CREATE TABLE t (id int PRIMARY KEY, at int)")
        .upsert("id")
        .set("sink.metadata.offset", "at");
    world.produce([Record::json(&json!({"id": 1}))]);
    let sink = world.sink();
    let not_ready = |words: [&str; 2]| sink.wait_not_ready(Duration::from_secs(60), &words);
    not_ready(["has type integer, which cannot hold the offset of a record", "use int8"]);
    world.execute("ALTER TABLE t RENAME at TO other");
    not_ready(["metadata.offset names column", "no such column; it has: id, other"]);
    world.execute("ALTER TABLE t ADD at bigint");
    sink.wait_ready(Duration::from_secs(60));
    sink.wait_metric(Duration::from_secs(60), "sink_rows_written_total", |rows| rows == 1.0);
    assert_eq!(world.column::<i64>("SELECT at FROM t"), [0]);
}
