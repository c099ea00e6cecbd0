//! What is proposed for what was seen.

use super::*;
use crate::table::metadata_columns::MetadataColumn;

fn sample_statistics(records: &[(Option<&str>, &str)]) -> SampleStatistics {
    let mut sample_statistics = SampleStatistics::new(true);
    for (key, payload) in records {
        sample_statistics.add(key.map(str::as_bytes), Some(payload.as_bytes()));
    }
    sample_statistics
}

fn configured() -> ConfiguredTopic {
    ConfiguredTopic { topic: "t".into(), table: TableName::parse("t"), ..ConfiguredTopic::default() }
}

/// The column of the field `f`.
fn column(proposal: &Proposal) -> &Column {
    proposal.columns.iter().find(|column| column.name == "f").unwrap()
}

fn column_of(value: &str) -> (String, String) {
    let proposal =
        Proposal::new(&sample_statistics(&[(None, &format!("{{\"f\": {value}}}"))]), &configured());
    let column = column(&proposal);
    (column.type_name.clone(), column.doubts.join("; "))
}

#[test]
fn a_value_gets_a_type_that_takes_it() {
    for (value, type_name, doubt) in [
        ("true", "boolean", ""),
        ("1", "bigint", ""),
        ("9223372036854775807", "bigint", ""),
        ("9223372036854775808", "numeric", "beyond the range of bigint"),
        ("1772366400000", "bigint", "milliseconds"),
        ("1.5", "double precision", "money"),
        ("0.1234567890123456789", "numeric", "digits"),
        ("0.30000000000000004", "double precision", "money"),
        ("1.50000000000000000000", "double precision", "money"),
        ("0.30000000000000001", "numeric", "digits"),
        ("1e400", "numeric", "range of double"),
        ("\"x\"", "text", ""),
        ("\"123\"", "text", "bigint takes"),
        ("\"20240517\"", "text", "bigint takes"),
        ("\"007\"", "text", ""),
        ("\"12.50\"", "text", "numeric takes"),
        ("\"d41d8cd98f00b204e9800998ecf8427e\"", "text", ""),
        ("\"2024-05-17\"", "date", "date"),
        ("\"2024-02-30\"", "text", ""),
        ("\"2024-05-17T10:00:00Z\"", "timestamptz", "offset"),
        ("\"2024-05-17 10:00:00.123\"", "timestamp", "UTC"),
        ("\"8c5f0e7e-6a3b-4a52-9d1e-0d3c9a7b1f00\"", "uuid", "UUID"),
        ("null", "text", "nulls"),
        ("{}", "jsonb", "nested"),
        ("[1,2]", "bigint[]", ""),
        ("[1,null]", "bigint[]", ""),
        ("[1,\"x\"]", "jsonb", "nested"),
        ("[[1]]", "jsonb", "nested"),
        ("[\"x\"]", "text[]", "one element"),
        ("[]", "jsonb", "nested"),
    ] {
        let (seen, doubts) = column_of(value);
        assert_eq!(seen, type_name, "{value}: {doubts}");
        assert!(doubts.contains(doubt) && doubt.is_empty() == doubts.is_empty(), "{value}: {doubts}");
    }
}

#[test]
fn values_of_several_types_meet_in_one_that_takes_all() {
    for (values, type_name) in [
        (["1", "\"x\""], "text"),
        (["true", "1"], "text"),
        (["1", "1.5"], "double precision"),
        (["1", "{}"], "jsonb"),
        (["[\"x\"]", "[\"x\", \"y\"]"], "text[]"),
        (["[1]", "null"], "bigint[]"),
        (["[1]", "[{}]"], "jsonb"),
        (["[\"x\"]", "\"y\""], "text"),
        (["\"2024-05-17\"", "\"2024-05-17T10:00:00\""], "text"),
        (["null", "1"], "bigint"),
    ] {
        let records = values.map(|value| format!("{{\"f\": {value}}}"));
        let proposal =
            Proposal::new(&sample_statistics(&records.each_ref().map(|r| (None, r.as_str()))), &configured());
        assert_eq!(column(&proposal).type_name, type_name, "{values:?}");
    }
}

