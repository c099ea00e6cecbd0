//! Topics that were recreated, and records that retention deleted before they were read: their partitions stop, with the
//! reason, and the others continue.

use tests::{Metrics, wait};

use crate::lost_positions::{SOON, Scene};

/// Three topics of one partition: one to be created again with fewer records than the position, one with more, one
/// that stays.
const FEWER: usize = 0;
const MORE: usize = 1;
const STAYS: usize = 2;

fn three_topics() -> Scene {
    let scene = Scene::new(3, 1);
    for topic in [FEWER, MORE, STAYS] {
        scene.produce(topic, 0, 0..5);
    }
    scene
}

/// Deletes two topics and creates them again, with records that nobody has read.
fn create_again(scene: &Scene) {
    for (topic, records) in [(FEWER, 3), (MORE, 9)] {
        scene.kafka.replace_topic(&scene.topics[topic], 1);
        scene.produce(topic, 0, 100..100 + records);
        assert_eq!(scene.kafka.end_offsets(&scene.topics[topic]), [i64::from(records)]);
    }
    scene.produce(STAYS, 0, 5..9);
}

fn assert_only_the_old_topics_were_written(scene: &Scene) {
    scene.assert_numbers(FEWER, 0, 0..5);
    scene.assert_numbers(MORE, 0, 0..5);
    scene.assert_numbers(STAYS, 0, 0..9);
    let positions = [FEWER, MORE, STAYS].map(|topic| scene.position(topic, 0));
    assert_eq!(positions, [Some(5), Some(5), Some(9)]);
}

#[test]
fn topics_created_again_while_the_sink_is_down_stop_and_the_others_go_on() {
    let scene = three_topics();
    scene.drain();
    create_again(&scene);
    let sink = scene.config.run();
    scene.wait_for(STAYS, 0, 0..9);
    for topic in [FEWER, MORE] {
        let words = ["deleted and recreated", "position 5", "offsets reset"];
        scene.assert_stopped(&sink, topic, 0, "topic_recreated", &words);
    }
    scene.end(&sink);
    let run = scene.bounded(&["--until-end"]).expect_code(1);
    assert_eq!(run.count("records"), 0);
    assert_only_the_old_topics_were_written(&scene);
}

#[test]
fn topics_created_again_while_the_sink_runs_stop_and_the_others_go_on() {
    let scene = three_topics();
    let sink = scene.config.run();
    for topic in [FEWER, MORE, STAYS] {
        scene.wait_for(topic, 0, 0..5);
    }
    create_again(&scene);
    for topic in [FEWER, MORE] {
        scene.assert_stopped(&sink, topic, 0, "topic_recreated", &["deleted and recreated", "offsets reset"]);
    }
    scene.wait_for(STAYS, 0, 0..9);
    scene.end(&sink);
    assert_only_the_old_topics_were_written(&scene);
}

#[test]
fn a_topic_created_again_and_filled_before_the_next_fetch_is_not_read_on_where_the_old_one_ended() {
    let mut scene = Scene::new(1, 2);
    // Batches that are full at once: it is not their linger that holds them up.
    scene.config = scene.config.set("postgres.writers", 2).set("batch.max_rows", 2);
    let sink = scene.config.run();
    for partition in [0, 1] {
        scene.produce(0, partition, 0..5);
        scene.wait_for(0, partition, 0..5);
    }
    // The sink sees only the result: it was stopped in between.
    sink.sigstop();
    scene.kafka.replace_topic(&scene.topics[0], 2);
    for partition in [0, 1] {
        scene.produce(0, partition, 100..109);
    }
    assert_eq!(scene.kafka.watermarks(&scene.topics[0]), [(0, 9), (0, 9)]);
    sink.sigcont();
    for partition in [0, 1] {
        let words = ["deleted and recreated", "offsets reset"];
        scene.assert_stopped(&sink, 0, partition, "topic_recreated", &words);
    }
    scene.end(&sink);
    for partition in [0, 1] {
        scene.assert_numbers(0, partition, 0..5);
        assert_eq!(scene.position(0, partition), Some(5));
    }
}

