//! Kafka transactions and other gaps in the offsets: only committed records are rows, and lag returns to 0.

use std::time::Duration;

use serde_json::json;
use tests::{Kafka, Record, Services, World, wait};

const MINUTE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 2;

/// Records with these ids, spread over the partitions.
fn records(ids: std::ops::Range<i32>) -> impl Iterator<Item = Record> {
    ids.map(|n| Record::json(&json!({"id": n})).partition(n % PARTITIONS))
}

/// Ids below 1000 are committed, those from 1000 on aborted.
fn committed_and_aborted(kafka: &Kafka, topic: &str) {
    let transaction = kafka.transaction(topic);
    transaction.produce(topic, records(0..100));
    transaction.commit();
    transaction.begin();
    transaction.produce(topic, records(1000..1050));
    transaction.abort();
    transaction.begin();
    transaction.produce(topic, records(100..200));
    transaction.commit();
    transaction.begin();
    transaction.produce(topic, records(1050..1100));
    transaction.abort();
}

fn aborted_only(kafka: &Kafka, topic: &str) {
    let transaction = kafka.transaction(topic);
    transaction.produce(topic, records(1000..1100));
    transaction.abort();
}

/// A sink without a key, so that a record written twice would be two rows, with a topic that exists.
fn world(topic: &str) -> World<'static> {
    World::new("transactions").table("CREATE TABLE t (id int)").unkeyed().with(|config| config.topic(topic))
}

fn ids(world: &World<'_>) -> Vec<i32> {
    world.column("SELECT id FROM t ORDER BY id")
}

/// Stored positions, by partition.
fn positions(world: &World<'_>) -> Vec<i64> {
    world.positions().into_values().collect()
}

/// A run without end comes to lag 0, as the sink and as Kafka's own tool see it, with exactly these rows.
fn lag_returns_to_zero(kafka: &Kafka, topic: &str, wanted: &[i32]) -> Vec<i64> {
    let world = world(topic);
    let sink = world.sink();
    let lags = || {
        let metrics = sink.metrics().ok()?;
        Some(metrics.matching("sink_lag_records", &[]).map(|sample| sample.value).collect::<Vec<_>>())
    };
    wait::holds(MINUTE, "lag of every partition is 0", lags, |lags| {
        lags.as_ref()
            .is_some_and(|lags| lags.len() == PARTITIONS as usize && lags.iter().all(|lag| *lag == 0.0))
    });
    assert_eq!(ids(&world), wanted);
    assert_eq!(sink.assert_accounted(), wanted.len() as u64);
    sink.stop(MINUTE);
    let described = kafka.consumer_groups_describe(world.config.group_id());
    assert_eq!(described.len(), PARTITIONS as usize, "{described:?}");
    assert!(described.iter().all(|line| line.lag == Some(0)), "{described:?}");
    let positions = positions(&world);
    let ends: Vec<_> = described.iter().map(|line| line.end_offset.unwrap()).collect();
    assert_eq!(positions.iter().sum::<i64>(), ends.iter().sum::<i64>());
    positions
}

/// A bounded run from the beginning ends, with exactly these rows.
fn until_end_ends(topic: &str, wanted: &[i32]) -> Vec<i64> {
    let world = world(topic);
    let run = world.config.until_end();
    assert_eq!(run.summary()["stopped_by"], "end");
    assert_eq!(ids(&world), wanted);
    assert_eq!(run.count("records"), wanted.len() as i64);
    positions(&world)
}

#[test]
fn a_topic_that_ends_with_an_aborted_transaction_reaches_lag_zero() {
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("transactions", PARTITIONS);
    committed_and_aborted(kafka, &topic);
    let wanted: Vec<i32> = (0..200).collect();
    let positions = lag_returns_to_zero(kafka, &topic, &wanted);
    // 100 committed records a partition, 50 aborted ones and four markers.
    assert_eq!(positions, [154, 154], "the aborted records must have been there");
    assert_eq!(until_end_ends(&topic, &wanted), positions);
}

#[test]
fn a_topic_of_aborted_records_only_reaches_lag_zero() {
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("aborted", PARTITIONS);
    aborted_only(kafka, &topic);
    let positions = lag_returns_to_zero(kafka, &topic, &[]);
    assert_eq!(positions, [51, 51], "the aborted records must have been there");
    assert_eq!(until_end_ends(&topic, &[]), positions);
}

#[test]
fn records_of_an_open_transaction_become_rows_when_it_commits() {
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("open", PARTITIONS);
    let world = world(&topic);
    let sink = world.sink();
    sink.wait_ready(MINUTE);
    let transaction = kafka.transaction(&topic);
    transaction.produce(&topic, records(0..100));
    // Plain records behind the open transaction: they wait for it, or their order would be lost.
    kafka.produce(&topic, records(100..110));
    wait::stays(Duration::from_secs(2), "nothing is read from an open transaction", || {
        ids(&world).is_empty()
    });
    transaction.commit();
    wait::holds(MINUTE, "the committed records are rows", || ids(&world).len(), |rows| *rows == 110);
    assert_eq!(sink.assert_accounted(), 110);
}

#[test]
fn a_topic_whose_beginning_was_deleted_before_the_first_run_is_read_from_what_is_left() {
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("trimmed", PARTITIONS);
    kafka.produce(&topic, records(0..200));
    kafka.delete_records(&topic, 0, 60);
    // Nothing is left of the other.
    kafka.delete_records(&topic, 1, 100);
    let wanted: Vec<i32> = (120..200).filter(|n| n % 2 == 0).collect();
    assert_eq!(lag_returns_to_zero(kafka, &topic, &wanted), [100, 100]);
    assert_eq!(until_end_ends(&topic, &wanted), [100, 100]);
}
