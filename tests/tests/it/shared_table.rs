//! Several topics, one table.

use std::time::Duration;

use serde_json::json;
use tests::oracle::Expected;
use tests::{Record, Services, SinkConfig};

#[test]
fn two_topics_of_one_keyed_table_both_update_its_rows() {
    let Services { kafka, postgres } = Services::shared();
    let topics = [kafka.topic("left", 1), kafka.topic("right", 1)];
    let url = postgres.database("shared_table");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, left_v int, right_v int); \
             INSERT INTO t SELECT n, 0, 0 FROM generate_series(0, 499) n",
        )
        .unwrap();
    let mut expected = Expected::by("id");
    for (topic, field) in topics.iter().zip(["left_v", "right_v"]) {
        kafka.produce(topic, (0..1_000).map(|n| Record::json(&json!({"id": n, field: n + 1}))));
    }
    (0..1_000).for_each(|n| expected.add(&json!({"id": n, "left_v": n + 1, "right_v": n + 1})));
    // One writer, so that both topics are in one batch.
    let run = SinkConfig::new(kafka.bootstrap(), &url)
        .topics(&[&topics[0], &topics[1]])
        .table("t")
        .insert_mode("upsert")
        .pk_fields(&["id"])
        .set("postgres.writers", 1)
        .finish(&["run", "--until-end", "--deadline", "60s", "--summary", "json"], Duration::from_secs(90))
        .expect_code(0);
    assert_eq!(run.assert_accounted(), 2_000);
    assert_eq!(run.count("rows_written"), 2_000);
    expected.assert_exactly_once(&mut client, "t");
}
