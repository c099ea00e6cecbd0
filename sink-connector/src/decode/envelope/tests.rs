use crate::decode::{
    CellRef, Cells, Decoder, Field, JsonStrings, Opened, Options, Reason, Rejection, ValueFormat,
};
use crate::encode::{Array, Kind, oid, write_text};
use serde_json::json;
use std::sync::Arc;

fn columns() -> Vec<(&'static str, Kind)> {
    let dates = Arc::new(Array { element: Kind::Date, element_oid: oid::DATE, delimiter: b',' });
    vec![
        ("id", Kind::Int8),
        ("d", Kind::Date),
        ("t", Kind::Time { precision: None }),
        ("ts", Kind::Timestamp { precision: None }),
        ("tz", Kind::Timestamptz { precision: None }),
        ("n", Kind::Numeric { modifier: None, infinite: true }),
        ("s", Kind::Text),
        ("j", Kind::Jsonb),
        ("b", Kind::Bytea),
        ("ds", Kind::Array(dates)),
    ]
}

fn decoder(value_format: ValueFormat) -> Decoder {
    decoder_with(Options { value_format, ..Options::default() })
}

fn decoder_with(options: Options) -> Decoder {
    let field =
        |(name, kind): (&str, Kind)| Field { name: name.into(), kind, not_null: false, column: name.into() };
    let decoder = Decoder::new(columns().into_iter().map(field).collect(), options).unwrap();
    decoder.with_unavailable_value("__debezium_unavailable_value")
}

/// The columns of a value that are not absent, as text; `None` for a tombstone.
fn row(format: ValueFormat, value: &str) -> Result<Option<String>, Rejection> {
    shown(&decoder(format), value)
}

fn shown(decoder: &Decoder, value: &str) -> Result<Option<String>, Rejection> {
    let Opened::Row(row) = decoder.open(value.as_bytes())? else { return Ok(None) };
    let mut cells = Cells::new(0);
    decoder.decode(&row, &mut cells)?;
    let shown =
        columns().into_iter().enumerate().filter_map(|(index, (name, kind))| match cells.get(index) {
            CellRef::Absent => None,
            CellRef::Null => Some(format!("{name}=NULL")),
            CellRef::Value(bytes) => {
                let mut text = Vec::new();
                write_text(&kind, bytes, &mut text);
                Some(format!("{name}={}", String::from_utf8(text).unwrap()))
            }
        });
    Ok(Some(shown.collect::<Vec<_>>().join(" ")))
}

/// One field in Connect's envelope.
fn field(
    name: &str,
    schema: serde_json::Value,
    value: &serde_json::Value,
) -> Result<Option<String>, Rejection> {
    let mut schema = schema;
    schema["field"] = json!(name);
    let envelope = json!({"schema": {"type": "struct", "fields": [schema]}, "payload": {name: value}});
    row(ValueFormat::JsonSchema, &envelope.to_string())
}

