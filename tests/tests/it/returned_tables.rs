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

/// Records that are written, a sink that waits for its table, which was dropped, and a record more in each partition.
fn waiting(partitions: i32, written: &[i32]) -> (Scene, Sink, postgres::Client) {
    let scene = Scene::new(1, partitions);
    let sink = scene.config.run();
    for partition in written {
        scene.produce(0, *partition, 0..3);
        scene.wait_for(0, *partition, 0..3);
    }
    wait::until(SOON, "positions of all partitions", || {
        (0..partitions).all(|partition| scene.position(0, partition).is_some())
    });
    let mut client = connect(&scene.url);
    client.batch_execute("CREATE TABLE kept AS TABLE t; DROP TABLE t").unwrap();
    (0..partitions).for_each(|partition| scene.produce(0, partition, 3..4));
    // Not only the writer has seen that it is missing, but also the look at the catalog.
    sink.wait_not_ready(SOON, &["does not exist; create it"]);
    (scene, sink, client)
}

#[test]
fn a_table_that_is_created_again_without_its_rows_while_the_sink_waits_stops_its_partitions() {
    let (scene, sink, mut client) = waiting(2, &[0, 1]);
    client.batch_execute(OTHER).unwrap();
    for partition in [0, 1] {
        let words = ["table t is not the one", "offsets reset --to-earliest", "--to-stored"];
        scene.assert_stopped(&sink, 0, partition, "table_recreated", &words);
        assert!(scene.numbers(0, partition).is_empty());
    }
    scene.end(&sink);
    scene.config.finish(&["offsets", "reset", "--to-earliest", "--execute"], SOON).expect_code(0);
    scene.drain();
    (0..2).for_each(|partition| scene.assert_numbers(0, partition, 0..4));
}

#[test]
fn a_table_that_gets_its_rows_after_it_was_created_again_is_written_without_a_restart() {
    let (scene, sink, mut client) = waiting(1, &[0]);
    client.batch_execute(OTHER).unwrap();
    scene.assert_stopped(&sink, 0, 0, "table_recreated", &["table t is not the one"]);
    client.batch_execute("INSERT INTO t TABLE kept").unwrap();
    scene.wait_for(0, 0, 0..4);
    sink.wait_ready(SOON);
    scene.end(&sink);
}

/// What is written there since is no sign that earlier rows are there.
#[test]
fn a_partition_without_earlier_records_is_written_to_a_new_table_and_others_still_stop() {
    let (scene, sink, mut client) = waiting(2, &[0]);
    assert_eq!(scene.position(0, 1), Some(0), "nothing of it is written");
    client.batch_execute(OTHER).unwrap();
    scene.wait_for(0, 1, 3..4);
    scene.assert_stopped(&sink, 0, 0, "table_recreated", &["table t is not the one"]);
    wait::stays(Duration::from_secs(7), "it is asked for again", || scene.numbers(0, 0).is_empty());
    assert!(stopped(&sink) >= 1.0);
    scene.end(&sink);
}
