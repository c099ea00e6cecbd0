//! Strings for `json` and `jsonb` columns: JSON strings, or JSON text.

use serde_json::{Value, json};
use tests::{Record, World};

const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY, b jsonb, j json, bs jsonb[], s text)";
const TEXT: &str = r#"{"a": [1, "x"]}"#;

/// Strings in all columns.
fn strings(id: i32) -> Value {
    json!({"id": id, "b": TEXT, "j": TEXT, "bs": [TEXT, "5"], "s": TEXT})
}

/// The stored values as text, by id.
fn stored(world: &World<'_>) -> Vec<String> {
    world.column("SELECT concat_ws(' | ', b, j, bs[1], bs[2], s) FROM t ORDER BY id")
}

const PARSED: &str = r#"{"a": [1, "x"]} | {"a": [1, "x"]} | {"a": [1, "x"]} | 5 | {"a": [1, "x"]}"#;

#[test]
fn a_string_is_a_json_string_unless_json_strings_says_that_it_is_json_text() {
    let quoted = r#""{\"a\": [1, \"x\"]}""#;
    let kept = format!(r#"{quoted} | {quoted} | {quoted} | "5" | {TEXT}"#);
    for (json_strings, expected) in [("keep", kept.as_str()), ("parse", PARSED)] {
        let world = World::new("strings").table(DDL).upsert("id").set("sink.json_strings", json_strings);
        let run = world.drain([Record::json(&strings(1)), Record::json(&json!({"id": 2, "b": "no JSON"}))]);
        assert_eq!(stored(&world)[0], expected, "{json_strings}");
        let reasons = if json_strings == "parse" { vec!["wrong_type"] } else { Vec::new() };
        assert_eq!(world.reasons(), reasons, "{json_strings}");
        assert_eq!(run.count("rows_written"), if reasons.is_empty() { 2 } else { 1 });
    }
}

#[test]
fn in_an_envelope_the_json_type_of_debezium_is_json_text_whatever_json_strings_says() {
    let field = |name: &str, logical: Option<&str>| json!({"field": name, "type": "string", "name": logical});
    let json_type = Some("io.debezium.data.Json");
    let row_schema = json!({"type": "struct", "fields": [
        {"field": "id", "type": "int32"}, field("b", json_type), field("j", json_type), field("s", json_type),
        {"field": "bs", "type": "array", "items": {"type": "string", "name": json_type}},
    ]});
    for value_format in ["json_schema", "debezium"] {
        for json_strings in ["keep", "parse"] {
            let world = World::new("strings").table(DDL).upsert("id");
            let world = world.set("sink.value_format", value_format).set("sink.json_strings", json_strings);
            let record = |row: Value| {
                let mut after = row_schema.clone();
                after["field"] = json!("after");
                let (schema, payload) = match value_format {
                    "json_schema" => (row_schema.clone(), row),
                    _ => (json!({"type": "struct", "fields": [after]}), json!({"op": "c", "after": row})),
                };
                Record::json(&json!({"schema": schema, "payload": payload}))
            };
            let run = world.drain([record(strings(1)), record(json!({"id": 2, "b": "{"}))]);
            assert_eq!(stored(&world), [PARSED], "{value_format} {json_strings}");
            assert_eq!(run.count("dead_letters"), 1);
            assert_eq!(world.reasons(), ["wrong_type"], "its text is not JSON");
        }
    }
}
