//! The oracle can fail: it sees what naive consumers lose and duplicate.

use serde_json::{Value, json};
use tests::naive::{Naive, Order};
use tests::{Comparison, Expected, Record, Services, names, postgres};

const RECORDS: usize = 5_000;
const BATCH: usize = 100;

/// Produces records, lets a naive consumer die between its two steps and start again, and compares.
fn after_a_crash(order: Order, crash_in: Option<usize>) -> Comparison {
    let services = Services::shared();
    let topic = services.kafka.topic("naive", 3);
    let rows: Vec<Value> = (0..RECORDS)
        .map(|id| json!({"id": id, "name": format!("n{id}"), "overs": id as f64 / 2.0}))
        .collect();
    services.kafka.produce(&topic, rows.iter().map(Record::json));

    let mut client = postgres::connect(&services.postgres.database("naive"));
    client.batch_execute("CREATE TABLE scores (id int, name text, overs float)").unwrap();
    let group = names::unique("naive");
    let consumer = Naive {
        kafka: &services.kafka,
        topic: &topic,
        group: &group,
        insert: "INSERT INTO scores SELECT * FROM jsonb_populate_record(NULL::scores, $1::text::jsonb)",
        order,
        batch: BATCH,
    };
    if crash_in.is_some() {
        let before = consumer.run(&mut client, crash_in);
        assert!(before < RECORDS, "the crash came before the end");
    }
    consumer.run(&mut client, None);

    let mut expected = Expected::by("id");
    rows.iter().for_each(|row| expected.add(row));
    expected.compare(&mut client, "scores")
}

#[test]
fn without_a_crash_both_orders_are_exactly_once() {
    for order in [Order::CommitThenInsert, Order::InsertThenCommit] {
        let comparison = after_a_crash(order, None);
        assert!(comparison.is_exactly_once(), "{order:?}: {comparison}");
    }
}

#[test]
fn the_oracle_reports_what_an_at_most_once_consumer_loses() {
    let comparison = after_a_crash(Order::CommitThenInsert, Some(7));
    assert_eq!(comparison.lost.count, BATCH, "{comparison}");
    assert_eq!(comparison.lost.examples.len(), 10);
    assert_eq!(
        (comparison.duplicated.count, comparison.altered.count, comparison.unexpected.count),
        (0, 0, 0)
    );
    assert_eq!(comparison.found, RECORDS - BATCH);
}

#[test]
fn the_oracle_reports_what_an_at_least_once_consumer_duplicates() {
    let comparison = after_a_crash(Order::InsertThenCommit, Some(7));
    assert_eq!(comparison.duplicated.count, BATCH, "{comparison}");
    assert_eq!(comparison.duplicated.examples.len(), 10);
    assert_eq!((comparison.lost.count, comparison.altered.count, comparison.unexpected.count), (0, 0, 0));
    assert_eq!(comparison.found, RECORDS + BATCH);
}
