//! Where a partition begins, and that positions committed to Kafka are never ahead of PostgreSQL.

use std::collections::HashMap;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tests::{Record, Services, SinkConfig, wait};

use crate::lost_positions::{SOON, Scene};
use crate::moved_logs::waits_for_lock;

const INSTANTS: usize = 50;
/// Records that are added whenever fewer are left, so that the sink is never idle.
const SUPPLY: i64 = 20_000;

fn has_rows(client: &mut postgres::Client) -> bool {
    client.query_one("SELECT EXISTS (SELECT 1 FROM t)", &[]).unwrap().get(0)
}

/// Stored positions by partition.
fn stored(client: &mut postgres::Client) -> HashMap<i32, i64> {
    client
        .query("SELECT partition, next_offset FROM sink_offsets", &[])
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

#[test]
fn positions_in_kafka_are_never_ahead_of_those_in_postgresql() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("ahead", 4);
    let url = postgres.database("ahead");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int)").unwrap();
    let record = |n: i64| Record::json(&json!({"id": n})).partition(i32::try_from(n % 4).unwrap());
    let mut produced = 0;
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode("insert")
        .pk_mode("none")
        .set("batch.max_rows", 20)
        .property("session.timeout.ms", "1500")
        .property("heartbeat.interval.ms", "300");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let (mut at_work, mut comparable, mut kills) = (0, 0, 0);
    let work = || config.start(&["run", "--summary", "json"]);
    let mut sink = work();
    for instant in 0..INSTANTS {
        let before: i64 = if instant == 0 { 0 } else { stored(&mut client).values().sum() };
        if before + SUPPLY > produced {
            kafka.produce(&topic, (produced..produced + 2 * SUPPLY).map(record));
            produced += 2 * SUPPLY;
        }
        if instant == 0 {
            wait::until(SOON, "the sink writes", || has_rows(&mut client));
        }
        if instant % 10 == 9 {
            // Between this death and the next one's work, positions rest; the instants after it see them move again.
            sink.sigkill();
            kills += 1;
            sink = work();
            wait::until(SOON, "the next sink writes", || stored(&mut client).values().sum::<i64>() > before);
        }
        // Commits are too quick to be caught between two reads: now and then one is held open.
        let mut holder = tests::postgres::connect(&url);
        let mut hold = holder.transaction().unwrap();
        let held_open = instant % 5 == 2;
        if held_open {
            hold.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
            wait::until(SOON, "a batch is held", || waits_for_lock(&url));
        }
        wait::let_pass(Duration::from_millis(random.random_range(0..120) + if held_open { 300 } else { 0 }));
        let group = kafka.group_offsets(config.group_id(), &topic);
        let now = stored(&mut client);
        for held in &group {
            let position = now[&held.partition];
            assert!(held.offset.is_none_or(|offset| offset <= position), "{held:?} is ahead of {position}");
        }
        comparable += usize::from(group.iter().any(|held| held.offset > Some(0)));
        let sum: i64 = now.values().sum();
        at_work += usize::from(held_open || sum > before);
    }
    assert_eq!(kills, INSTANTS / 10);
    assert!(at_work >= INSTANTS * 3 / 5, "the sink was at work at {at_work} of {INSTANTS} instants only");
    assert!(comparable >= INSTANTS / 2, "Kafka held something to compare at {comparable} instants only");
    sink.sigterm();
    // The last of them may have come just now: what it did is accounted for, if it was anything.
    sink.wait(SOON).expect_code(0).assert_accounted();
}

/// A scene of two partitions with five records each that `latest` is not to read.
fn latest() -> Scene {
    let mut scene = Scene::new(1, 2);
    for partition in [0, 1] {
        scene.produce(0, partition, 0..5);
    }
    scene.config =
        scene.config.set("kafka.auto_offset_reset", "latest").property("session.timeout.ms", "1500");
    scene
}

#[test]
fn a_crash_before_the_first_commit_loses_nothing_since_the_first_assignment() {
    let scene = latest();
    let mut client = tests::postgres::connect(&scene.url);
    let sink = scene.config.run();
    wait::until(SOON, "positions are stored", || {
        sink.metrics().is_ok_and(|m| m.matching("sink_position", &[]).count() == 2)
    });
    assert_eq!((scene.position(0, 0), scene.position(0, 1)), (Some(5), Some(5)));
    let mut hold = client.transaction().unwrap();
    hold.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    for partition in [0, 1] {
        scene.produce(0, partition, 5..10);
    }
    wait::until(SOON, "a batch is held", || waits_for_lock(&scene.url));
    sink.sigkill();
    hold.rollback().unwrap();
    for partition in [0, 1] {
        scene.assert_numbers(0, partition, 0..0);
        assert_eq!(scene.position(0, partition), Some(5), "nothing was committed");
    }
    scene.drain();
    for partition in [0, 1] {
        scene.assert_numbers(0, partition, 5..10);
    }
}