/// The key columns and the configuration that are proposed for records of the topic `orders`.
fn key_of(records: &[(Option<&str>, &str)]) -> (Vec<String>, String) {
    let configured = ConfiguredTopic { topic: "orders".into(), ..configured() };
    let proposal = Proposal::new(&sample_statistics(records), &configured);
    (proposal.key.clone(), proposal.configuration())
}

#[test]
fn a_key_comes_from_the_records_key_or_from_a_name_that_is_one() {
    let key = |records: &[(Option<&str>, &str)]| key_of(records).0;
    let updates = [(None, r#"{"id": 1, "total_price": 5}"#), (None, r#"{"id": 1, "total_price": 6}"#)];
    assert_eq!(key(&updates), ["id"]);
    let updates = [(None, r#"{"order_id": 1, "n": 5}"#), (None, r#"{"order_id": 1, "n": 6}"#)];
    assert_eq!(key(&updates), ["order_id"]);
    let own =
        [(None, r#"{"customer_id": 1, "order_id": 5}"#), (None, r#"{"customer_id": 2, "order_id": 6}"#)];
    assert_eq!(key(&own), ["order_id"]);
    let lines = [(None, r#"{"order_id": 1, "line_no": 1}"#), (None, r#"{"order_id": 1, "line_no": 2}"#)];
    assert_eq!(key(&lines), ["order_id", "line_no"]);
    let tenants = [
        (None, r#"{"tenant_id": 1, "id": 1}"#),
        (None, r#"{"tenant_id": 2, "id": 1}"#),
        (None, r#"{"tenant_id": 2, "id": 2}"#),
    ];
    assert_eq!(key(&tenants), ["id", "tenant_id"]);
    // The same record twice loses nothing.
    assert_eq!(key(&[own[0], own[0], own[1]]), ["order_id"]);
    let by_key = [(Some("a"), r#"{"n": 1, "code": "a"}"#), (Some("a"), r#"{"n": 2, "code": "a"}"#)];
    assert_eq!(key(&by_key), ["code"]);
    let events =
        [(Some("7"), r#"{"user_id": 7, "event_id": 1}"#), (Some("7"), r#"{"user_id": 7, "event_id": 2}"#)];
    assert_eq!(key(&events), ["event_id"]);
}

#[test]
fn without_a_key_the_place_in_kafka_is_one_and_the_output_says_so() {
    for records in [
        [(None, r#"{"total_price": 1}"#), (None, r#"{"total_price": 2}"#)],
        [(None, r#"{"user_id": 1, "n": 1}"#), (None, r#"{"user_id": 1, "n": 2}"#)],
        [(None, r#"{"id": 1}"#), (None, r#"{"n": 2}"#)],
        [(None, r#"{"id": 1.5}"#), (None, r#"{"id": 2.5}"#)],
    ] {
        let (key, configuration) = key_of(&records);
        assert_eq!(key, ["__connect_topic", "__connect_partition", "__connect_offset"], "{records:?}");
        assert!(configuration.contains("pk_mode = \"kafka\""), "{configuration}");
        let sql = Proposal::new(&sample_statistics(&records), &configured()).sql();
        assert!(sql.contains("-- no field is known to identify a row"), "{sql}");
    }
    let none = [(None, "{\"n\": 1}"), (None, "{\"n\": 1}")];
    let unkeyed = ConfiguredTopic { key: Some((PkMode::None, Vec::new())), ..configured() };
    let sql = Proposal::new(&sample_statistics(&none), &unkeyed).sql();
    assert!(sql.contains("pk_mode = \"none\""), "{sql}");
    let configured = ConfiguredTopic { key: Some((PkMode::RecordValue, vec!["n".into()])), ..configured() };
    assert_eq!(Proposal::new(&sample_statistics(&none), &configured).key, ["n"]);
}

#[test]
fn the_fields_of_the_records_key_are_the_key() {
    let records = [
        (Some(r#"{"a": 1, "b": "x"}"#), r#"{"a": 1, "n": 1}"#),
        (Some(r#"{"a": 2, "b": "x"}"#), r#"{"a": 2, "n": 1}"#),
    ];
    let (key, configuration) = key_of(&records);
    assert_eq!(key, ["a", "b"]);
    assert!(configuration.contains("pk_mode = \"record_key\""), "{configuration}");
    let whole = [(Some("k1"), r#"{"n": 1}"#), (Some("k2"), r#"{"n": 1}"#)];
    assert_eq!(key_of(&whole).0, ["key"]);
}

#[test]
fn names_that_no_column_can_have_are_left_out_with_a_comment() {
    let long = "x".repeat(64);
    let record = format!("{{\"\": 1, \"ctid\": 2, \"{long}\": 3, \"a\\nb\": 4, \"q\\\"\": 5}}");
    let sql = Proposal::new(&sample_statistics(&[(None, &record)]), &configured()).sql();
    assert_eq!(sql.matches("is left out").count(), 3, "{sql}");
    let words: Vec<&str> = sql.split(' ').filter(|word| !word.is_empty()).collect();
    let sql = words.join(" ");
    assert!(sql.contains("\"a\nb\" bigint") && sql.contains("\"q\"\"\" bigint"), "{sql}");
}

/// The columns with their types, and the key, that are proposed for a configured topic.
fn proposed(records: &[(Option<&str>, &str)], topic: &ConfiguredTopic) -> (Vec<String>, Vec<String>) {
    let proposal = Proposal::new(&sample_statistics(records), topic);
    let column = |column: &Column| format!("{} {}", column.name, column.type_name);
    (proposal.columns.iter().map(column).collect(), proposal.key.clone())
}

#[test]
fn the_configured_key_and_the_metadata_columns_are_in_the_table() {
    let records = [(Some("7"), r#"{"id": 1, "note": "x"}"#), (Some("8"), r#"{"id": 2, "note": "y"}"#)];
    let metadata = vec![(MetadataColumn::Offset, "kafka_offset".to_owned())];
    let by_key = ConfiguredTopic {
        key: Some((PkMode::RecordKey, vec!["order_id".into()])),
        metadata: metadata.clone(),
        ..configured()
    };
    let (columns, key) = proposed(&records, &by_key);
    assert_eq!(columns, ["order_id bigint", "id bigint", "note text", "kafka_offset bigint"]);
    assert_eq!(key, ["order_id"]);

    let place = vec!["topic".into(), "part".into(), "off".into()];
    let by_place = ConfiguredTopic { key: Some((PkMode::Kafka, place)), ..configured() };
    let (columns, key) = proposed(&records, &by_place);
    assert_eq!(columns, ["id bigint", "note text", "topic text", "part integer", "off bigint"]);
    assert_eq!(key, ["topic", "part", "off"]);

    // A column of a key of the value may be a metadata column, and then the field of its name is not read.
    let with_topic = ConfiguredTopic {
        key: Some((PkMode::RecordValue, vec!["note".into(), "id".into()])),
        metadata: vec![(MetadataColumn::Topic, "note".to_owned())],
        ..configured()
    };
    let (columns, key) = proposed(&records, &with_topic);
    assert_eq!(columns, ["id bigint", "note text"]);
    assert_eq!(key, ["note", "id"]);
}

#[test]
fn the_columns_of_a_configured_record_key_have_the_types_of_its_fields() {
    let records = [(Some(r#"{"id": 1, "eu": true}"#), r#"{"id": "x", "n": 1}"#)];
    let key = |columns: &[&str]| ConfiguredTopic {
        key: Some((PkMode::RecordKey, columns.iter().map(|name| (*name).to_owned()).collect())),
        rename: [("id".to_owned(), "order_id".to_owned())].into(),
        ..configured()
    };
    let (columns, _) = proposed(&records, &key(&["order_id"]));
    assert_eq!(columns, ["order_id bigint", "n bigint"]);
    let (columns, _) = proposed(&records, &key(&["order_id", "eu", "missing"]));
    assert_eq!(columns, ["eu boolean", "missing text", "order_id bigint", "n bigint"]);
    let (columns, _) = proposed(&[(None, r#"{"n": 1}"#)], &key(&["k"]));
    assert_eq!(columns, ["k text", "n bigint"]);
}

#[test]
fn the_place_in_kafka_has_columns_of_its_own_beside_fields_of_the_same_names() {
    let records =
        [(None, r#"{"n": 1, "__connect_offset": 7}"#), (None, r#"{"n": 2, "__connect_offset": 7}"#)];
    let metadata = vec![(MetadataColumn::Topic, "__connect_topic".to_owned())];
    let (columns, key) = proposed(&records, &ConfiguredTopic { metadata, ..configured() });
    assert_eq!(key, ["__kafka_topic", "__connect_partition", "__kafka_offset"]);
    let own = ["__kafka_topic text", "__connect_partition integer", "__kafka_offset bigint"];
    assert_eq!(
        columns,
        [&own[..], &["n bigint", "__connect_offset bigint", "__connect_topic text"]].concat()
    );
}

#[test]
fn a_version_that_no_record_has_is_named() {
    let doubts = |field: &str| {
        let configured = ConfiguredTopic { version_field: Some(field.to_owned()), ..configured() };
        Proposal::new(&sample_statistics(&[(None, r#"{"id": 1, "v": 2}"#)]), &configured).doubts.join("; ")
    };
    assert!(doubts("version").contains("version_field is \"version\""), "{}", doubts("version"));
    assert!(!doubts("v").contains("version_field"), "{}", doubts("v"));
}

#[test]
fn tombstones_make_the_records_key_the_key_or_are_named() {
    let records = [(Some("a"), r#"{"n": 1, "code": "a"}"#), (Some("b"), r#"{"n": 2, "code": "b"}"#)];
    let mut keyed = sample_statistics(&records);
    keyed.add(Some(b"a"), None);
    let proposal = Proposal::new(&keyed, &configured());
    assert_eq!(proposal.key, ["code"]);
    let configuration = proposal.configuration();
    for line in ["pk_mode = \"record_key\"", "pk_fields = [\"code\"]", "delete_enabled = true"] {
        assert!(configuration.contains(line), "{line}: {configuration}");
    }
    assert_eq!(proposal.columns.len(), 2, "the key has the field's column: {:?}", proposal.columns);
    let named =
        |topic: &ConfiguredTopic| Proposal::new(&keyed, topic).sql().contains("1 record is a tombstone");
    assert!(!named(&configured()));
    let by_value = ConfiguredTopic { key: Some((PkMode::RecordValue, vec!["code".into()])), ..configured() };
    assert!(named(&by_value));
}

#[test]
fn text_that_is_json_is_proposed_as_json_where_the_topic_parses_it() {
    let records = [(None, r#"{"id": 1, "f": "{\"a\": [1]}"}"#), (None, r#"{"id": 2, "f": "[]"}"#)];
    let statistics = sample_statistics(&records);
    let proposal = Proposal::new(&statistics, &configured());
    assert_eq!(column(&proposal).type_name, "text");
    assert!(column(&proposal).doubts.join("").contains("json_strings = \"parse\""));
    let parses = ConfiguredTopic { parses_strings: true, ..configured() };
    assert_eq!(column(&Proposal::new(&statistics, &parses)).type_name, "jsonb");
    let (plain, _) = column_of(r#""[draft]""#);
    assert_eq!(plain, "text");
}

#[test]
fn what_the_topic_is_configured_for_stays_in_the_configuration() {
    let other_settings =
        "version_field = \"n\"\nunknown_fields = \"reject\"\nrename = { a = \"b\" }".parse().unwrap();
    let records = [(None, r#"{"id": 1, "n": 1, "a": 1}"#)];
    let topic = ConfiguredTopic { other_settings, ..configured() };
    let text = Proposal::new(&sample_statistics(&records), &topic).configuration();
    let parsed: Table = text.parse().unwrap();
    let topic_settings = &parsed["topics"]["t"];
    assert_eq!(topic_settings["version_field"].as_str(), Some("n"));
    assert_eq!(topic_settings["unknown_fields"].as_str(), Some("reject"));
    assert_eq!(topic_settings["rename"]["a"].as_str(), Some("b"));
    let ignores = ConfiguredTopic { mode: InsertMode::InsertIgnore, ..topic };
    let text = Proposal::new(&sample_statistics(&records), &ignores).configuration();
    assert!(text.contains("insert_mode = \"insert_ignore\"") && !text.contains("version_field"), "{text}");
}
