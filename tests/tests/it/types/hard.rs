//! The values that such programs get wrong, one by one.

use super::columns::PRELUDE;
use super::library::{self, Ours};
use tests::Services;

/// Type, value, and its text in the table or the reason that it is refused for.
const CASES: &[(&str, &str, Result<&str, &str>)] = &[
    ("bigint", "18446744073709551615", Err("out_of_range")),
    ("numeric", "18446744073709551615", Ok("18446744073709551615")),
    ("text", "18446744073709551615", Ok("18446744073709551615")),
    ("double precision", "18446744073709551615", Ok("1.8446744073709552e+19")),
    ("bigint", "9007199254740993", Ok("9007199254740993")),
    ("bigint", "\"9007199254740993\"", Ok("9007199254740993")),
    ("jsonb", "9007199254740993", Ok("9007199254740993")),
    ("numeric", "9007199254740993.0", Ok("9007199254740993.0")),
    ("numeric", "123456789012345678901234567890", Ok("123456789012345678901234567890")),
    ("numeric", "0.123456789012345678901234567891", Ok("0.123456789012345678901234567891")),
    ("numeric(32,2)", "123456789012345678901234567890.125", Ok("123456789012345678901234567890.13")),
    ("jsonb", "0.123456789012345678901234567891", Ok("0.123456789012345678901234567891")),
    ("double precision", "1e400", Err("out_of_range")),
    ("numeric(10,2)", "1e400", Err("out_of_range")),
    ("integer", "1e400", Err("out_of_range")),
    ("timestamptz", "1e400", Err("out_of_range")),
    ("double precision", "-0.0", Ok("-0")),
    ("numeric", "-0.0", Ok("0.0")),
    ("integer", "-0.0", Ok("0")),
    ("double precision", "\"NaN\"", Ok("NaN")),
    ("real", "\"-Infinity\"", Ok("-Infinity")),
    ("numeric", "\"NaN\"", Ok("NaN")),
    ("numeric", "\"Infinity\"", Ok("Infinity")),
    ("numeric(10,2)", "\"NaN\"", Ok("NaN")),
    ("numeric(10,2)", "\"Infinity\"", Err("out_of_range")),
    ("integer", "\"NaN\"", Err("wrong_type")),
    ("integer", "1.5", Err("wrong_type")),
    ("integer", "\"1.5\"", Err("wrong_type")),
    ("time", "\"24:00:00\"", Ok("24:00:00")),
    ("timestamp", "\"2023-12-31T24:00:00\"", Ok("2024-01-01 00:00:00")),
    ("time", "\"24:00:00.000001\"", Err("out_of_range")),
    ("timestamptz", "\"2016-12-31T23:59:60Z\"", Ok("2017-01-01 00:00:00+00")),
    ("time", "\"23:59:61\"", Err("out_of_range")),
    ("date", "\"1969-12-31\"", Ok("1969-12-31")),
    ("timestamptz", "\"1969-12-31T23:59:59.999999Z\"", Ok("1969-12-31 23:59:59.999999+00")),
    ("timestamptz", "-1", Ok("1969-12-31 23:59:59.999+00")),
    ("timestamptz", "\"10000-01-01T00:00:00+14:00\"", Ok("9999-12-31 10:00:00+00")),
    ("timestamp", "\"0044-03-15 BC\"", Ok("0044-03-15 00:00:00 BC")),
    ("date", "\"-infinity\"", Ok("-infinity")),
    ("date", "\"2023-02-29\"", Err("out_of_range")),
    ("text", "\"\\ud83d\\ude00\"", Ok("\u{1F600}")),
    ("text", "\"\\ud83d\"", Err("invalid_text")),
    ("text", "\"\\ude00\\ud83d\"", Err("invalid_text")),
    ("jsonb", "{\"a\":\"\\ud83d\"}", Err("invalid_text")),
    ("text[]", "[\"\\ud83d\"]", Err("invalid_text")),
    ("int4range", "\"\\ud83d\"", Err("invalid_text")),
    ("text", "\"\\u0000\"", Err("null_byte")),
    ("jsonb", "{\"\\u0000\":1}", Err("null_byte")),
    ("text[]", "[\"a\\u0000\"]", Err("null_byte")),
    ("json", "{\"a\":1,\"a\":2}", Ok("{\"a\":1,\"a\":2}")),
    ("jsonb", "{\"a\":1,\"a\":2}", Ok("{\"a\": 2}")),
    ("char(4)", "\"ab  \"", Ok("ab")),
    ("varchar(5)", "\"abcdef\"", Err("too_long")),
    ("varchar(5)", "\"abcde   \"", Ok("abcde")),
    ("code", "\"abcdef\"", Err("too_long")),
    ("price", "1234567.89", Err("out_of_range")),
    ("must", "null", Err("null_value")),
    ("mood", "\"Sad\"", Err("wrong_type")),
    ("mood", "\"ok\"", Ok("ok")),
    ("ltree", "\"top.sub\"", Ok("top.sub")),
    ("pair", "\"(1,two)\"", Ok("(1,two)")),
    ("bytea", "\"3q2+7w==\"", Ok("\\xdeadbeef")),
    ("bytea", "\"\\\\xdeadbeef\"", Ok("\\xdeadbeef")),
    ("interval", "\"P1Y2M3DT4H5M6.789S\"", Ok("1 year 2 mons 3 days 04:05:06.789")),
    ("integer[]", "[[1,2],[3,null]]", Ok("{{1,2},{3,NULL}}")),
    ("integer[]", "[[1,2],[3]]", Err("wrong_type")),
    ("integer[]", "[2147483648]", Err("out_of_range")),
];

#[test]
fn hard_values_are_exact_or_refused_with_their_reason() {
    let mut client = tests::postgres::connect(&Services::shared().postgres.database("hard"));
    client.batch_execute(PRELUDE).unwrap();
    client.batch_execute("SET timezone = 'UTC'").unwrap();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_cases =
        ["jsonb", "json", "integer[]", "int4range"].map(|sql| (sql, &*deep, Err("invalid_json")));
    for (number, (sql, json, expected)) in CASES.iter().copied().chain(deep_cases).enumerate() {
        client
            .batch_execute(&format!(
                "CREATE TABLE h_{number} (id int, v {sql}); CREATE TABLE x_{number} (id int, v {sql}, x tsquery)"
            ))
            .unwrap();
        for table in ["h", "x"] {
            let ours =
                library::write(&mut client, &format!("{table}_{number}"), &[json.to_owned()]).remove(0);
            let case = format!("{sql} {}", &json[..json.len().min(80)]);
            match (&ours, expected) {
                (Ours::Row(Some(value)), Ok(expected)) => assert_eq!(value, expected, "{case}"),
                (Ours::Refused(refused), Err(reason)) => {
                    assert!(refused.starts_with(&format!("{reason}: ")), "{case}: {refused}");
                }
                _ => panic!("{case}: {ours:?}, expected {expected:?}"),
            }
        }
    }
}
