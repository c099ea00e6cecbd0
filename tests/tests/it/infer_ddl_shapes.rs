//! `infer-ddl`: what it prints, the table and the configuration, is run as it stands, for each shape of records.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, Services, SinkConfig};

const SOON: Duration = Duration::from_secs(60);

/// What is proposed for records: the configuration, and the rows that a sink with it writes.
struct Ran {
    configuration: String,
    sql: String,
    rows: Vec<Value>,
}

/// Proposes a table, creates it, and runs the sink with the configuration that was printed.
#[track_caller]
fn run(topic: &str, records: Vec<Record>) -> Ran {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic(topic, 1);
    kafka.produce(&topic, records);
    let url = postgres.database("shape");
    let base = SinkConfig::new(kafka.bootstrap(), &url);
    let printed = base.finish(&["infer-ddl", "--topic", &topic], SOON).expect_code(0).stdout;
    let mut client = tests::postgres::connect(&url);
    client.batch_execute(&printed).unwrap();

    let (sql, configuration) = printed.split_once("-- Configuration:\n").expect("a configuration");
    let lines = configuration.lines().map(|line| line.strip_prefix("--").expect("a comment").trim_start());
    let configuration = lines.collect::<Vec<_>>().join("\n");
    let parsed: toml::Table = configuration.parse().unwrap_or_else(|e| panic!("{e}: {configuration}"));
    let mut config = base;
    for (section, value) in parsed {
        match section.as_str() {
            "kafka" => config = config.set("kafka.topics", value["topics"].clone()),
            _ => config = config.set("topics", value),
        }
    }
    let run = config.finish(&["run", "--until-end", "--summary", "json"], SOON).expect_code(0);
    assert_eq!(run.count("dead_letters"), 0, "{printed}\n{}", run.stderr);
    let rows = format!(
        "SELECT to_jsonb(t) - '{{__connect_topic,__connect_partition}}'::text[] FROM \"{topic}\" t ORDER BY 1"
    );
    let rows = client.query(&format!("SELECT r::text FROM ({rows}) q(r)"), &[]).unwrap();
    let rows = rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
    Ran { configuration, sql: sql.to_owned(), rows }
}

fn records(values: &[Value]) -> Vec<Record> {
    values.iter().map(Record::json).collect()
}

#[test]
fn flat_records_with_an_id_that_repeats_are_upserted_by_it() {
    let ran = run("flat", records(&[json!({"id": 1, "n": 1.5}), json!({"id": 2, "n": 2.5})]));
    assert!(ran.sql.contains("PRIMARY KEY (\"id\")"), "{}", ran.sql);
    assert_eq!(ran.rows, [json!({"id": 1, "n": 1.5}), json!({"id": 2, "n": 2.5})]);
    let order = |id: u32, price: f64| json!({"total_price": price, "id": id});
    let ran = run("repeated", records(&[order(1, 5.5), order(2, 6.5), order(1, 7.5)]));
    assert!(
        ran.sql.contains("PRIMARY KEY (\"id\")") && ran.sql.contains("1 of 3 records overwrite"),
        "{}",
        ran.sql
    );
    assert_eq!(ran.rows, [order(1, 7.5), order(2, 6.5)]);
}

#[test]
fn fields_that_identify_a_row_together_are_the_key_together() {
    let lines =
        [(1, 1), (1, 2), (2, 1)].map(|(order, line)| json!({"order_id": order, "line_id": line, "n": 1}));
    let ran = run("lines", records(&lines));
    assert!(ran.sql.contains("PRIMARY KEY (\"line_id\", \"order_id\")"), "{}", ran.sql);
    assert_eq!(ran.rows.len(), 3);
}

#[test]
fn records_that_nothing_identifies_are_kept_by_their_place_in_kafka() {
    let events = [json!({"user_id": 1, "total_price": 1}), json!({"user_id": 1, "total_price": 2})];
    let ran = run("events", records(&events));
    assert!(ran.configuration.contains("pk_mode = \"kafka\""), "{}", ran.configuration);
    assert!(ran.sql.contains("no field is known to identify a row"), "{}", ran.sql);
    assert_eq!(ran.rows.len(), 2);
}

