//! What is proposed for what was seen.

use super::*;

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

fn column_of(value: &str) -> (String, String) {
    let proposal =
        Proposal::new(&sample_statistics(&[(None, &format!("{{\"f\": {value}}}"))]), &configured());
    let column = &proposal.columns[0];
    (column.type_name.to_owned(), column.doubts.join("; "))
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
        ("1e400", "numeric", "digits"),
        ("\"x\"", "text", ""),
        ("\"123\"", "text", ""),
        ("\"20240517\"", "text", ""),
        ("\"2024-05-17\"", "date", "date"),
        ("\"2024-02-30\"", "text", ""),
        ("\"2024-05-17T10:00:00Z\"", "timestamptz", "offset"),
        ("\"2024-05-17 10:00:00.123\"", "timestamp", "UTC"),
        ("\"8c5f0e7e-6a3b-4a52-9d1e-0d3c9a7b1f00\"", "uuid", "UUID"),
        ("null", "text", "nulls"),
        ("{}", "jsonb", "nested"),
        ("[1,2]", "jsonb", "nested"),
        ("[[1]]", "jsonb", "nested"),
        ("[\"x\"]", "text", "one element"),
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
        (["[\"x\"]", "[\"x\", \"y\"]"], "jsonb"),
        (["[\"x\"]", "\"y\""], "text"),
        (["\"2024-05-17\"", "\"2024-05-17T10:00:00\""], "text"),
        (["null", "1"], "bigint"),
    ] {
        let records = values.map(|value| format!("{{\"f\": {value}}}"));
        let proposal =
            Proposal::new(&sample_statistics(&records.each_ref().map(|r| (None, r.as_str()))), &configured());
        assert_eq!(proposal.columns[0].type_name, type_name, "{values:?}");
    }
}

#[test]
fn the_key_is_the_records_key_or_what_is_unique() {
    let by_key = [(Some("a"), "{\"n\": 1, \"code\": \"a\"}"), (Some("a"), "{\"n\": 2, \"code\": \"a\"}")];
    let proposal = Proposal::new(&sample_statistics(&by_key), &configured());
    assert_eq!(proposal.key, ["code"]);
    assert!(proposal.doubts.iter().any(|d| d.contains("other candidates") && d.contains("\"n\"")));
    let unique = [(None, "{\"n\": 1, \"row_id\": 7}"), (None, "{\"n\": 2, \"row_id\": 8}")];
    assert_eq!(Proposal::new(&sample_statistics(&unique), &configured()).key, ["row_id"]);
    let none = [(None, "{\"n\": 1}"), (None, "{\"n\": 1}")];
    let proposal = Proposal::new(&sample_statistics(&none), &configured());
    assert!(proposal.key.is_empty() && proposal.sql().contains("pk_mode = \"none\""));
    let configured = ConfiguredTopic { key: vec!["n".into()], ..configured() };
    assert_eq!(Proposal::new(&sample_statistics(&none), &configured).key, ["n"]);
}

#[test]
fn names_that_no_column_can_have_are_left_out_and_said() {
    let long = "x".repeat(64);
    let record = format!("{{\"\": 1, \"ctid\": 2, \"{long}\": 3, \"a\\nb\": 4, \"q\\\"\": 5}}");
    let sql = Proposal::new(&sample_statistics(&[(None, &record)]), &configured()).sql();
    assert_eq!(sql.matches("is left out").count(), 3, "{sql}");
    assert!(sql.contains("\"a\nb\" bigint") && sql.contains("\"q\"\"\" bigint"), "{sql}");
}