#[test]
fn logical_types_become_what_their_columns_take() {
    const CONNECT: &str = "org.apache.kafka.connect.data";
    const TIME: &str = "io.debezium.time";
    for (column, name, value, expected) in [
        ("d", format!("{CONNECT}.Date"), json!(-1), "d=1969-12-31"),
        ("d", format!("{TIME}.Date"), json!(19859), "d=2024-05-16"),
        ("id", format!("{CONNECT}.Date"), json!(19859), "id=19859"),
        ("s", format!("{CONNECT}.Date"), json!(19859), "s=2024-05-16"),
        ("t", format!("{CONNECT}.Time"), json!(70_200_123), "t=19:30:00.123000"),
        ("t", format!("{TIME}.MicroTime"), json!(70_200_123_456_i64), "t=19:30:00.123456"),
        ("ts", format!("{CONNECT}.Timestamp"), json!(-1), "ts=1969-12-31 23:59:59.999000"),
        (
            "tz",
            format!("{CONNECT}.Timestamp"),
            json!(1_715_887_800_123_i64),
            "tz=2024-05-16 19:30:00.123000+00",
        ),
        ("id", format!("{CONNECT}.Timestamp"), json!(1_715_887_800_123_i64), "id=1715887800123"),
        (
            "ts",
            format!("{TIME}.MicroTimestamp"),
            json!(1_715_887_800_123_456_i64),
            "ts=2024-05-16 19:30:00.123456",
        ),
        (
            "ts",
            format!("{TIME}.NanoTimestamp"),
            json!(1_715_887_800_123_456_500_i64),
            "ts=2024-05-16 19:30:00.123456",
        ),
        ("ts", format!("{TIME}.MicroTimestamp"), json!(9_223_372_036_825_200_000_i64), "ts=infinity"),
        ("ts", format!("{TIME}.MicroTimestamp"), json!(-9_223_372_036_832_400_000_i64), "ts=-infinity"),
        (
            "tz",
            format!("{TIME}.ZonedTimestamp"),
            json!("2024-05-16T21:30:00+02:00"),
            "tz=2024-05-16 19:30:00+00",
        ),
        ("j", "io.debezium.data.Json".to_owned(), json!("{\"a\": [1]}"), "j={\"a\": [1]}"),
        ("s", "io.debezium.data.Json".to_owned(), json!("{\"a\": [1]}"), "s={\"a\": [1]}"),
        ("d", format!("{CONNECT}.Date"), json!(null), "d=NULL"),
        ("d", format!("{CONNECT}.Date"), json!("2024-05-16"), "d=2024-05-16"),
    ] {
        let found = field(column, json!({"type": "int64", "name": name}), &value).unwrap().unwrap();
        assert_eq!(found, expected, "{name} {value}");
    }
    let refused =
        field("d", json!({"type": "int32", "name": format!("{CONNECT}.Date")}), &json!(1.5)).unwrap_err();
    assert_eq!((refused.reason, refused.column.as_deref()), (Reason::WrongType, Some("d")));
}

#[test]
fn a_string_of_the_json_type_is_json_text_and_another_string_is_what_json_strings_says() {
    let found = |json_strings, name: Option<&str>, column: &str, value: serde_json::Value| {
        let schema = json!({"type": "struct", "fields": [{"field": column, "type": "string", "name": name}]});
        let envelope = json!({"schema": schema, "payload": {column: value}}).to_string();
        let options = Options { value_format: ValueFormat::JsonSchema, json_strings, ..Options::default() };
        shown(&decoder_with(options), &envelope).map(Option::unwrap)
    };
    let json_type = Some("io.debezium.data.Json");
    for strings in [JsonStrings::Keep, JsonStrings::Parse] {
        for (text, stored) in
            [(" {\"a\": [1.50]} ", "{\"a\": [1.50]}"), ("\"x\"", "\"x\""), ("5", "5"), ("false", "false")]
        {
            let row = found(strings, json_type, "j", json!(text)).unwrap();
            assert_eq!(row.replace(' ', ""), format!("j={stored}").replace(' ', ""), "{strings:?} {text}");
        }
        for text in ["{", "", "x", "{} {}", "NaN"] {
            let rejection = found(strings, json_type, "j", json!(text)).unwrap_err();
            let seen = (rejection.reason, rejection.column.as_deref());
            assert_eq!(seen, (Reason::WrongType, Some("j")), "{strings:?} {text}");
        }
        assert_eq!(found(strings, json_type, "s", json!("{")).unwrap(), "s={", "text takes any text");
        assert_eq!(found(strings, json_type, "j", json!(null)).unwrap(), "j=NULL");
        let placeholder = found(strings, json_type, "j", json!("__debezium_unavailable_value"));
        assert_eq!(placeholder.unwrap(), "", "absent");
    }
    assert_eq!(found(JsonStrings::Keep, json_type, "j", json!("null")).unwrap(), "j=NULL");
    assert_eq!(found(JsonStrings::Parse, json_type, "j", json!("null")).unwrap(), "j=null");
    assert_eq!(found(JsonStrings::Keep, None, "j", json!("{\"a\": 1}")).unwrap(), r#"j="{\"a\": 1}""#);
    assert_eq!(found(JsonStrings::Parse, None, "j", json!("{\"a\": 1}")).unwrap(), r#"j={"a": 1}"#);
    assert_eq!(found(JsonStrings::Parse, None, "j", json!({"a": "1"})).unwrap(), r#"j={"a":"1"}"#);
}

#[test]
fn decimals_are_exact_at_any_scale() {
    for (bytes, scale, expected) in [
        ("BNI=", 2, "12.34"),
        ("+y4=", 2, "-12.34"),
        ("BNI=", 6, "0.001234"),
        ("/w==", 0, "-1"),
        ("AA==", 3, "0.000"),
        ("BNI=", -2, "123400"),
        ("f39/f39/f39/f39/f39/f39/f38=", 5, "7278851291804889043602665637449723274364840.50815"),
    ] {
        let schema = json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal",
                            "parameters": {"scale": scale.to_string()}});
        for column in ["n", "s"] {
            let found = field(column, schema.clone(), &json!(bytes)).unwrap();
            assert_eq!(found.unwrap(), format!("{column}={expected}"));
        }
    }
    let variable = json!({"type": "struct", "name": "io.debezium.data.VariableScaleDecimal"});
    let found = field("n", variable, &json!({"scale": 1, "value": "BNI="})).unwrap();
    assert_eq!(found.unwrap(), "n=123.4");
    let schema = json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal",
                        "parameters": {"scale": "2"}});
    assert_eq!(field("n", schema, &json!("*")).unwrap_err().reason, Reason::WrongType);
    assert_eq!(field("b", json!({"type": "bytes"}), &json!("BNI=")).unwrap().unwrap(), "b=\\x04d2");
}

