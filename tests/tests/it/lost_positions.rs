//! Positions that are gone from PostgreSQL, or are another's: their partitions stop, say why, and the others go on.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Kafka, KafkaOptions, Output, Record, Services, Sink, SinkConfig, wait};

/// Generous: the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);
const SUMMARY: [&str; 2] = ["--summary", "json"];

/// Topics that are written to a table without a key, where nothing hides a record that is written twice.
pub(crate) struct Scene {
    pub(crate) kafka: &'static Kafka,
    pub(crate) topics: Vec<String>,
    pub(crate) url: String,
    pub(crate) config: SinkConfig,
}

impl Scene {
    /// `topics` topics of `partitions` partitions, empty.
    pub(crate) fn new(topics: usize, partitions: i32) -> Self {
        let Services { kafka, postgres } = Services::shared();
        let topics: Vec<String> = (0..topics).map(|_| kafka.topic("lost", partitions)).collect();
        let url = postgres.database("lost");
        tests::postgres::connect(&url)
            .batch_execute("CREATE TABLE t (topic text, partition int, n int)")
            .unwrap();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let config = SinkConfig::new(kafka.bootstrap(), &url)
            .topics(&names)
            .table("t")
            .insert_mode("insert")
            .pk_mode("none")
            .set("postgres.writers", 1);
        Self { kafka, topics, url, config }
    }

    /// Produces the records `numbers` of a partition of topic number `topic`.
    pub(crate) fn produce(&self, topic: usize, partition: i32, numbers: Range<i32>) {
        let topic = &self.topics[topic];
        let record = |n: i32| {
            Record::json(&json!({"topic": topic, "partition": partition, "n": n})).partition(partition)
        };
        self.kafka.produce(topic, numbers.map(record));
    }

    /// The numbers that are in the table, each as often as it is there.
    pub(crate) fn numbers(&self, topic: usize, partition: i32) -> Vec<i32> {
        tests::postgres::connect(&self.url)
            .query(
                "SELECT n FROM t WHERE topic = $1 AND partition = $2 ORDER BY n",
                &[&self.topics[topic], &partition],
            )
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    }

    /// Waits until exactly `numbers` are in the table.
    #[track_caller]
    pub(crate) fn wait_for(&self, topic: usize, partition: i32, numbers: Range<i32>) {
        let wanted: Vec<i32> = numbers.collect();
        wait::holds(SOON, "the rows", || self.numbers(topic, partition), |seen| *seen == wanted);
    }

    #[track_caller]
    pub(crate) fn assert_numbers(&self, topic: usize, partition: i32, numbers: Range<i32>) {
        assert_eq!(self.numbers(topic, partition), numbers.collect::<Vec<_>>(), "topic {topic}/{partition}");
    }

    /// Writes what there is, and leaves the group.
    #[track_caller]
    pub(crate) fn drain(&self) {
        self.bounded(&["--until-end"]).expect_code(0);
    }

    /// A bounded run, with its summary, in which every record has become something.
    #[track_caller]
    pub(crate) fn bounded(&self, bound: &[&str]) -> Output {
        run(&self.config, bound)
    }

    /// The stored position, if there is one.
    pub(crate) fn position(&self, topic: usize, partition: i32) -> Option<i64> {
        tests::postgres::connect(&self.url)
            .query_opt(
                "SELECT next_offset FROM sink_offsets WHERE topic = $1 AND partition = $2",
                &[&self.topics[topic], &partition],
            )
            .unwrap()
            .map(|row| row.get(0))
    }

    fn delete_position(&self, partition: i32) {
        let deleted = tests::postgres::connect(&self.url)
            .execute("DELETE FROM sink_offsets WHERE partition = $1", &[&partition])
            .unwrap();
        assert_eq!(deleted, 1, "there was a position to lose");
    }

