//! Keys of every kind of type: found again, updated and deleted.

use serde_json::{Value, json};
use tests::{Record, World};

/// A type, two keys of it, and the first of them in another spelling.
type Keys = (&'static str, &'static str, &'static str, &'static str);

const TYPES: [Keys; 33] = [
    ("smallint", "1", "2", "\"1\""),
    ("bigint", "1", "9223372036854775807", "1.0"),
    ("real", "1.5", "NaN", "1.50"),
    ("double precision", "0.1", "-Infinity", "1e-1"),
    ("numeric", "1.0", "12345678901234567890.5", "1.000"),
    ("numeric(6,2)", "1.005", "-3", "1.01"),
    ("boolean", "true", "false", "t"),
    ("text", "é", "", "\"\\u00e9\""),
    ("varchar(3)", "abc", "a", "abc  "),
    ("char(4)", "ab", "a", "ab "),
    ("name", "a", "b", "\"a\""),
    ("\"char\"", "a", "b", "ab"),
    (
        "uuid",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "00000000-0000-0000-0000-000000000000",
        "A0EEBC999C0B4EF8BB6D6BB9BD380A11",
    ),
    ("date", "2024-02-29", "infinity", "20240229"),
    ("time", "10:00", "24:00", "10:00:00"),
    ("timestamp", "2024-01-01T00:00:00", "-infinity", "2024-01-01 00:00"),
    ("timestamptz", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000001Z", "2024-01-01T01:00:00+01:00"),
    ("jsonb", "{\"a\": 1, \"b\": [2]}", "[1]", "{\"b\":[2.0],\"a\":1}"),
    ("bytea", "\\x0102", "", "\"AQI=\""),
    ("timetz", "10:00+01", "10:00+02", "10:00:00+01:00"),
    ("interval", "1 day", "-2 hours", "24:00:00"),
    ("inet", "10.0.0.1", "::1", "10.0.0.1/32"),
    ("cidr", "10.0.0.0/8", "::/0", "\"10.0.0.0/8\""),
    ("citext", "Abc", "b", "aBC"),
    ("mood", "happy", "sad", "\"happy\""),
    ("positive", "1", "2", "\"1\""),
    ("int[]", "[1, null]", "[]", "[1,null]"),
    ("text[]", "[\"a b\"]", "[]", "[ \"a b\" ]"),
    // Types without an encoder: only the server's input functions read them.
    ("int4range", "[1,5)", "empty", "[1,4]"),
    ("money", "$1,000.50", "2", "1000.5"),
    ("macaddr", "08:00:2b:01:02:03", "00:00:00:00:00:00", "08002b010203"),
    ("bit(3)", "101", "000", "\"101\""),
    ("oid", "4294967295", "0", "\"4294967295\""),
];

fn keyed(key: &str, row: &Value) -> Record {
    Record::keyed(key, row.to_string())
}

#[test]
fn a_key_of_any_type_is_found_again_updated_and_deleted() {
    every_type(true);
}

#[test]
fn a_role_without_temporary_tables_finds_updates_and_deletes_a_key_of_any_type() {
    every_type(false);
}

fn every_type(temporary_tables: bool) {
    let temp =
        if temporary_tables { "GRANT TEMP ON DATABASE %s TO" } else { "REVOKE TEMP ON DATABASE %s FROM" };
    let mut world = World::new("key_types")
        .topics(TYPES.len())
        .table(
            "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'happy'); \
             CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        )
        .role(
            "GRANT ALL ON SCHEMA public TO $role; \
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO $role",
        )
        .keyed_by_record("id");
    let database: String = world.one("SELECT quote_ident(current_database())");
    world.execute(&format!("{} PUBLIC", temp.replace("%s", &database)));
    for (n, ((sql, first, second, again), topic)) in TYPES.iter().zip(&world.topics).enumerate() {
        world.execute(&format!("CREATE TABLE t{n} (id {sql} PRIMARY KEY, a int, b int)"));
        world.config = world.config.topic_set(topic, "table", format!("t{n}"));
        world.kafka.produce(
            topic,
            [
                keyed(first, &json!({"a": 1, "b": 1})),
                keyed(second, &json!({"a": 2})),
                keyed(again, &json!({"a": 3})),
            ],
        );
    }
    let assert_rows = |expected: &[(i32, Option<i32>)]| {
        for (n, (sql, ..)) in TYPES.iter().enumerate() {
            let rows = world.client().query(&format!("SELECT a, b FROM t{n} ORDER BY a"), &[]).unwrap();
            let rows: Vec<(i32, Option<i32>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            assert_eq!(rows, expected, "{sql}");
        }
    };
    assert_eq!(world.config.until_end().count("dead_letters"), 0);
    assert_rows(&[(2, None), (3, Some(1))]);
    // In another batch, so that the server finds them.
    for ((_, first, second, _), topic) in TYPES.iter().zip(&world.topics) {
        world.kafka.produce(topic, [keyed(first, &json!({"b": 4})), Record::tombstone(*second)]);
    }
    let run = world.config.until_end();
    assert_eq!((run.count("rows_deleted"), run.count("dead_letters")), (TYPES.len() as i64, 0));
    assert_rows(&[(3, Some(4))]);
}
