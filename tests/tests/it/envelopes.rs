//! Values that wrap their rows: Kafka Connect's JSON with schemas, and Debezium's change events.

use serde_json::{Value, json};
use tests::{Record, World};

fn column(name: &str, schema_type: &str, logical: &str) -> Value {
    json!({"field": name, "type": schema_type, "optional": true, "name": logical})
}

fn world(name: &str, ddl: &str, format: &str) -> World<'static> {
    World::new(name).table(ddl).upsert("id").set("sink.value_format", format)
}

fn dead_letters(world: &World<'_>) -> Vec<(i64, String)> {
    let offsets = world.column("SELECT \"offset\" FROM sink_dead_letters ORDER BY 1");
    offsets.into_iter().zip(world.reasons()).collect()
}

/// Rows as text, by id.
fn texts(world: &World<'_>) -> Vec<String> {
    world.column("SELECT r::text FROM t r ORDER BY id")
}

#[test]
fn the_payload_of_a_connect_envelope_is_the_row_and_its_schema_says_what_types_mean() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, d date, t time, ts timestamp, n numeric, ms bigint, s text, b bytea)";
    let world = world("connect", ddl, "json_schema");
    let mut decimal = column("n", "bytes", "org.apache.kafka.connect.data.Decimal");
    decimal["parameters"] = json!({"scale": "3"});
    let schema = json!({"type": "struct", "optional": false, "name": "row", "fields": [
        {"field": "id", "type": "int32", "optional": false},
        column("d", "int32", "org.apache.kafka.connect.data.Date"),
        column("t", "int32", "org.apache.kafka.connect.data.Time"),
        column("ts", "int64", "org.apache.kafka.connect.data.Timestamp"),
        column("ms", "int64", "org.apache.kafka.connect.data.Timestamp"),
        decimal,
        {"field": "s", "type": "string", "optional": true},
        {"field": "b", "type": "bytes", "optional": true},
    ]});
    let wrap = |payload: Value| Record::json(&json!({"schema": schema, "payload": payload}));
    let ms = 1_715_887_800_123_i64;
    let run = world.drain(
        [
            wrap(json!({"id": 1, "d": 19_859, "t": 70_200_123, "ts": ms, "ms": ms, "n": "+y4=", "s": "x", "b": "BNI="})),
            wrap(json!({"id": 2, "d": null, "t": null, "ts": -1, "n": "f39/f39/f39/f39/f39/f39/f38="})),
            wrap(Value::Null),
            Record::json(&json!({"schema": schema})),
            Record::json(&json!({"id": 3})),
            Record::json(&json!({"schema": null, "payload": {"id": 4, "d": "2024-05-16"}})),
        ],
    );
    assert_eq!(run.count("records"), 6);
    assert_eq!((run.count("rows_written"), run.count("skipped"), run.count("dead_letters")), (3, 1, 2));
    assert_eq!(
        texts(&world),
        [
            r#"(1,2024-05-16,19:30:00.123,"2024-05-16 19:30:00.123",-1.234,1715887800123,x,"\\x04d2")"#,
            r#"(2,,,"1969-12-31 23:59:59.999",727885129180488904360266563744972327436484050.815,,,)"#,
            "(4,2024-05-16,,,,,,)",
        ]
    );
    let missing = "invalid_envelope".to_owned();
    assert_eq!(dead_letters(&world), [(3, missing.clone()), (4, missing)]);
}

