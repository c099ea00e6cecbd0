//! A value that only the server can refuse, as the first record ever of an empty table: nothing but the value itself shows
//! whose fault it is.

use serde_json::{Value, json};
use tests::{Record, World};

/// The DDL before the table, the type of its column, a value that is refused, and its SQLSTATE.
const REFUSED: [(&str, &str, &str, &str); 15] = [
    ("", "aclitem", "nobody_here=r/postgres", "42704"),
    ("", "aclitem[]", r#"["nobody_here=r/postgres"]"#, "42704"),
    ("", "regrole", "nobody_here", "42704"),
    ("", "regconfig", "nothing_here", "42704"),
    ("", "regclass", "nothing_here", "42P01"),
    ("", "regoperator", "<<<>>>(int,int)", "42883"),
    ("", "tsquery", "a & & b", "42601"),
    ("", "jsonpath", "$.a[", "42601"),
    ("CREATE EXTENSION ltree", "ltree", "a..b", "42601"),
    ("CREATE EXTENSION ltree", "lquery[]", r#"["a..b"]"#, "42601"),
    ("CREATE EXTENSION hstore", "hstore", "k=>", "XX000"),
    ("CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE pair AS (a int, b mood)", "pair", "(1,sad)", "22P02"),
    ("CREATE TYPE pair AS (a int, b regclass)", "pair", "(1,nothing_here)", "42P01"),
    (
        "CREATE FUNCTION small(v int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \
           $$ BEGIN IF v > 100 THEN RAISE EXCEPTION 'too large' USING ERRCODE = 'XX000'; END IF; RETURN true; END $$; \
         CREATE DOMAIN percent AS int CHECK (small(VALUE))",
        "percent",
        "101",
        "XX000",
    ),
    (
        "CREATE FUNCTION known(v text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \
           $$ BEGIN IF v LIKE 'x%' THEN RAISE undefined_table; END IF; RETURN true; END $$; \
         CREATE DOMAIN code AS text CHECK (known(VALUE)); CREATE DOMAIN short AS code CHECK (length(VALUE) < 9)",
        "short",
        "x1",
        "42P01",
    ),
];

fn record(id: i32, value: &str) -> Record {
    // A number or a list where the column takes one.
    let value = match serde_json::from_str(value) {
        Ok(value @ (Value::Number(_) | Value::Array(_))) => value,
        _ => json!(value),
    };
    Record::json(&json!({"id": id, "v": value}))
}

#[test]
fn it_is_a_dead_letter_with_the_code_of_the_server() {
    for (before, kind, value, code) in REFUSED {
        for mode in ["insert", "upsert"] {
            let table = format!("{before}; CREATE TABLE t (id int PRIMARY KEY, v {kind})");
            let world = World::new("first_record").table(&table).keyed(mode, "id");
            world.drain([record(1, value)]);
            let codes: Vec<Option<String>> = world.column("SELECT sqlstate FROM sink_dead_letters");
            assert_eq!((codes, world.rows()), (vec![Some(code.to_owned())], 0), "{kind} {value} {mode}");
        }
    }
}

#[test]
fn a_domain_whose_check_fails_for_every_value_is_the_operators_to_fix() {
    let world = World::new("first_record").table(
        "CREATE TABLE codes (c text);
         CREATE FUNCTION known(v text) RETURNS bool LANGUAGE plpgsql AS
           $$ BEGIN RETURN v IS NULL OR EXISTS (SELECT FROM public.codes WHERE c = v); END $$;
         CREATE DOMAIN code AS text CHECK (known(VALUE)); CREATE TABLE t (id int PRIMARY KEY, v code);
         DROP TABLE codes",
    );
    let world = world.upsert("id");
    world.produce([record(1, "a")]);
    let sink = world.sink();
    let patience = std::time::Duration::from_secs(60);
    sink.wait_not_ready(patience, &["42P01"]);
    sink.wait_metric(patience, "sink_retries_total", |n| n >= 4.0);
    assert_eq!(world.dead_letters(), 0);
    world.execute("CREATE TABLE codes AS SELECT 'a'::text AS c");
    world.wait_rows(patience, 1);
}
