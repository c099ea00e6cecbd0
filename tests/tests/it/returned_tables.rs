//! A partition that stopped because another table has the name of its table goes on by itself once its own table is back.

use std::time::Duration;

use serde_json::Value;
use tests::postgres::connect;
use tests::{Sink, wait};

use crate::lost_positions::{SOON, Scene};

const OTHER: &str = "CREATE TABLE t (topic text, partition int, n int)";

fn stopped(sink: &Sink) -> f64 {
    sink.sum_where("sink_partition_stopped", &[("reason", "table_recreated")])
}

#[test]
fn a_table_that_is_renamed_back_is_written_again_without_a_restart() {
    let scene = Scene::new(1, 2);
    let sink = scene.config.run();
    for partition in [0, 1] {
        scene.produce(0, partition, 0..3);
        scene.wait_for(0, partition, 0..3);
    }
    let mut client = connect(&scene.url);
    client.batch_execute(&format!("BEGIN; ALTER TABLE t RENAME TO former; {OTHER}; COMMIT")).unwrap();
    for partition in [0, 1] {
        scene.produce(0, partition, 3..6);
        scene.assert_stopped(&sink, 0, partition, "table_recreated", &["table t is not the one"]);
    }
    client
        .batch_execute("BEGIN; ALTER TABLE t RENAME TO other; ALTER TABLE former RENAME TO t; COMMIT")
        .unwrap();
    for partition in [0, 1] {
        scene.wait_for(0, partition, 0..6);
    }
    sink.wait_ready(SOON);
    wait::until(SOON, "the metrics say that nothing is stopped", || {
        stopped(&sink) < 1.0
            && sink.sum("sink_partitions_stopped") < 1.0
            && sink.sum("sink_lag_records") < 1.0
    });
    assert_eq!(sink.stderr().matches("partition stopped").count(), 2, "{}", sink.stderr());
    let status: Value = serde_json::from_str(&sink.get("/status").unwrap().1).unwrap();
    assert_eq!(
        (&status["partitions"][0]["position"], &status["problems"]),
        (&6.into(), &Value::Array(Vec::new()))
    );
    assert_eq!(client.query_one("SELECT count(*) FROM other", &[]).unwrap().get::<_, i64>(0), 0);
    scene.end(&sink);
}

#[test]
fn a_table_that_is_not_back_is_asked_for_without_a_word() {
    let scene = Scene::new(1, 1);
    scene.produce(0, 0, 0..3);
    scene.drain();
    let mut client = connect(&scene.url);
    client.batch_execute(&format!("ALTER TABLE t RENAME TO former; {OTHER}")).unwrap();
    scene.produce(0, 0, 3..6);
    let sink = scene.config.run();
    scene.assert_stopped(&sink, 0, 0, "table_recreated", &["table t is not the one"]);
    // Another table that is not the one either.
    client.batch_execute(&format!("DROP TABLE t; {OTHER}")).unwrap();
    let renewed = || sink.stderr().matches("the table has changed").count();
    wait::until(SOON, "it has looked again", || renewed() > 0);
    let log = sink.stderr();
    wait::stays(Duration::from_secs(7), "it says nothing more", || sink.stderr() == log);
    assert_eq!(log.matches("partition stopped").count(), 1, "{log}");
    assert!(stopped(&sink) >= 1.0 && scene.numbers(0, 0).is_empty());
    client.batch_execute("DROP TABLE t; ALTER TABLE former RENAME TO t").unwrap();
    scene.wait_for(0, 0, 0..6);
    scene.end(&sink);
}