#[test]
fn change_events_are_applied_with_and_without_a_schema() {
    for with_schema in [true, false] {
        let ddl = "CREATE TABLE t (id int PRIMARY KEY, v text, big text, at timestamptz)";
        let world = world("changes", ddl, "debezium");
        let after = json!({"field": "after", "type": "struct", "fields": [
            {"field": "id", "type": "int32"},
            column("at", "int64", "io.debezium.time.MicroTimestamp"),
        ]});
        let schema = json!({"type": "struct", "fields": [after]});
        // Without a schema nothing says that a number is in microseconds: Debezium is then configured to write text.
        let at =
            if with_schema { json!(1_715_887_800_123_456_i64) } else { json!("2024-05-16T19:30:00.123456Z") };
        let event = |op: &str, before: Value, after: Value| {
            let event = json!({"before": before, "after": after, "op": op, "ts_ms": 1, "source": {"lsn": 9}});
            let event = if with_schema { json!({"schema": schema, "payload": event}) } else { event };
            Record::json(&event).key(br#"{"id":1}"#.as_slice())
        };
        let unchanged = "__debezium_unavailable_value";
        let run = world.drain([
            event("r", Value::Null, json!({"id": 1, "v": "snapshot", "big": "kept", "at": at})),
            event("c", Value::Null, json!({"id": 2, "v": "created", "big": "b", "at": at})),
            event("u", json!({"id": 1}), json!({"id": 1, "v": "updated", "big": unchanged, "at": at})),
            event("t", Value::Null, Value::Null),
            event("c", Value::Null, Value::Null),
            Record::json(&json!({"id": 5, "v": "flat"})),
        ]);
        assert_eq!(run.count("records"), 6);
        assert_eq!(
            texts(&world),
            [
                r#"(1,updated,kept,"2024-05-16 19:30:00.123456+00")"#,
                r#"(2,created,b,"2024-05-16 19:30:00.123456+00")"#
            ]
        );
        let reasons = ["unsupported_operation", "invalid_envelope", "invalid_envelope"];
        let expected: Vec<_> = (3..).zip(reasons.map(str::to_owned)).collect();
        assert_eq!(dead_letters(&world), expected);
    }
}

#[test]
fn a_deletion_deletes_by_the_records_key_or_by_the_row_before_it() {
    for pk_mode in ["record_key", "record_value"] {
        let ddl = "CREATE TABLE t (id date PRIMARY KEY, v text NOT NULL); \
             INSERT INTO t SELECT '1970-01-01'::date + i, 'old' FROM generate_series(1, 6) i";
        let world = world("deletions", ddl, "debezium")
            .with(|config| config.pk_mode(pk_mode).set("sink.delete_enabled", true));
        let fields = json!([column("id", "int32", "io.debezium.time.Date")]);
        let image = |name: &str| json!({"field": name, "type": "struct", "fields": fields});
        let schema = json!({"type": "struct", "fields": [image("before"), image("after")]});
        let key_schema = json!({"type": "struct", "fields": fields});
        let event = |id: u32, op: &str, before: Value, after: Value| {
            let event = json!({"before": before, "after": after, "op": op, "source": {"lsn": 9}});
            let key = json!({"schema": key_schema, "payload": {"id": id}});
            Record::json(&json!({"schema": schema, "payload": event})).key(key.to_string())
        };
        let gone = |id: u32| event(id, "d", json!({"id": id, "v": null}), Value::Null);
        let run = world.drain([
            gone(1),
            // What Debezium sends after a deletion, for compaction.
            Record::tombstone(json!({"schema": key_schema, "payload": {"id": 1}}).to_string()),
            event(2, "u", Value::Null, json!({"id": 2, "v": "new"})),
            gone(2),
            event(2, "c", Value::Null, json!({"id": 2, "v": "again"})),
            // Without REPLICA IDENTITY there is no row before.
            event(3, "d", Value::Null, Value::Null),
            gone(9),
            // Without a schema a date is text: nothing says that a number counts days.
            Record::json(&json!({"op": "d", "before": {"id": "1970-01-06", "v": null}}))
                .key(r#"{"id": "1970-01-06"}"#),
        ]);
        assert_eq!(run.count("records"), 8);
        let by_key = pk_mode == "record_key";
        let left: &[&str] = if by_key {
            &["(1970-01-03,again)", "(1970-01-05,old)", "(1970-01-07,old)"]
        } else {
            &["(1970-01-03,again)", "(1970-01-04,old)", "(1970-01-05,old)", "(1970-01-07,old)"]
        };
        assert_eq!(texts(&world), left, "{pk_mode}");
        let refused = if by_key { vec![] } else { vec![(5, "invalid_envelope".to_owned())] };
        assert_eq!(dead_letters(&world), refused, "{pk_mode}");
        assert_eq!(run.count("rows_deleted"), if by_key { 4 } else { 3 }, "{pk_mode}: {}", run.summary());
    }
}

#[test]
fn a_deletion_finds_the_part_of_its_key_that_comes_from_metadata() {
    let ddl = "CREATE TABLE t (id int, source text, PRIMARY KEY (id, source)); \
         INSERT INTO t VALUES (1, 'other')";
    let world = world("tenants", ddl, "debezium").with(|config| {
        config
            .pk_fields(&["id", "source"])
            .set("sink.metadata.topic", "source")
            .set("sink.delete_enabled", true)
            .set("batch.max_rows", 2)
    });
    // A field of the column's name is not read.
    let event = |id: u32, op: &str, image: &str| {
        Record::json(&json!({"op": op, image: {"id": id, "source": "other"}}))
    };
    let run = world.drain([event(1, "c", "after"), event(2, "c", "after"), event(1, "d", "before")]);
    assert_eq!((run.count("rows_deleted"), run.count("dead_letters")), (1, 0), "{}", run.summary());
    assert_eq!(texts(&world), ["(1,other)".to_owned(), format!("(2,{})", world.topic())]);
}

#[test]
fn the_members_of_a_map_whose_keys_are_no_strings_are_read_by_their_schemas() {
    let world = world("pairs", "CREATE TABLE t (id int PRIMARY KEY, m jsonb)", "json_schema");
    let plain = |schema_type: &str| json!({"type": schema_type, "optional": false});
    let logical = |name: &str| {
        let name = format!("org.apache.kafka.connect.data.{name}");
        json!({"type": "int32", "optional": true, "name": name})
    };
    // As Connect's JsonConverter writes it: only a map whose keys are strings is an object.
    let map =
        |keys: &Value, values: &Value| json!({"field": "m", "type": "map", "keys": keys, "values": values});
    let record = |id: u32, map: Value, payload: Value| {
        let fields = json!([{"field": "id", "type": "int32", "optional": false}, map]);
        let schema = json!({"type": "struct", "optional": false, "fields": fields});
        Record::json(&json!({"schema": schema, "payload": {"id": id, "m": payload}}))
    };
    let (date, time) = (logical("Date"), logical("Time"));
    let nested = json!({"type": "map", "keys": plain("int32"), "values": date});
    world.drain([
        record(1, map(&plain("int32"), &date), json!([[7, 19_859], [8, null]])),
        record(2, map(&date, &time), json!([[0, 70_200_123]])),
        record(3, map(&plain("string"), &nested), json!({"a": [[1, 0]]})),
        record(4, map(&plain("int32"), &date), json!([])),
        record(5, map(&plain("string"), &date), json!({"a": 0})),
    ]);
    let maps = world.column::<String>("SELECT m::text FROM t ORDER BY id");
    assert_eq!(
        maps,
        [
            r#"[[7, "2024-05-16"], [8, null]]"#,
            r#"[["1970-01-01", "19:30:00.123"]]"#,
            r#"{"a": [[1, "1970-01-01"]]}"#,
            "[]",
            r#"{"a": "1970-01-01"}"#,
        ]
    );
}
