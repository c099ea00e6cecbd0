//! `try`: lines become what the sink would make of them, without Kafka, and without a database where there is a DDL file.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::scratch::Scratch;
use tests::{Output, SinkConfig, World};

const SOON: Duration = Duration::from_secs(60);
const NOWHERE: &str = "postgresql://postgres@127.0.0.1:1/postgres";
const DDL: &str = "
    CREATE TYPE mood AS ENUM ('ok', 'bad');
    CREATE TABLE t (id int PRIMARY KEY, name varchar(3) NOT NULL, mood mood, price numeric(6,2), at timestamptz,
        tags text[], extra jsonb, n int DEFAULT 7, place point)";
const LINES: [&str; 8] = [
    r#"{"id": 1, "name": "a", "mood": "ok", "price": 1.50, "at": "2026-01-02T03:04:05+01:00", "tags": ["x", null]}"#,
    r#"{"id": 2, "name": "abcd"}"#,
    r#"{"id": 3, "name": "a", "mood": "good"}"#,
    r#"{"id": 4}"#,
    r#"{"id": 1, "price": 2}"#,
    r#"{"id": "x", "name": "a"}"#,
    r#"{"id": 5, "#,
    r#"{"id": 6, "name": "b", "extra": {"a": [1]}, "place": "(1,2)"}"#,
];

struct Files {
    dir: Scratch,
}