#[test]
fn logical_types_are_found_in_arrays_structs_and_maps() {
    let date = json!({"type": "int32", "name": "org.apache.kafka.connect.data.Date"});
    let array = json!({"type": "array", "items": date});
    assert_eq!(field("ds", array.clone(), &json!([0, null])).unwrap().unwrap(), "ds={\"1970-01-01\",NULL}");
    let mut inner = array;
    inner["field"] = json!("dates");
    let structure = json!({"type": "struct", "fields": [inner, {"type": "string", "field": "x"}]});
    let map = json!({"type": "map", "keys": {"type": "string"}, "values": structure});
    let found = field("j", map, &json!({"k": {"dates": [1], "x": "\""}})).unwrap().unwrap();
    assert_eq!(found, r#"j={"k":{"dates":["1970-01-02"],"x":"\""}}"#);
}

#[test]
fn an_envelope_needs_schema_and_payload() {
    let open = |value: &str| row(ValueFormat::JsonSchema, value);
    assert_eq!(open(r#"{"schema":null,"payload":{"id":1}}"#), Ok(Some("id=1".into())));
    assert_eq!(
        open(r#" {"payload":{"id":1,"s":"é"},"schema":{"type":"struct"}} "#),
        Ok(Some("id=1 s=é".into()))
    );
    assert_eq!(open(r#"{"schema":{"type":"struct"},"payload":null}"#), Ok(None));
    for (value, reason) in [
        (r#"{"schema":{}}"#, Reason::InvalidEnvelope),
        (r#"{"payload":{"id":1}}"#, Reason::InvalidEnvelope),
        (r#"{"id":1}"#, Reason::InvalidEnvelope),
        (r#"{"schema":{"name":"io.debezium.","fields":7},"payload":{"id":1}}"#, Reason::InvalidEnvelope),
        (r#"{"schema":{},"payload":[1]}"#, Reason::NotAnObject),
        (r#"{"schema":{},"payload":{"id":"x"}}"#, Reason::WrongType),
        (r#"{"schema":{},"payload":{"id":1}"#, Reason::InvalidJson),
        (r#"{"schema":{},"payload":{"id":1}} x"#, Reason::InvalidJson),
        (r#"{"\ud800":{},"payload":{"id":1}}"#, Reason::InvalidText),
        ("[]", Reason::NotAnObject),
        ("", Reason::InvalidJson),
    ] {
        assert_eq!(open(value).unwrap_err().reason, reason, "{value}");
    }
    let deep =
        format!(r#"{{"schema":{}"io.debezium."{},"payload":{{}}}}"#, "[".repeat(9999), "]".repeat(9999));
    assert_eq!(open(&deep).unwrap_err().reason, Reason::InvalidEnvelope);
    let opened = decoder(ValueFormat::JsonSchema).open(b"\xff").map(|_| ());
    assert_eq!(opened.unwrap_err().reason, Reason::InvalidUtf8);
}

#[test]
fn change_events_are_upserts_and_deletes() {
    let open = |value: serde_json::Value| row(ValueFormat::Debezium, &value.to_string());
    for op in ["c", "u", "r"] {
        let event =
            json!({"before": {"id": 7}, "after": {"id": 1, "s": null}, "source": {"lsn": 5}, "op": op});
        assert_eq!(open(event.clone()), Ok(Some("id=1 s=NULL".into())));
        assert_eq!(open(json!({"schema": null, "payload": event})), Ok(Some("id=1 s=NULL".into())));
    }
    let delete = json!({"before": {"id": 1}, "after": null, "op": "d"});
    assert_eq!(open(delete.clone()), Ok(None));
    assert_eq!(open(json!({"schema": {}, "payload": delete})), Ok(None));
    assert_eq!(open(json!({"schema": {}, "payload": null})), Ok(None));
    for (event, reason) in [
        (json!({"before": null, "after": null, "op": "t"}), Reason::UnsupportedOperation),
        (json!({"message": {}, "op": "m"}), Reason::UnsupportedOperation),
        (json!({"before": null, "after": null, "op": "c"}), Reason::InvalidEnvelope),
        (json!({"op": "u"}), Reason::InvalidEnvelope),
        (json!({"id": 1}), Reason::InvalidEnvelope),
        (json!({"after": 1, "op": "c"}), Reason::NotAnObject),
    ] {
        assert_eq!(open(event.clone()).unwrap_err().reason, reason, "{event}");
    }
}

#[test]
fn a_change_event_is_read_by_the_schema_of_its_row_and_without_what_debezium_does_not_know() {
    let fields = json!([{"field": "d", "type": "int32", "name": "io.debezium.time.Date"}]);
    let schema = json!({"type": "struct", "fields": [
        {"field": "before", "type": "struct", "fields": []},
        {"field": "after", "type": "struct", "fields": fields},
    ]});
    let after = json!({"id": 1, "d": 1, "s": "__debezium_unavailable_value",
                       "b": "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="});
    let event = json!({"schema": schema, "payload": {"op": "u", "after": after}});
    assert_eq!(row(ValueFormat::Debezium, &event.to_string()), Ok(Some("id=1 d=1970-01-02".into())));
    let bare = json!({"op": "u", "after": after});
    assert!(row(ValueFormat::Debezium, &bare.to_string()).is_err(), "without its schema, 1 is no date");
}

#[test]
fn keys_come_out_of_their_envelope_if_they_have_one() {
    let decoder = decoder(ValueFormat::Debezium);
    let open = |key: &str| String::from_utf8(decoder.open_key(key.as_bytes()).into_owned()).unwrap();
    assert_eq!(open(r#"{"schema":{"type":"struct"},"payload":{"id":1}}"#), r#"{"id":1}"#);
    assert_eq!(open(r#"{"schema":{"type":"string"},"payload":"k"}"#), r#""k""#);
    let date = json!({"field": "d", "type": "int32", "name": "io.debezium.time.Date"});
    let key = json!({"schema": {"type": "struct", "fields": [date]}, "payload": {"d": 0}});
    assert_eq!(open(&key.to_string()), r#"{"d":"1970-01-01"}"#);
    for bare in [r#"{"id":1}"#, "k", "", "{oops"] {
        assert_eq!(open(bare), bare);
    }
}