#[test]
fn latest_is_the_end_at_the_assignment_however_long_the_table_is_missing() {
    let scene = latest();
    let mut client = tests::postgres::connect(&scene.url);
    client.batch_execute("ALTER TABLE t RENAME TO not_there_yet").unwrap();
    let sink = scene.config.run();
    wait::until(SOON, "both partitions are assigned", || {
        sink.stderr().matches("recorded the end of the log").count() == 2
    });
    for partition in [0, 1] {
        scene.produce(0, partition, 5..10);
    }
    let (status, body) = sink.get("/readyz").unwrap();
    assert!(status == 503 && body.contains("does not exist"), "{status} {body}");
    assert_eq!(scene.position(0, 0), None, "nothing is stored without a table");
    client.batch_execute("ALTER TABLE not_there_yet RENAME TO t").unwrap();
    for partition in [0, 1] {
        scene.wait_for(0, partition, 5..10);
    }
    scene.end(&sink);
}

#[test]
fn a_group_that_other_consumers_used_continues_at_their_offsets() {
    let mut scene = Scene::new(1, 3);
    for partition in 0..3 {
        scene.produce(0, partition, 0..10);
    }
    let (group, topic) = (scene.config.group_id().to_owned(), scene.topics[0].clone());
    scene.kafka.commit_group_offset(&group, &topic, 0, 7);
    let held = scene.kafka.group_offsets(&group, &topic);
    assert_eq!(held.iter().map(|held| held.offset).collect::<Vec<_>>(), [Some(7), None, None]);
    assert_eq!(held[0].metadata, "", "another's commit");

    scene.config = scene.config.set("kafka.auto_offset_reset", "error");
    let sink = scene.config.run();
    scene.wait_for(0, 0, 7..10);
    for partition in [1, 2] {
        let words = ["neither in PostgreSQL nor in the group", "auto_offset_reset is error", "offsets reset"];
        scene.assert_stopped(&sink, 0, partition, "no_position", &words);
        scene.assert_numbers(0, partition, 0..0);
        assert_eq!(scene.position(0, partition), None);
    }
    scene.end(&sink);

    // Kafka holds a commit of ours for the first partition now; of the others there is still none.
    scene.kafka.commit_group_offset(&group, &topic, 1, 4);
    scene.config = scene.config.set("kafka.auto_offset_reset", "earliest");
    scene.drain();
    scene.assert_numbers(0, 0, 7..10);
    scene.assert_numbers(0, 1, 4..10);
    scene.assert_numbers(0, 2, 0..10);
}

#[test]
fn found_positions_are_used_while_those_of_other_partitions_are_locked() {
    const PARTITIONS: i32 = 8;
    let mut scene = Scene::new(1, PARTITIONS);
    scene.drain();
    for partition in 0..PARTITIONS {
        scene.produce(0, partition, 0..3);
    }
    // As if an operator had put one back by hand, and not yet committed it.
    let mut client = tests::postgres::connect(&scene.url);
    let row = "CREATE TABLE kept AS SELECT * FROM sink_offsets; DELETE FROM sink_offsets";
    client.batch_execute(row).unwrap();
    let mut open = client.transaction().unwrap();
    open.execute("INSERT INTO sink_offsets SELECT * FROM kept WHERE partition = 4", &[]).unwrap();
    let url = format!("{}?options=-c%20lock_timeout%3D1s", scene.url);
    // Kafka knows nothing of this group, so that first positions are stored.
    let group = scene.config.group_id().to_owned();
    scene.kafka.delete_group(&group);
    scene.config = scene.config.set("postgres.url", url);
    let sink = scene.config.run();
    let reason = "lock timeout";
    wait::until(SOON, "one position has to wait", || {
        sink.get("/readyz").is_ok_and(|(status, body)| status == 503 && body.contains(reason))
    });
    open.commit().unwrap();
    for partition in 0..PARTITIONS {
        scene.wait_for(0, partition, 0..3);
    }
    sink.wait_ready(SOON);
    scene.end(&sink);
}

#[test]
fn the_sink_waits_while_the_table_of_positions_has_unexpected_columns() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("strange", 1);
    kafka.produce_one(&topic, Record::json(&json!({"id": 1})));
    let columns = "connector text, topic text, partition int, updated_at timestamptz DEFAULT now(), group_id text, \
                   target_table text, topic_id text, PRIMARY KEY (connector, topic, partition)";
    for (others, reason) in
        [("next_offset bigint", "cluster_id"), ("next_offset numeric, cluster_id text", "numeric")]
    {
        let url = postgres.database("strange");
        let mut client = tests::postgres::connect(&url);
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
        client.batch_execute(&format!("CREATE TABLE sink_offsets ({columns}, {others})")).unwrap();
        let sink = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t").pk_fields(&["id"]).run();
        let says = || sink.get("/readyz").is_ok_and(|(status, body)| status == 503 && body.contains(reason));
        wait::until(SOON, &format!("/readyz says {reason}"), says);
        wait::stays(Duration::from_millis(2_500), "it says so all the time", says);
        client.batch_execute("DROP TABLE sink_offsets").unwrap();
        client
            .batch_execute(&format!(
                "CREATE TABLE sink_offsets ({columns}, next_offset bigint, cluster_id text)"
            ))
            .unwrap();
        wait::until(SOON, "it goes on by itself", || has_rows(&mut client));
        assert_eq!(sink.assert_accounted(), 1);
    }
}
