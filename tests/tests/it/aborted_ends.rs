//! Bounded runs to the end of a topic whose last records were aborted, again and again.

use std::time::Duration;

use serde_json::json;
use tests::{Kafka, Record, Services, World, wait};

const LONG: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 2;
const RUNS: i32 = 20;

fn records(ids: std::ops::Range<i32>) -> impl Iterator<Item = Record> {
    ids.map(|n| Record::json(&json!({"id": n})).partition(n % PARTITIONS))
}

/// Commits these ids and aborts as many others after them.
fn committed_then_aborted(kafka: &Kafka, topic: &str, ids: std::ops::Range<i32>) {
    let transaction = kafka.transaction(topic);
    transaction.produce(topic, records(ids.clone()));
    transaction.commit();
    transaction.begin();
    transaction.produce(topic, records(ids.start + 10_000..ids.end + 10_000));
    transaction.abort();
}

#[test]
fn every_run_to_an_aborted_end_succeeds_from_the_beginning() {
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("aborted_ends", PARTITIONS);
    committed_then_aborted(kafka, &topic, 0..50);
    for run in 0..RUNS {
        let world = World::new("aborted_ends").table("CREATE TABLE t (id int)").unkeyed();
        let world = world.with(|config| config.topic(&topic));
        // 25 committed and 25 aborted records a partition, and two markers.
        let output = world.config.until_end();
        assert_eq!((run, output.count("records"), world.rows()), (run, 50, 50));
        assert_eq!(world.positions().into_values().collect::<Vec<_>>(), [52, 52]);
    }
}

#[test]
fn every_run_to_an_aborted_end_succeeds_right_after_the_abort() {
    let kafka = &Services::shared().kafka;
    let world = World::new("aborted_ends").partitions(PARTITIONS).table("CREATE TABLE t (id int)").unkeyed();
    for run in 0..RUNS {
        let ids = run * 50..(run + 1) * 50;
        // The run starts at once: the markers may not have arrived, and the last run has only just left the group.
        committed_then_aborted(kafka, world.topic(), ids.clone());
        // Each run exits with 0. One that begins before a marker has arrived may end before the records of the transaction.
        let run_again = || {
            world.config.until_end();
            world.rows()
        };
        wait::holds(LONG, "the committed records are rows", run_again, |rows| *rows >= i64::from(ids.end));
        assert_eq!(world.rows(), i64::from(ids.end));
    }
}