#[test]
fn the_fields_of_a_json_key_are_the_key_and_tombstones_delete() {
    let record = |id: u32, n: u32| Record::keyed(json!({"id": id}).to_string(), json!({"n": n}).to_string());
    let ran = run("keyed", vec![record(1, 1), record(2, 2), Record::tombstone(json!({"id": 1}).to_string())]);
    assert!(ran.configuration.contains("pk_mode = \"record_key\""), "{}", ran.configuration);
    assert_eq!(ran.rows, [json!({"id": 2, "n": 2})]);
}

#[test]
fn change_events_of_debezium_are_recognised_with_and_without_a_schema() {
    for with_schema in [true, false] {
        let decimal = json!({"field": "price", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal",
            "parameters": {"scale": "2"}});
        let row = json!({"field": "after", "type": "struct", "fields": [{"field": "id", "type": "int32"}, decimal]});
        let schema = json!({"type": "struct", "fields": [row]});
        let wrap = |schema: &Value, payload: Value| match with_schema {
            true => json!({"schema": schema, "payload": payload}),
            false => payload,
        };
        let key = |id: u32| wrap(&json!({"type": "struct", "fields": []}), json!({"id": id})).to_string();
        let event = |id: u32, op: &str, after: Value| {
            let payload = json!({"op": op, "before": null, "after": after, "source": {}});
            Record::keyed(key(id), wrap(&schema, payload).to_string())
        };
        let price = if with_schema { json!("BNI=") } else { json!("12.34") };
        let after = |id: u32| json!({"id": id, "price": price});
        let ran = run(
            "dbz",
            vec![
                event(1, "c", after(1)),
                event(2, "c", after(2)),
                event(2, "u", after(2)),
                event(1, "d", Value::Null),
                Record::tombstone(key(1)),
            ],
        );
        for words in [
            "value_format = \"debezium\"",
            "pk_mode = \"record_key\"",
            "insert_mode = \"upsert\"",
            "delete_enabled = true",
        ] {
            assert!(ran.configuration.contains(words), "{words}: {}", ran.configuration);
        }
        let price = if with_schema { json!(12.34) } else { json!("12.34") };
        assert_eq!(ran.rows, [json!({"id": 2, "price": price})]);
        let wanted = if with_schema { "numeric," } else { "numeric takes as well" };
        assert!(ran.sql.contains(wanted), "{}", ran.sql);
    }
}

#[test]
fn arrays_nested_values_and_connect_envelopes_keep_their_values() {
    let values = [
        json!({"id": 1, "tags": ["a"], "numbers": [1, 2], "nested": {"a": 1}, "hash": "d41d8cd98f00b204e9800998ecf8427e"}),
        json!({"id": 2, "tags": ["b", "c"], "numbers": [], "nested": {"b": [1]}, "hash": "9e107d9d372bb6826bd81d3542a419d6"}),
    ];
    let ran = run("arrays", records(&values));
    for column in ["\"tags\"    text[]", "\"numbers\" bigint[]", "\"nested\"  jsonb", "\"hash\"    text"] {
        assert!(ran.sql.contains(column), "{column}: {}", ran.sql);
    }
    assert_eq!(ran.rows, values);
    let schema = json!({"type": "struct", "fields": [{"field": "id", "type": "int32"}]});
    let wrapped = values.clone().map(|payload| json!({"schema": schema, "payload": payload}));
    let ran = run("connect", records(&wrapped));
    assert!(ran.configuration.contains("value_format = \"json_schema\""), "{}", ran.configuration);
    assert_eq!(ran.rows, values);
}

