//! Several topics, one table.

use serde_json::json;
use tests::{Expected, Record, World};

#[test]
fn two_topics_of_one_keyed_table_both_update_its_rows() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, left_v int, right_v int); \
         INSERT INTO t SELECT n, 0, 0 FROM generate_series(0, 499) n";
    // One writer, so that both topics are in one batch.
    let world = World::new("shared_table").topics(2).table(ddl).upsert("id").set("postgres.writers", 1);
    let mut expected = Expected::by("id");
    for (topic, field) in world.topics.iter().zip(["left_v", "right_v"]) {
        world.kafka.produce(topic, (0..1_000).map(|n| Record::json(&json!({"id": n, field: n + 1}))));
    }
    (0..1_000).for_each(|n| expected.add(&json!({"id": n, "left_v": n + 1, "right_v": n + 1})));
    let run = world.config.until_end();
    assert_eq!(run.count("records"), 2_000);
    assert_eq!(run.count("rows_written"), 2_000);
    expected.assert_exactly_once(&mut world.client(), "t");
}