#[test]
fn retention_past_the_position_of_a_sink_that_is_down_stops_the_partition_alone() {
    let scene = Scene::new(1, 3);
    for partition in 0..3 {
        scene.produce(0, partition, 0..5);
    }
    scene.drain();
    for partition in 0..3 {
        scene.produce(0, partition, 5..10);
    }
    let topic = &scene.topics[0];
    scene.kafka.delete_records(topic, 0, 8);
    // Of this one nothing is left: its log is empty, and still records are missing.
    scene.kafka.delete_records(topic, 1, 10);
    assert_eq!(scene.kafka.watermarks(topic), [(8, 10), (10, 10), (0, 10)]);
    let run = scene.bounded(&["--until-end"]).expect_code(1);
    assert_eq!(run.count("records"), 5, "the third partition was read");
    let sink = scene.config.run();
    for (partition, begins) in [(0, "begins at 8"), (1, "begins at 10")] {
        let words = ["next record is 5", begins, "retention", "offsets reset"];
        scene.assert_stopped(&sink, 0, partition, "below_log_start", &words);
    }
    scene.produce(0, 2, 10..12);
    scene.wait_for(0, 2, 0..12);
    scene.end(&sink);
    for partition in [0, 1] {
        scene.assert_numbers(0, partition, 0..5);
        assert_eq!(scene.position(0, partition), Some(5));
    }
}

#[test]
fn retention_past_the_position_of_a_sink_that_is_held_behind_stops_the_partition_alone() {
    let mut scene = Scene::new(1, 2);
    scene.config = scene.config.set("batch.max_rows", 2);
    let sink = scene.config.run();
    for partition in [0, 1] {
        scene.produce(0, partition, 0..1);
        scene.wait_for(0, partition, 0..1);
    }
    let mut holder = tests::postgres::connect(&scene.url);
    let mut hold = holder.transaction().unwrap();
    hold.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    scene.produce(0, 0, 1..20);
    wait::until(SOON, "the writer waits for the table", || waits_for_lock(&scene.url));
    let paused = |m: Metrics| m.value("sink_partitions_paused", &[("cause", "writer")]) == Some(2.0);
    wait::until(SOON, "its next batch is full", || sink.metrics().is_ok_and(paused));
    scene.produce(0, 1, 1..20);
    scene.kafka.delete_records(&scene.topics[0], 0, 15);
    assert_eq!(scene.kafka.watermarks(&scene.topics[0])[0], (15, 20));
    hold.rollback().unwrap();
    scene.wait_for(0, 1, 0..20);
    scene.assert_stopped(&sink, 0, 0, "below_log_start", &["begins at 15", "retention", "offsets reset"]);
    scene.end(&sink);
    // What had been read before is written: the batch that was held and the full one behind it, after the one record
    // from the beginning. Nothing from after the gap is.
    let numbers = scene.numbers(0, 0);
    let position = scene.position(0, 0).expect("a position");
    assert!((4..15).contains(&position), "{position}");
    assert_eq!(numbers, (0..i32::try_from(position).unwrap()).collect::<Vec<_>>());
}

#[test]
fn the_lag_of_a_topic_is_measured_while_another_topic_is_missing() {
    let scene = Scene::new(2, 1);
    let (deleted, stays) = (0, 1);
    let sink = scene.config.run();
    for topic in [deleted, stays] {
        scene.produce(topic, 0, 0..3);
        scene.wait_for(topic, 0, 0..3);
    }
    scene.kafka.delete_topic(&scene.topics[deleted]);
    let missing = format!("topic {} does not exist", scene.topics[deleted]);
    wait::until(SOON, "/readyz names the topic", || {
        sink.get("/readyz").is_ok_and(|(status, body)| status == 200 && body.contains(&missing))
    });
    let mut holder = tests::postgres::connect(&scene.url);
    let mut hold = holder.transaction().unwrap();
    hold.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    scene.produce(stays, 0, 3..8);
    let lag_is = |wanted: f64| {
        let lag = || sink.metrics().unwrap().value("sink_lag_records", &[("topic", &scene.topics[stays])]);
        wait::holds(SOON, "the lag is reported", lag, |lag| *lag == Some(wanted));
    };
    lag_is(5.0);
    hold.rollback().unwrap();
    lag_is(0.0);
    scene.assert_numbers(stays, 0, 0..8);
    scene.end(&sink);
}

/// A sink's session waits for a lock of the target table.
pub(crate) fn waits_for_lock(url: &str) -> bool {
    tests::postgres::connect(url)
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE NOT l.granted AND l.relation = 't'::regclass AND a.application_name LIKE 'kafka-sink:%')",
            &[],
        )
        .unwrap()
        .get(0)
}