#[test]
fn the_schema_of_an_envelope_decides_the_types_of_columns_and_key() {
    let field = |name: &str, base: &str, logical: &str| json!({"field": name, "type": base, "name": logical});
    let connect = |name: &str, base: &str, logical: &str| {
        field(name, base, &format!("org.apache.kafka.connect.data.{logical}"))
    };
    let debezium =
        |name: &str, base: &str, logical: &str| field(name, base, &format!("io.debezium.{logical}"));
    let plain = |name: &str, base: &str| json!({"field": name, "type": base});
    let mut price = connect("price", "bytes", "Decimal");
    price["parameters"] = json!({"scale": "2"});
    let fields = [
        (plain("id", "int32"), json!(1), "integer", json!(1)),
        (
            plain("ratio", "double"),
            json!(0.30000000000000004),
            "double precision",
            json!(0.30000000000000004),
        ),
        (plain("share", "float"), json!(2), "real", json!(2)),
        (plain("photo", "bytes"), json!("AQID"), "bytea", json!("\\x010203")),
        (price, json!("BNI="), "numeric", json!(12.34)),
        (debezium("day", "int32", "time.Date"), json!(20000), "date", json!("2024-10-04")),
        (
            debezium("at", "int64", "time.MicroTime"),
            json!(3_600_000_001_i64),
            "time",
            json!("01:00:00.000001"),
        ),
        (
            debezium("made", "int64", "time.MicroTimestamp"),
            json!(1),
            "timestamp",
            json!("1970-01-01T00:00:00.000001"),
        ),
        (connect("seen", "int64", "Timestamp"), json!(1000), "timestamp", json!("1970-01-01T00:00:01")),
        (
            debezium("zoned", "string", "time.ZonedTimestamp"),
            json!("2024-10-04T00:00:00Z"),
            "timestamptz",
            json!("2024-10-04T00:00:00+00:00"),
        ),
        (debezium("daily", "string", "time.ZonedTime"), json!("01:00:00Z"), "timetz", json!("01:00:00+00")),
        (debezium("span", "string", "time.Interval"), json!("P0Y0M1DT0H0M0S"), "interval", json!("1 day")),
        (debezium("doc", "string", "data.Json"), json!("{\"a\": 1}"), "jsonb", json!({"a": 1})),
        (plain("code", "string"), json!("12"), "text", json!("12")),
        (plain("none", "int64"), Value::Null, "bigint", Value::Null),
        (
            json!({"field": "days", "type": "array", "items": {"type": "int32", "name": "io.debezium.time.Date"}}),
            json!([0, 1]),
            "date[]",
            json!(["1970-01-01", "1970-01-02"]),
        ),
    ];
    let schema =
        json!({"type": "struct", "fields": fields.iter().map(|(field, ..)| field).collect::<Vec<_>>()});
    let object = |of: &dyn Fn(usize) -> Value| {
        let members = fields
            .iter()
            .enumerate()
            .map(|(n, (field, ..))| (field["field"].as_str().unwrap().to_owned(), of(n)));
        Value::Object(members.collect())
    };
    let row = object(&|n| fields[n].1.clone());
    let stored = object(&|n| fields[n].3.clone());
    let key = json!({"schema": {"type": "struct", "fields": [plain("id", "int32")]}, "payload": {"id": 1}});
    for change in [false, true] {
        let value = if change {
            let mut after = schema.clone();
            after["field"] = json!("after");
            let schema = json!({"type": "struct", "fields": [after]});
            json!({"schema": schema, "payload": {"op": "c", "before": null, "after": row}})
        } else {
            json!({"schema": schema, "payload": row})
        };
        let ran = run("schema", vec![Record::keyed(key.to_string(), value.to_string())]);
        for (field, _, type_name, _) in &fields {
            let name = format!("\"{}\"", field["field"].as_str().unwrap());
            let found = ran.sql.lines().find(|line| line.trim_start().starts_with(&name)).unwrap();
            let found = found.trim_start()[name.len()..].split(',').next().unwrap().trim();
            assert_eq!(found, *type_name, "{name}: {}", ran.sql);
        }
        assert_eq!(ran.rows, std::slice::from_ref(&stored));
    }
}

#[test]
fn change_events_without_a_schema_keep_decimals_and_dates_as_they_are_and_a_comment_names_that() {
    let event = json!({"op": "c", "before": null, "after": {"id": 1, "price": "BNI="}});
    let ran = run("bare", vec![Record::json(&event)]);
    assert!(ran.sql.contains("schemas.enable = true"), "{}", ran.sql);
    assert_eq!(ran.rows, [json!({"id": 1, "price": "BNI="})]);
}
