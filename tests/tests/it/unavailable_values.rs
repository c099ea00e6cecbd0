//! Debezium's placeholder for a large value that an update did not touch leaves the stored value alone, whatever the column's
//! type is and however the record is wrapped.

use serde_json::{Value, json};
use tests::{Record, SinkConfig, World};

const COLUMNS: &str = "id int PRIMARY KEY, n int, t text, b bytea, hex text, ts text[], bs bytea[], i4 int[], i8 bigint[], \
     f float8[], us uuid[], j json, jb jsonb, h hstore, hj jsonb, x xml, nu numeric, c citext";
/// A value of each column but `id` and `n`.
const STORED: &str = "'text', '\\x01', 'hex', '{a,NULL}', '{\\x02}', '{1,2}', '{3}', '{0.5}', \
     '{0f0e0d0c-0b0a-0908-0706-050403020100}', '{\"a\": 1}', '[1]', 'a=>1', '{\"b\": 2}', '<a/>', 1.5, 'C'";

/// The placeholder as Debezium writes it for a column of each type; `text` is its setting.
fn placeholders(text: &str, base64: &str, hex: &str, uuid: &str) -> Value {
    let bytes: Vec<u8> = text.bytes().collect();
    json!({
        "t": text, "b": base64, "hex": hex, "ts": [text], "bs": [base64], "i4": bytes, "i8": bytes, "f": bytes,
        "us": [uuid], "j": text, "jb": text, "h": {text: text}, "hj": {text: text}, "x": text, "nu": text, "c": text,
    })
}

fn debezium() -> Value {
    placeholders(
        "__debezium_unavailable_value",
        "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
        "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565",
        "b68a35a7-17ad-35b3-af2a-ae46edb4545a",
    )
}

fn of_format(format: &str, row: &Value) -> Value {
    match format {
        "json" => row.clone(),
        "json_schema" => json!({"schema": {"type": "struct"}, "payload": row}),
        _ => json!({"op": "u", "before": null, "after": row}),
    }
}

/// Updates a row in three ways of wrapping it; returns the rows that are different from what was stored.
#[track_caller]
fn changed(configure: impl Fn(SinkConfig) -> SinkConfig, placeholders: &Value) -> Vec<String> {
    let mut changed = Vec::new();
    for format in ["json", "json_schema", "debezium"] {
        let world = World::new("unavailable")
            .table(&format!(
                "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE TABLE t ({COLUMNS}); \
                 INSERT INTO t VALUES (1, 0, {STORED}); CREATE TABLE expected AS TABLE t; UPDATE expected SET n = 7"
            ))
            .upsert("id")
            .set("sink.value_format", format)
            .with(&configure);
        let mut row = placeholders.clone();
        row["id"] = json!(1);
        row["n"] = json!(7);
        let run = world.drain([Record::json(&of_format(format, &row))]);
        if run.count("dead_letters") > 0 {
            changed.push(format!("{format}: a dead letter"));
        }
        let different = "SELECT r::text FROM t AS r WHERE r::text NOT IN (SELECT e::text FROM expected AS e)";
        changed.extend(world.column::<String>(different).iter().map(|row| format!("{format}: {row}")));
    }
    changed
}

#[test]
fn the_placeholder_leaves_the_stored_value_alone_for_every_type_and_format() {
    assert_eq!(changed(|config| config, &debezium()), Vec::<String>::new());
}

#[test]
fn another_placeholder_is_honoured_and_the_default_is_a_value_then() {
    // MD5 of "~none~", with the bits of version and variant of Java's nameUUIDFromBytes, is left out: `us` is not given.
    let mut other = placeholders("~none~", "fm5vbmV+", "7e6e6f6e657e", "");
    other.as_object_mut().unwrap().remove("us");
    let configure = |config: SinkConfig| config.set("sink.unavailable_value_placeholder", "~none~");
    assert_eq!(changed(configure, &other), Vec::<String>::new());
    let default = json!({"t": "__debezium_unavailable_value"});
    assert_eq!(changed(configure, &default).len(), 3, "it is text like any other");
}

#[test]
fn off_turns_it_off() {
    let configure = |config: SinkConfig| config.set("sink.unavailable_value_placeholder", "off");
    assert_eq!(changed(configure, &json!({"ts": ["__debezium_unavailable_value"]})).len(), 3);
    assert_eq!(changed(configure, &json!({"t": "off"})).len(), 3, "the word itself is a value");
}