    /// Waits until /status shows the partition stopped for `reason`, and checks that the explanation holds `words`,
    /// that metric and log agree, and that the process goes on.
    #[track_caller]
    pub(crate) fn assert_stopped(
        &self,
        sink: &Sink,
        topic: usize,
        partition: i32,
        reason: &str,
        words: &[&str],
    ) {
        let topic = &self.topics[topic];
        let place = wait::holds(
            SOON,
            &format!("{topic}/{partition} stops"),
            || status_of(sink, topic, partition),
            |place| place["paused"] == reason,
        );
        let detail = place["detail"].as_str().expect("an explanation").to_owned();
        for word in words {
            assert!(detail.contains(word), "{word} is not in: {detail}");
        }
        let stopped = sink.metrics().unwrap().value("sink_partitions_stopped", &[("reason", reason)]);
        assert!(stopped >= Some(1.0), "{stopped:?}");
        assert!(sink.stderr().contains(&detail), "the log says so");
        assert!(sink.is_running());
    }

    /// SIGTERM ends it with 0, stopped partitions or not; every record has become something.
    #[track_caller]
    pub(crate) fn end(&self, sink: &Sink) {
        sink.assert_accounted();
        assert_eq!(sink.get("/livez").unwrap().0, 200);
        sink.sigterm();
        sink.wait(SOON).expect_code(0);
    }
}

/// A bounded run of this configuration, with its summary, in which every record has become something.
#[track_caller]
pub(crate) fn run(config: &SinkConfig, bound: &[&str]) -> Output {
    let output = config.finish(&[&["run"], bound, &SUMMARY].concat(), SOON);
    output.assert_accounted();
    output
}

fn status_of(sink: &Sink, topic: &str, partition: i32) -> Value {
    let Ok((_, body)) = sink.get("/status") else { return Value::Null };
    let status: Value = serde_json::from_str(&body).expect("JSON");
    let places = status["partitions"].as_array().cloned().unwrap_or_default();
    places.into_iter().find(|p| p["topic"] == topic && p["partition"] == partition).unwrap_or_default()
}

/// Two partitions, three records each, written; Kafka holds our commits.
fn two_written() -> Scene {
    let scene = Scene::new(1, 2);
    for partition in [0, 1] {
        scene.produce(0, partition, 0..3);
    }
    scene.drain();
    for held in scene.kafka.group_offsets(scene.config.group_id(), &scene.topics[0]) {
        assert_eq!(held.offset, Some(3));
        assert!(held.metadata.starts_with("kafka-sink:"), "our own commit: {held:?}");
    }
    scene
}

#[test]
fn a_position_lost_while_the_sink_is_down_stops_its_partition_alone() {
    let scene = two_written();
    scene.delete_position(0);
    for partition in [0, 1] {
        scene.produce(0, partition, 3..6);
    }
    let sink = scene.config.run();
    scene.wait_for(0, 1, 0..6);
    scene.assert_stopped(&sink, 0, 0, "lost_position", &["no position in PostgreSQL", "offsets reset"]);
    let place = status_of(&sink, &scene.topics[0], 0);
    assert!(place["position"].is_null(), "nobody knows it: {place}");
    scene.end(&sink);
    scene.assert_numbers(0, 0, 0..3);
    assert_eq!((scene.position(0, 0), scene.position(0, 1)), (None, Some(6)));
}

#[test]
fn a_position_lost_while_the_sink_runs_stops_its_partition_alone() {
    let scene = Scene::new(1, 2);
    let sink = scene.config.run();
    for partition in [0, 1] {
        scene.produce(0, partition, 0..3);
        scene.wait_for(0, partition, 0..3);
    }
    wait::until(SOON, "Kafka holds our commits", || {
        let held = scene.kafka.group_offsets(scene.config.group_id(), &scene.topics[0]);
        held.iter().all(|held| held.offset == Some(3))
    });
    scene.delete_position(0);
    for partition in [0, 1] {
        scene.produce(0, partition, 3..6);
    }
    scene.assert_stopped(&sink, 0, 0, "lost_position", &["the row was lost", "offsets reset"]);
    scene.wait_for(0, 1, 0..6);
    assert!(sink.metrics().unwrap().sum("sink_fenced_total") >= 1.0, "the fence found no row");
    scene.end(&sink);
    scene.assert_numbers(0, 0, 0..3);
    assert_eq!(scene.position(0, 0), None);
}

