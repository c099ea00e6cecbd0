//! Metadata columns: what Kafka knows of a record, beside its value.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig, wait};

#[test]
fn every_metadata_column_holds_what_kafka_knows_of_the_record() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("metadata", 2);
    let url = postgres.database("metadata");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, k_topic text NOT NULL, k_partition int NOT NULL, \
             k_offset bigint NOT NULL, k_at timestamptz, k_key text, k_headers jsonb)",
        )
        .unwrap();
    let records = [
        Record::keyed("k1", json!({"id": 1, "k_offset": "not this one"}).to_string())
            .partition(1)
            .timestamp_ms(1_700_000_000_123)
            .header("trace", "x")
            .header("trace", vec![0, 255]),
        Record::json(&json!({"id": 2})).partition(0).timestamp_ms(1),
        Record::keyed(vec![0xff], json!({"id": 3}).to_string()).partition(1),
    ];
    let places = kafka.produce(&topic, records);
    let mut config = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t").pk_fields(&["id"]);
    for name in ["topic", "partition", "offset", "key", "headers"] {
        config = config.set(&format!("sink.metadata.{name}"), format!("k_{name}"));
    }
    // A field named as a metadata column is not an unknown one; it is only not read.
    let config = config.set("sink.metadata.timestamp", "k_at").set("sink.unknown_fields", "reject");
    let run = config
        .finish(&["run", "--until-end", "--deadline", "60s", "--summary", "json"], Duration::from_secs(90))
        .expect_code(0);
    assert_eq!((run.assert_accounted(), run.count("rows_written")), (3, 2));
    let rows = client
        .query(
            "SELECT id, k_topic, k_partition, k_offset, (extract(epoch FROM k_at) * 1000)::int8, k_key, \
             k_headers::text FROM t ORDER BY id",
            &[],
        )
        .unwrap();
    for (row, (partition, offset)) in rows.iter().zip(&places) {
        assert_eq!(row.get::<_, String>(1), topic);
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
    let reason: String = client.query_one("SELECT reason FROM sink_dead_letters", &[]).unwrap().get(0);
    assert_eq!(reason, "invalid_utf8");
}

#[test]
fn keys_go_into_bytea_as_they_are_and_timestamps_into_bigint_as_milliseconds() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("metadata_bytes", 1);
    let url = postgres.database("metadata_bytes");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute("CREATE TABLE t (n int, raw bytea, at bigint); CREATE TABLE strict (n int, at bigint, key text NOT NULL)")
        .unwrap();
    let records = [
        Record::keyed(vec![0, 0xff, b'"'], json!({"n": 1}).to_string()).timestamp_ms(1_700_000_000_123),
        Record::json(&json!({"n": 2})),
    ];
    kafka.produce(&topic, records);
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .insert_mode("insert")
        .pk_mode("none")
        .set("sink.metadata.timestamp", "at");
    let drain = |config: SinkConfig| {
        let args = ["run", "--until-end", "--deadline", "60s", "--summary", "json"];
        config.finish(&args, Duration::from_secs(90)).expect_code(0)
    };
    let run = drain(config.clone().table("t").set("sink.metadata.key", "raw"));
    assert_eq!(run.count("rows_written"), 2);
    let row = client.query_one("SELECT raw, at FROM t WHERE n = 1", &[]).unwrap();
    assert_eq!((row.get::<_, Vec<u8>>(0), row.get::<_, i64>(1)), (vec![0, 0xff, b'"'], 1_700_000_000_123));
    let row = client.query_one("SELECT raw FROM t WHERE n = 2", &[]).unwrap();
    assert_eq!(row.get::<_, Option<Vec<u8>>>(0), None);
    // A record without a key has null there, which a column that is NOT NULL refuses.
    let strict = config.name("strict").group(&format!("{topic}_strict")).table("strict");
    let run = drain(strict.set("sink.metadata.key", "key"));
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (0, 2));
    let rows = client.query("SELECT reason FROM sink_dead_letters ORDER BY \"offset\"", &[]).unwrap();
    let reasons: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(reasons, ["invalid_utf8", "null_value"]);
}

#[test]
fn a_metadata_column_that_is_missing_or_of_the_wrong_type_is_named_until_it_is_mended() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("metadata_wrong", 1);
    let url = postgres.database("metadata_wrong");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, at int)").unwrap();
    kafka.produce(&topic, [Record::json(&json!({"id": 1}))]);
    let sink = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .pk_fields(&["id"])
        .set("sink.metadata.offset", "at")
        .run();
    let says = |words: [&str; 2]| {
        wait::until_ok(Duration::from_secs(60), "/readyz says what is wrong", || {
            let (status, body) = sink.get("/readyz").map_err(|error| error.to_string())?;
            let said = status == 503 && words.iter().all(|word| body.contains(word));
            if said { Ok(()) } else { Err(format!("{status} {body}")) }
        });
    };
    says(["has type integer, which cannot hold the offset of a record", "use int8"]);
    client.batch_execute("ALTER TABLE t RENAME at TO other").unwrap();
    says(["metadata.offset names column", "no such column; it has: id, other"]);
    client.batch_execute("ALTER TABLE t ADD at bigint").unwrap();
    sink.wait_ready(Duration::from_secs(60));
    sink.wait_metric(Duration::from_secs(60), "sink_rows_written_total", |rows| rows == 1.0);
    assert_eq!(client.query_one("SELECT at FROM t", &[]).unwrap().get::<_, i64>(0), 0);
}
