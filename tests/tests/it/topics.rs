//! Topics by a pattern, also those that appear later; several topics in one transaction; records without fields.

use std::time::Duration;

use serde_json::json;
use tests::oracle::Expected;
use tests::{Record, Services, SinkConfig, wait};

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);

/// A prefix for the topics of one pattern.
fn prefix(what: &str) -> String {
    tests::names::unique(what)
}

fn matching(prefix: &str, url: &str) -> SinkConfig {
    SinkConfig::new(Services::shared().kafka.bootstrap(), url)
        .set("kafka.topics_regex", format!("^{prefix}[.](a|b|late)$"))
        .table("${topic}")
        .pk_fields(&["id"])
}

fn table(client: &mut postgres::Client, prefix: &str, name: &str) {
    let sql = format!(
        "CREATE SCHEMA IF NOT EXISTS \"{prefix}\"; CREATE TABLE \"{prefix}\".\"{name}\" \
         (id int PRIMARY KEY, v text, tx bigint DEFAULT txid_current())"
    );
    client.batch_execute(&sql).unwrap();
}

fn rows(client: &mut postgres::Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
}

#[test]
fn until_end_reads_every_topic_that_matches_and_no_other() {
    let Services { kafka, postgres } = Services::shared();
    let prefix = prefix("family");
    let url = postgres.database("matching");
    let mut client = tests::postgres::connect(&url);
    for name in ["a", "b", "other"] {
        let topic = format!("{prefix}.{name}");
        kafka.create_topic(&topic, 2, &[]);
        kafka.produce(&topic, (0..500).map(|n| Record::json(&json!({"id": n, "v": name}))));
    }
    for name in ["a", "special"] {
        table(&mut client, &prefix, name);
    }
    let special = format!("{prefix}.special");
    let run = matching(&prefix, &url)
        .topic_set(&format!("{prefix}.b"), "table", special.as_str())
        .finish(&["run", "--until-end", "--deadline", "60s", "--summary", "json"], LONG)
        .expect_code(0);
    assert_eq!(run.assert_accounted(), 1_000);
    assert_eq!(run.count("rows_written"), 1_000);
    for (name, value) in [("a", "a"), ("special", "b")] {
        let mut expected = Expected::by("id");
        (0..500).for_each(|n| expected.add(&json!({"id": n, "v": value})));
        client.batch_execute(&format!("ALTER TABLE \"{prefix}\".{name} DROP COLUMN tx")).unwrap();
        expected.assert_exactly_once(&mut client, &format!("\"{prefix}\".{name}"));
    }
}

#[test]
fn a_topic_that_appears_later_is_read_and_one_without_a_table_keeps_back_only_itself() {
    let Services { kafka, postgres } = Services::shared();
    let prefix = prefix("growing");
    let url = postgres.database("growing");
    let mut client = tests::postgres::connect(&url);
    table(&mut client, &prefix, "a");
    table(&mut client, &prefix, "b");
    let sink = matching(&prefix, &url).start(&["run"]);
    wait::until(MINUTE, "not ready: no topic matches", || {
        sink.get("/readyz").is_ok_and(|(status, body)| status == 503 && body.contains("no topic matches"))
    });
    let create = |name: &str| {
        let topic = format!("{prefix}.{name}");
        kafka.create_topic(&topic, 1, &[]);
        kafka.produce(&topic, (0..100).map(|n| Record::json(&json!({"id": n, "v": name}))));
        topic
    };
    create("a");
    let tables = ["a", "b", "late"].map(|name| format!("\"{prefix}\".\"{name}\""));
    wait::holds(LONG, "the first topic's rows", || rows(&mut client, &tables[0]), |n| *n == 100);
    sink.wait_ready(MINUTE);

    create("late");
    wait::until(LONG, "the table of the new topic is missing", || {
        sink.get("/readyz").is_ok_and(|(status, body)| status == 503 && body.contains("late does not exist"))
    });
    create("b");
    wait::holds(LONG, "rows of a topic with a table", || rows(&mut client, &tables[1]), |n| *n == 100);
    table(&mut client, &prefix, "late");
    wait::holds(MINUTE, "rows once the table is there", || rows(&mut client, &tables[2]), |n| *n == 100);
    sink.wait_ready(MINUTE);
    assert_eq!(sink.assert_accounted(), 300);
}

#[test]
fn records_of_several_topics_go_to_several_tables_in_one_transaction() {
    let Services { kafka, postgres } = Services::shared();
    let prefix = prefix("together");
    let url = postgres.database("together");
    let mut client = tests::postgres::connect(&url);
    let topics = ["a", "b"].map(|name| format!("{prefix}.{name}"));
    for (name, topic) in ["a", "b"].iter().zip(&topics) {
        table(&mut client, &prefix, name);
        kafka.create_topic(topic, 1, &[]);
        kafka.produce(topic, (0..50).map(|n| Record::json(&json!({"id": n, "v": name}))));
    }
    let run = SinkConfig::new(kafka.bootstrap(), &url)
        .topics(&[&topics[0], &topics[1]])
        .table("${topic}")
        .pk_fields(&["id"])
        .set("postgres.writers", 1)
        // Long enough for the records of both to come, and no longer needed once all of them are there.
        .set("batch.linger_ms", 60_000)
        .set("batch.max_rows", 100)
        .finish(&["run", "--max-records", "100", "--summary", "json"], LONG)
        .expect_code(0);
    assert_eq!(run.assert_accounted(), 100);
    let sql = format!(
        "SELECT tx, count(*) FROM (SELECT tx FROM \"{prefix}\".a UNION ALL SELECT tx FROM \"{prefix}\".b) r GROUP BY tx"
    );
    let found = client.query(&sql, &[]).unwrap();
    assert_eq!(found.len(), 1, "one transaction");
    assert_eq!(found[0].get::<_, i64>(1), 100);
}

#[test]
fn records_without_a_field_of_the_table_are_rows_of_its_defaults() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("defaults", 1);
    let url = postgres.database("defaults");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (n int DEFAULT 7, v text)").unwrap();
    let record =
        |n: usize| Record::json(&if n.is_multiple_of(3) { json!({"v": "x"}) } else { json!({"unknown": n}) });
    kafka.produce(&topic, (0..300).map(record));
    let run = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode("insert")
        .pk_mode("none")
        .finish(&["run", "--until-end", "--deadline", "60s", "--summary", "json"], LONG)
        .expect_code(0);
    assert_eq!(run.assert_accounted(), 300);
    assert_eq!(run.count("rows_written"), 300);
    assert_eq!(rows(&mut client, "t WHERE n = 7 AND v IS NULL"), 200);
    assert_eq!(rows(&mut client, "t WHERE n = 7 AND v = 'x'"), 100);
}
