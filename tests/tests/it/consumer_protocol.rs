//! The consumer protocol of Kafka 4 (KIP-848), chosen with `group.protocol`: exactly once over joins, kills and resets.

use std::time::Duration;

use serde_json::json;
use tests::{KafkaOptions, Record, Sink, World, wait};

const PARTITIONS: i32 = 4;
const SETTLED: Duration = Duration::from_secs(90);

fn records(ids: std::ops::Range<i64>) -> impl Iterator<Item = Record> {
    ids.map(|id| Record::json(&json!({"id": id})).partition((id % i64::from(PARTITIONS)) as i32))
}

/// A topic on a broker that notices a dead member within 6 s, and a table without a key: a record written twice is two rows.
fn world() -> World<'static> {
    let options = KafkaOptions::default()
        .property("group.consumer.min.session.timeout.ms", "1000")
        .property("group.consumer.session.timeout.ms", "6000")
        .property("group.consumer.min.heartbeat.interval.ms", "500")
        .property("group.consumer.heartbeat.interval.ms", "500");
    World::new("consumer_protocol")
        .private_kafka(options)
        .partitions(PARTITIONS)
        .table("CREATE TABLE t (id bigint)")
        .unkeyed()
        .with(|config| {
            config.property("group.protocol", "consumer").property("group.remote.assignor", "uniform")
        })
}

/// Waits until these members have so many partitions.
fn share(members: &[&Sink], each: &[i32]) {
    let assigned = || -> Vec<i32> {
        let of = |sink: &&Sink| sink.metrics().map_or(-1, |m| m.sum("sink_partitions_assigned") as i32);
        members.iter().map(of).collect()
    };
    wait::holds(SETTLED, "the members share the partitions", assigned, |seen| seen == each);
}

/// Waits until the ids below `end` are rows, each once.
fn wait_rows(world: &World<'_>, end: i64) {
    let seen =
        || -> (i64, i64) { (world.rows(), world.one("SELECT count(DISTINCT id) FROM t WHERE id >= 0")) };
    wait::holds(SETTLED, "each record is one row", seen, |seen| *seen == (end, end));
}

#[test]
fn sinks_of_the_consumer_protocol_share_die_and_leave_and_write_each_record_once() {
    let world = world();
    world.produce(records(0..400));
    let first = world.sink();
    wait_rows(&world, 400);
    let second = world.sink();
    share(&[&first, &second], &[2, 2]);
    world.produce(records(400..800));
    wait_rows(&world, 800);

    second.sigkill();
    // Records of the dead member's partitions wait until the broker notices.
    world.produce(records(800..1200));
    share(&[&first], &[4]);
    wait_rows(&world, 1200);

    let third = world.sink();
    share(&[&first, &third], &[2, 2]);
    first.stop(SETTLED);
    share(&[&third], &[4]);
    world.produce(records(1200..1600));
    wait_rows(&world, 1600);
    third.assert_accounted();
    third.stop(SETTLED);
    assert_eq!(world.position(), 1600);
    let run = world.config.until_end();
    assert_eq!(run.count("records"), 0, "nothing is read again");
}

#[test]
fn a_reset_sees_the_members_of_the_consumer_protocol() {
    let world = world();
    world.produce(records(0..40));
    let reset = || world.config.finish(&["offsets", "reset", "--to-earliest", "--execute"], SETTLED);
    let sink = world.sink();
    wait_rows(&world, 40);
    let refused = reset().expect_code(1);
    let client = format!("kafka-sink-{} at 127.0.0.1", world.config.connector());
    for words in ["still has an active member", &client, "Nothing was changed"] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    let check = world.config.finish(&["check"], SETTLED);
    assert!(check.stdout.contains(&format!("active members: {client}")), "{}", check.stdout);
    assert_eq!(world.position(), 40);

    sink.stop(SETTLED);
    // It leaves: nobody waits for the end of its session.
    reset().expect_code(0);
    assert_eq!(world.position(), 0);
    assert_eq!(world.config.until_end().count("records"), 40);
    assert_eq!(world.rows(), 80);
}

#[test]
fn properties_of_the_other_protocol_are_refused_by_name() {
    let config =
        tests::SinkConfig::new("127.0.0.1:1", "postgresql://postgres@127.0.0.1:1/x").topic("t").table("t");
    let config = config.unkeyed();
    let consumer = config
        .clone()
        .property("group.protocol", "consumer")
        .property("session.timeout.ms", "6000")
        .property("heartbeat.interval.ms", "1000")
        .property("partition.assignment.strategy", "range");
    let refused = consumer.finish(&["check"], SETTLED).expect_code(2).stderr;
    for name in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
        assert!(refused.contains(&format!("kafka.properties.\"{name}\": ")), "{name}: {refused}");
    }
    assert!(refused.contains("group.consumer.session.timeout.ms on the brokers"), "{refused}");
    let classic = config.property("group.remote.assignor", "uniform");
    let refused = classic.finish(&["check"], SETTLED).expect_code(2).stderr;
    assert!(refused.contains("kafka.properties.\"group.remote.assignor\": needs"), "{refused}");
}