impl Files {
    fn new() -> Self {
        Self { dir: Scratch::new("try").unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// Without a broker and without a database.
fn offline() -> SinkConfig {
    SinkConfig::new("127.0.0.1:1", NOWHERE).topic("t").table("t").pk_fields(&["id"])
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", output.stdout, output.stderr))
}

/// `line outcome`, and of a rejection its reason and field.
fn outcomes(result: &Value) -> Vec<String> {
    let lines = result["lines"].as_array().unwrap();
    let shown = lines.iter().map(|line| {
        let outcome = line["outcome"].as_str().unwrap();
        let why =
            [&line["reason"], &line["field"]].map(|why| why.as_str().unwrap_or("-").to_owned()).join(" ");
        if outcome == "rejected" {
            format!("{} rejected {why}", line["line"])
        } else {
            format!("{} {outcome}", line["line"])
        }
    });
    shown.collect()
}

const EXPECTED: [&str; 8] = [
    "1 row",
    "2 rejected too_long name",
    "3 rejected wrong_type mood",
    "4 rejected missing_field name",
    "5 row",
    "6 rejected wrong_type id",
    "7 rejected invalid_json -",
    "8 row",
];

#[test]
fn lines_are_tried_against_a_ddl_file_without_any_server() {
    let files = Files::new();
    let (lines, ddl) = (files.write("rows.jsonl", &LINES.join("\n")), files.write("t.sql", DDL));
    let output = offline().finish(&["try", &lines, "--ddl", &ddl, "--output", "json"], SOON).expect_code(3);
    let result = json(&output);
    assert_eq!(outcomes(&result), EXPECTED);
    let row = json!({"id": 1, "name": "a", "mood": "ok", "price": 1.50, "at": "2026-01-02 02:04:05+00",
        "tags": "{\"x\",NULL}"});
    assert_eq!(result["lines"][0]["row"], row);
    assert!(output.stdout.contains("\"price\": 1.50"), "the scale is kept: {}", output.stdout);
    assert_eq!(result["lines"][4]["row"], json!({"id": 1, "price": 2.00}));
    assert_eq!(result["lines"][7]["row"]["extra"], json!({"a": [1]}));
    assert_eq!(result["counts"], json!({"lines": 8, "rows": 3, "deleted": 0, "skipped": 0, "rejected": 5}));
    assert_eq!(result["unknown"], json!(["column \"place\" has type point, which only the server reads"]));
    let detail = result["lines"][1]["detail"].as_str().unwrap();
    assert!(detail.contains("too long for character varying(3), got \"abcd\""), "{detail}");

    let output = offline().finish(&["try", &lines, "--ddl", &ddl], SOON).expect_code(3);
    for words in [
        "line 1: row {\"id\":1,\"name\":\"a\"",
        "line 2: rejected, too_long, field \"name\": ",
        "8 lines: 3 rows, 0 deleted, 0 skipped, 5 rejected",
        "not tried: column \"place\"",
    ] {
        assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
    }
}

#[test]
fn a_live_table_gives_the_same_and_is_left_alone() {
    let world = World::new("try").table(DDL).upsert("id");
    let files = Files::new();
    let lines = files.write("rows.jsonl", &LINES.join("\n"));
    let config = world.config.clone().set("kafka.bootstrap_servers", "127.0.0.1:1");
    let output = config.finish(&["try", &lines, "--output", "json"], SOON).expect_code(3);
    let live = json(&output);
    assert_eq!(outcomes(&live), EXPECTED);
    let ddl = files.write("t.sql", DDL);
    let declared = json(&config.finish(&["try", &lines, "--ddl", &ddl, "--output", "json"], SOON));
    assert_eq!(live["lines"], declared["lines"]);
    assert_eq!(world.client().query_one("SELECT count(*) FROM t", &[]).unwrap().get::<_, i64>(0), 0);

    // The rows of the sink itself are the same.
    world.produce(LINES.map(tests::Record::new));
    let run = world.config.clone().set("errors.breaker_ratio", 1.0).until_end();
    // The server reads the column `place`, so that records of one key are written one by one.
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (3, 5));
    let sql =
        "SELECT name || mood || price || extract(epoch FROM at)::int || tags::text || n FROM t WHERE id = 1";
    let row: String = world.client().query_one(sql, &[]).unwrap().get(0);
    assert_eq!(row, "aok2.001767319445{x,NULL}7");
}

#[test]
fn keys_modes_and_envelopes_are_those_of_the_configuration() {
    let files = Files::new();
    let ddl = files.write("t.sql", "CREATE TABLE t (id int PRIMARY KEY, v int, k text, o bigint)");
    let tried = |config: SinkConfig, lines: &str, args: &[&str], code: i32| {
        let file = files.write("rows.jsonl", lines);
        let all = [&["try", &file, "--ddl", &ddl, "--output", "json"], args].concat();
        json(&config.finish(&all, SOON).expect_code(code))
    };
    let twice = "{\"id\": 1, \"v\": 1}\n{\"id\": 1, \"v\": 2}";
    let result = tried(offline().insert_mode("insert"), twice, &[], 3);
    assert_eq!(outcomes(&result), ["1 row", "2 rejected duplicate_key -"]);
    let result = tried(offline().insert_mode("insert_ignore"), twice, &[], 0);
    assert_eq!(
        (outcomes(&result), &result["lines"][1]["reason"]),
        (vec!["1 row".into(), "2 skipped".into()], &json!("exists"))
    );

    let keyed = offline().pk_mode("record_key").set("sink.metadata.offset", "o").set("sink.rename.w", "v");
    let result = tried(keyed.clone(), "{\"n\": 5, \"w\": 2}", &["--key", "n"], 0);
    assert_eq!(result["lines"][0]["row"], json!({"id": 5, "v": 2, "o": 0}));
    let result = tried(keyed.clone(), "{\"n\": 5}", &[], 3);
    assert_eq!(result["lines"][0]["reason"], "missing_field");
    assert_eq!(result["lines"][0]["action"], "name the fields of the records' keys with --key");
    let events = offline().pk_mode("record_key").set("sink.value_format", "debezium");
    let result = tried(events, "{\"op\": \"t\"}\n{\"id\": 1}", &["--key", "id"], 3);
    let reasons = ["1 rejected unsupported_operation -", "2 rejected invalid_envelope -"];
    assert_eq!(outcomes(&result), reasons);
    let result = tried(keyed.clone(), "{\"n\": 5}\nnot JSON\n[1]", &["--key", "n"], 3);
    assert_eq!(outcomes(&result)[1..], ["2 rejected invalid_json -", "3 rejected not_an_object -"]);
    for (line, why) in [("{\"m\": 5}", "no field \"n\""), ("{\"n\": null}", "is null")] {
        let rows = files.write("unkeyed.jsonl", &format!("{{\"n\": 1}}\n{line}"));
        let output = keyed.finish(&["try", &rows, "--ddl", &ddl, "--key", "n"], SOON).expect_code(2);
        assert!(output.stderr.contains("line 2: ") && output.stderr.contains(why), "{}", output.stderr);
    }
    let connect = keyed.set("sink.value_format", "json_schema");
    let result = tried(connect, "{\"schema\": null, \"payload\": {\"n\": 5, \"w\": 2}}", &["--key", "n"], 0);
    assert_eq!(result["lines"][0]["row"], json!({"id": 5, "v": 2, "o": 0}));

    let debezium = offline().set("sink.value_format", "debezium").set("sink.delete_enabled", true);
    let lines = r#"{"op": "c", "after": {"id": 1, "v": 1}}
{"op": "d", "before": {"id": 1, "v": 1}, "after": null}
{"op": "d", "before": {"id": 1, "v": 1}, "after": null}"#;
    for (config, key) in [(debezium.clone(), &[][..]), (debezium.pk_mode("record_key"), &["--key", "id"])] {
        let result = tried(config, lines, key, 0);
        assert_eq!(outcomes(&result), ["1 row", "2 delete", "3 skipped"]);
        assert_eq!(result["lines"][1]["key"], json!({"id": 1}));
    }

    let strict = offline().set("sink.unknown_fields", "reject");
    let result = tried(strict, "{\"id\": 1, \"vv\": 1}", &[], 3);
    assert_eq!(outcomes(&result), ["1 rejected unknown_field vv"]);
}

#[test]
fn what_is_wrong_with_the_set_up_is_exit_code_2() {
    let files = Files::new();
    let lines = files.write("rows.jsonl", "{\"id\": 1}");
    let ddl = files.write("t.sql", "CREATE TABLE other (id int PRIMARY KEY)");
    let unkeyed = files.write("unkeyed.sql", "CREATE TABLE t (id int)");
    let broken = files.write("broken.sql", "CREATE TABLE t (id int,");
    let usage = |config: &SinkConfig, args: &[&str], words: &str| {
        let output = config.finish(args, SOON).expect_code(2);
        assert!(output.stderr.contains(words) && output.stdout.is_empty(), "{words}: {}", output.stderr);
    };
    let config = offline();
    usage(&config, &["try", "/nowhere.jsonl", "--ddl", &ddl], "cannot read /nowhere.jsonl");
    usage(&config, &["try", "/tmp", "--ddl", &unkeyed], "it is a directory");
    usage(&config, &["try", &lines, "--ddl", &unkeyed], "no usable unique index");
    usage(&config, &["try", &lines, "--ddl", &ddl], "has no CREATE TABLE for t; it creates: other");
    usage(&config, &["try", &lines, "--ddl", "/nowhere.sql"], "cannot read /nowhere.sql");
    usage(&config, &["try", &lines, "--ddl", &broken], "broken.sql: line 1: ");
    usage(&config, &["try", &lines, "--ddl", &ddl, "--topic", "x"], "no CREATE TABLE");
    usage(
        &config.clone().topics(&["a", "b"]),
        &["try", &lines, "--ddl", &ddl],
        "the configured topics are a, b",
    );
    let world = World::new("try_missing").table("").upsert("id");
    usage(&world.config, &["try", &lines], "table t does not exist");
    let output = config.finish(&["try", &lines], SOON).expect_code(1);
    assert!(output.stderr.contains("cannot connect to"), "{}", output.stderr);
}

#[test]
fn an_older_version_is_skipped_and_what_a_server_alone_compares_is_named() {
    let files = Files::new();
    let lines = files.write(
        "rows.jsonl",
        "{\"id\": 1, \"v\": 5, \"email\": \"a\"}\n{\"id\": 1, \"v\": 3}\n{\"id\": 1, \"v\": 5}\n\
         {\"id\": 1, \"v\": 7}\n{\"id\": 1, \"v\": 6}\n{\"id\": 2, \"v\": 1, \"email\": \"a\"}",
    );
    let ddl = files.write("t.sql", "CREATE TABLE t (id int PRIMARY KEY, v bigint, email text UNIQUE)");
    let versions = offline().set("sink.version_field", "v");
    let result =
        json(&versions.finish(&["try", &lines, "--ddl", &ddl, "--output", "json"], SOON).expect_code(0));
    assert_eq!(outcomes(&result), ["1 row", "2 skipped", "3 row", "4 row", "5 skipped", "6 row"]);
    assert_eq!(result["lines"][1]["reason"], "stale");
    let unknown = result["unknown"].to_string();
    assert!(unknown.contains("values of email are there already"), "{unknown}");

    // Without a key, nothing compares the lines.
    let unkeyed = offline().unkeyed();
    let result =
        json(&unkeyed.finish(&["try", &lines, "--ddl", &ddl, "--output", "json"], SOON).expect_code(0));
    let unknown = result["unknown"].to_string();
    assert!(unknown.contains("values of id are there already"), "{unknown}");

    let text = files.write("text.sql", "CREATE TABLE t (id int PRIMARY KEY, v text, email text)");
    let result = json(&versions.finish(&["try", &lines, "--ddl", &text, "--output", "json"], SOON));
    let unknown = result["unknown"].to_string();
    assert!(unknown.contains("versions in column") && unknown.contains("\"v"), "{unknown}");
}
