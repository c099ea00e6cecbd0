//! `infer-ddl`: the table that it proposes takes the records that it was proposed from.

use std::time::Duration;

use serde_json::Value;
use tests::{Record, SinkConfig, World};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn the_proposed_table_is_accepted_and_takes_the_same_records() {
    let world = World::new("infer.ddl").partitions(2).table("");
    let topic = world.topic();
    world.produce(records());
    let config = world.config.clone().topic("another").pk_fields(&["id"]);
    let output = config.finish(&["infer-ddl", "--topic", topic, "--output", "json"], SOON).expect_code(0);
    let proposal: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_types(&proposal);
    assert_eq!(proposal["key"], serde_json::json!(["order_id"]));
    assert!(proposal["doubts"].to_string().contains("equals the record's key"), "{proposal:#}");

    let output = config.finish(&["infer-ddl", "--topic", topic], SOON).expect_code(0);
    assert!(output.stdout.contains("-- field \"ctid\" cannot be the name of a column"), "{}", output.stdout);
    world.execute(&output.stdout);
    let held = world.kafka.group_offsets(config.group_id(), topic);
    assert!(held.iter().all(|held| held.offset.is_none()), "{held:?}");

    // The configuration that it proposes, as the user would paste it.
    let run = pasted(config.topic(topic), topic, &proposal).until_end();
    assert_eq!((run.count("records"), run.count("rows_written")), (7, 7), "{}", run.stderr);
    let sql = format!(
        "SELECT string_agg(big::text, ' ' ORDER BY n), string_agg(mixed, ' ' ORDER BY n), string_agg(venue[1], ' '), \
         string_agg(exact::text, ' ' ORDER BY n), max(\"line\nbreak\") FROM \"{topic}\""
    );
    let row = world.client().query_one(&sql, &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "18446744073709551615 1");
    assert_eq!(row.get::<_, String>(1), "1 x true");
    assert_eq!(row.get::<_, String>(2), "Wankhede");
    assert_eq!(row.get::<_, String>(3), "0.12345678901234567890 2");
    assert_eq!(row.get::<_, i64>(4), 6);
}

/// Records whose fields have every kind of value and awkward names.
fn records() -> Vec<Record> {
    let long = "x".repeat(70);
    let record = |n: u32, rest: &str| {
        let payload = format!("{{\"order_id\": \"o{n}\", \"n\": {n}, {rest}}}");
        Record::keyed(format!("o{n}"), payload).partition(i32::try_from(n % 2).unwrap())
    };
    let records = [
        r#""big": 18446744073709551615, "exact": 0.12345678901234567890, "nothing": null, "mixed": 1"#,
        r#""big": 1, "exact": 2, "mixed": "x", "day": "2026-03-01", "at": "2026-03-01T12:00:00+05:30""#,
        r#""uuid": "8C5F0E7E-6A3B-4A52-9D1E-0D3C9A7B1F00", "local": "2026-03-01 12:00:00.5", "ok": true"#,
        r#""nested": {"a": [1, 2]}, "list": [1, 2], "venue": ["Wankhede"], "huge": 1e400, "epoch": 1772366400000"#,
        r#""na\"me": 1, "Na Me": 2, "select": 3, "a.b": 4, "ünï": 5, "line\nbreak": 6, "ctid": 7, "": 8"#,
        r#""price": 1.25, "mixed": true, "ok": false, "venue": null, "huge": -5, "day": "2026-02-28""#,
    ];
    let all = (0..).zip(records).map(|(n, rest)| record(n, rest));
    let extra = format!("\"{long}\": 1");
    all.chain([record(6, &extra)]).collect()
}

/// Each column has the type that its values need, and the doubt about it is explained.
fn assert_types(proposal: &Value) {
    let column = |name: &str| {
        let columns = proposal["columns"].as_array().unwrap();
        let found =
            columns.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("{name}: {proposal:#}"));
        (found["type"].as_str().unwrap().to_owned(), found["doubts"].to_string())
    };
    for (name, type_name, doubt) in [
        ("n", "bigint", ""),
        ("big", "numeric", "beyond the range of bigint"),
        ("exact", "numeric", "digits"),
        ("nothing", "text", "only nulls"),
        ("mixed", "text", "mixed types"),
        ("day", "date", "date"),
        ("at", "timestamptz", "offset"),
        ("local", "timestamp", "without an offset"),
        ("uuid", "uuid", "UUID"),
        ("ok", "boolean", "records only"),
        ("nested", "jsonb", "nested"),
        ("list", "bigint[]", "records only"),
        ("venue", "text[]", "one element"),
        ("epoch", "bigint", "milliseconds"),
        ("price", "double precision", "money"),
    ] {
        let (seen, doubts) = column(name);
        assert!(seen == type_name && doubts.contains(doubt), "{name}: {seen} {doubts}");
    }
}

/// The configuration with what was proposed for the topic.
fn pasted(mut config: SinkConfig, topic: &str, proposal: &Value) -> SinkConfig {
    let pasted: toml::Table = proposal["configuration"].as_str().unwrap().parse().unwrap();
    for (key, value) in pasted["topics"][topic].as_table().unwrap() {
        config = config.topic_set(topic, key, value.clone());
    }
    config
}

#[test]
fn a_topic_without_usable_records_is_an_error_that_says_so() {
    let world = World::new("infer").table("").upsert("id");
    let (topic, config) = (world.topic(), world.config.clone().topic("t"));
    let infer = |topic: &str, words: &str| {
        let output = config.finish(&["infer-ddl", "--topic", topic], SOON).expect_code(1);
        assert!(output.stderr.contains(words) && output.stdout.is_empty(), "{}", output.stderr);
    };
    infer(topic, "0 records read");
    world.produce([Record::new("[1]"), Record::new("{"), Record::tombstone("k")]);
    infer(topic, "3 records read, 1 tombstone, 2 not JSON objects");
    infer(&format!("{topic}x"), &format!("did you mean {topic:?}"));
}

#[test]
fn the_schema_of_the_proposed_table_is_created_if_there_is_none() {
    let world = World::new("infer_schema").table("").role("GRANT ALL ON SCHEMA public TO $role");
    world.produce([Record::keyed("a", r#"{"id": "a", "n": 1}"#)]);
    let args = ["infer-ddl", "--topic", world.topic(), "--table", "Sales.orders"];
    let proposed = world.config.finish(&args, SOON).expect_code(0).stdout;
    world.execute(&proposed);
    // By a role that may not create schemas, where the schema exists.
    world.execute("GRANT ALL ON SCHEMA \"Sales\" TO $role; DROP TABLE \"Sales\".orders");
    tests::postgres::connect(world.config.postgres_url()).batch_execute(&proposed).unwrap();
    world.config.clone().table("Sales.orders").pk_fields(&["id"]).until_end();
    assert_eq!(world.count("\"Sales\".orders"), 1);
}