#[test]
fn a_position_lost_before_its_first_record_is_not_initialised_again() {
    let scene = Scene::new(1, 2);
    let sink = scene.config.run();
    wait::until(SOON, "positions are stored", || {
        sink.metrics().is_ok_and(|m| m.matching("sink_position", &[]).count() == 2)
    });
    scene.delete_position(0);
    for partition in [0, 1] {
        scene.produce(0, partition, 0..3);
    }
    scene.assert_stopped(&sink, 0, 0, "lost_position", &["was in PostgreSQL", "offsets reset"]);
    scene.wait_for(0, 1, 0..3);
    scene.end(&sink);
    scene.assert_numbers(0, 0, 0..0);
}

#[test]
fn a_position_of_another_group_table_or_cluster_is_not_taken_over() {
    let scene = two_written();
    let (name, group) = (scene.config.connector(), scene.config.group_id());
    scene.produce(0, 0, 3..6);

    let sink = scene.config.clone().group("quite_another").run();
    for partition in [0, 1] {
        scene.assert_stopped(&sink, 0, partition, "foreign_position", &["group", group, "quite_another"]);
    }
    scene.end(&sink);

    let elsewhere = Kafka::start(KafkaOptions::default()).unwrap();
    elsewhere.create_topic(&scene.topics[0], 2, &[]);
    tests::postgres::connect(&scene.url).batch_execute("CREATE TABLE t2 (LIKE t)").unwrap();
    let same_cluster = scene.config.clone();
    let there = same_cluster.clone().set("kafka.bootstrap_servers", elsewhere.bootstrap());
    for (config, words) in [
        (same_cluster.table("t2"), ["target table", "\"t\"", "\"t2\""]),
        (there, ["cluster", scene.kafka.cluster_id(), elsewhere.cluster_id()]),
    ] {
        let run = run(&config, &["--until-end"]).expect_code(1);
        for word in words {
            assert!(run.stderr.contains(word), "{word} is not in: {}", run.stderr);
        }
        assert!(run.stderr.contains("foreign_position"), "{name}: {}", run.stderr);
    }
    scene.assert_numbers(0, 0, 0..3);
    // The rightful owner is not disturbed.
    scene.drain();
    scene.assert_numbers(0, 0, 0..6);
}

#[test]
fn a_bounded_run_with_a_stopped_partition_does_the_rest_and_fails() {
    let scene = two_written();
    scene.delete_position(0);
    let topic = &scene.topics[0];
    let mut written = 3;
    let mut ends_with = |bound: &[&str], stopped_by: &str, stopped: &[i32]| {
        for partition in [0, 1] {
            scene.produce(0, partition, written..written + 2);
        }
        written += 2;
        let run = scene.bounded(bound).expect_code(1);
        assert_eq!(run.summary()["stopped_by"], stopped_by);
        assert_eq!(run.count("records"), if stopped.contains(&1) { 0 } else { 2 }, "the rest is done");
        for partition in stopped {
            let name = format!("{topic}[{partition}]");
            let named = run.stderr.lines().any(|line| {
                line.contains("ERROR")
                    && line.contains("not read to the end")
                    && line.contains(&name)
                    && line.contains("lost_position")
            });
            assert!(named, "{name} is not named: {}", run.stderr);
        }
    };
    ends_with(&["--until-end"], "end", &[0]);
    ends_with(&["--idle-timeout", "3s"], "idle", &[0]);
    // N reached: the others gave it, and still not everything was read.
    ends_with(&["--max-records", "2"], "max_records", &[0]);
    scene.delete_position(1);
    ends_with(&["--max-records", "2"], "end", &[0, 1]);
}
