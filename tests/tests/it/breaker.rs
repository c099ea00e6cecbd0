//! A topic most of whose records are rejected is paused as a whole, with the reason, and continues by itself once its
//! records pass.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Kafka, Record, Services, Sink, SinkConfig, wait};

const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const WINDOW: i32 = 100;

pub(crate) fn record(id: i32, n: impl Into<Value>) -> Record {
    Record::json(&json!({"id": id, "n": n.into()}))
}

/// Some topics, each with a table of its name.
pub(crate) struct Scene {
    pub(crate) kafka: &'static Kafka,
    pub(crate) topics: Vec<String>,
    pub(crate) client: postgres::Client,
    pub(crate) config: SinkConfig,
}

impl Scene {
    pub(crate) fn new(topics: usize) -> Self {
        let Services { kafka, postgres } = Services::shared();
        let topics: Vec<String> = (0..topics).map(|_| kafka.topic("breaker", 1)).collect();
        let url = postgres.database("breaker");
        let mut client = tests::postgres::connect(&url);
        for topic in &topics {
            client.batch_execute(&format!("CREATE TABLE {topic} (id int PRIMARY KEY, n int)")).unwrap();
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let config = SinkConfig::new(kafka.bootstrap(), &url)
            .topics(&names)
            .table("${topic}")
            .pk_fields(&["id"])
            .set("postgres.writers", 1)
            .set("errors.breaker_window_records", WINDOW)
            .set("errors.breaker_retry_ms", 500);
        Self { kafka, topics, client, config }
    }

    pub(crate) fn produce(&self, topic: usize, records: impl IntoIterator<Item = Record>) {
        self.kafka.produce(&self.topics[topic], records);
    }

    pub(crate) fn rows(&mut self, topic: usize) -> i64 {
        let sql = format!("SELECT count(*) FROM {}", self.topics[topic]);
        self.client.query_one(&sql, &[]).unwrap().get(0)
    }

    pub(crate) fn dead_letters(&mut self) -> i64 {
        self.client.query_one("SELECT count(*) FROM sink_dead_letters", &[]).unwrap().get(0)
    }

    pub(crate) fn position(&mut self, topic: usize) -> i64 {
        let sql = "SELECT next_offset FROM sink_offsets WHERE topic = $1";
        self.client.query_one(sql, &[&self.topics[topic]]).unwrap().get(0)
    }

    fn is_open(&self, sink: &Sink, topic: usize) -> Option<f64> {
        sink.metrics().ok()?.value("sink_breaker_open", &[("topic", &self.topics[topic])])
    }

    #[track_caller]
    pub(crate) fn wait_open(&self, sink: &Sink, topic: usize, open: bool) {
        let wanted = Some(f64::from(u8::from(open)));
        wait::holds(PATIENCE, "sink_breaker_open", || self.is_open(sink, topic), |seen| *seen == wanted);
    }

    /// Waits until the same records were tried again so often and refused each time.
    #[track_caller]
    pub(crate) fn wait_retries(&self, sink: &Sink, retries: f64) {
        let tries = || tripped(sink);
        let before = tries();
        wait::holds(PATIENCE, "it tries again", tries, |seen| *seen >= before + retries);
    }
}

pub(crate) fn tripped(sink: &Sink) -> f64 {
    sink.metrics().map_or(0.0, |m| m.sum_where("sink_batches_total", &[("outcome", "breaker")]))
}

#[test]
fn a_topic_whose_records_no_longer_fit_pauses_while_another_goes_on_and_ends_when_the_table_is_altered() {
    let mut scene = Scene::new(2);
    scene.produce(0, (0..200).map(|id| record(id, id)));
    scene.produce(1, (0..100).map(|id| record(id, id)));
    let sink = scene.config.run();
    wait::until(PATIENCE, "rows", || (scene.rows(0), scene.rows(1)) == (200, 100));
    // In one batch with good records of the other topic.
    scene.produce(0, (200..1_000).map(|id| record(id, "many")));
    scene.produce(1, (100..200).map(|id| record(id, id)));
    scene.wait_open(&sink, 0, true);
    scene.wait_retries(&sink, 2.0);
    scene.produce(1, (200..300).map(|id| record(id, id)));
    wait::until(PATIENCE, "the other topic goes on", || scene.rows(1) == 300);
    let open = scene.position(0);
    assert!(scene.dead_letters() <= i64::from(WINDOW) / 2, "no more than half of a window");
    assert_eq!(open - 200, scene.dead_letters(), "nothing of the refused batch is dead-lettered");
    assert_eq!(scene.is_open(&sink, 1), Some(0.0));
    // One topic works: the sink is ready, and says what does not.
    assert_eq!(sink.get("/readyz").unwrap().0, 200);
    let paused = sink.metrics().unwrap().value("sink_partitions_paused", &[("cause", "breaker")]);
    assert_eq!(paused, Some(1.0));
    let status: Value = serde_json::from_str(&sink.get("/status").unwrap().1).unwrap();
    let partitions = status["partitions"].as_array().unwrap();
    let place = partitions.iter().find(|p| p["topic"] == *scene.topics[0]).unwrap();
    assert_eq!(place["paused"], "breaker", "{status}");
    assert!(place["detail"].as_str().unwrap().contains("wrong_type"), "{status}");

    let topic = scene.topics[0].clone();
    scene.client.batch_execute(&format!("ALTER TABLE {topic} ALTER COLUMN n TYPE text")).unwrap();
    scene.wait_open(&sink, 0, false);
    let dead = scene.dead_letters();
    wait::until(PATIENCE, "the rest is written", || scene.position(0) == 1_000);
    assert_eq!((scene.rows(0), scene.dead_letters()), (1_000 - dead, dead));
    scene.produce(0, (1_000..1_100).map(|id| record(id, "more")));
    wait::until(PATIENCE, "it reads on", || scene.position(0) == 1_100);
    assert_eq!(u64::try_from(1_100 + 300).unwrap(), sink.assert_accounted());
}

#[test]
fn a_sink_all_of_whose_topics_are_paused_is_not_ready_and_says_why_until_they_pass() {
    let mut scene = Scene::new(1);
    scene.produce(0, (0..1_000).map(|id| record(id, "many")));
    let sink = scene.config.run();
    let answer = || sink.get("/readyz").map_or((0, String::new()), |answer| answer);
    wait::holds(PATIENCE, "/readyz says why", answer, |(status, body)| {
        *status == 503 && body.contains("are rejected") && body.contains("wrong_type")
    });
    assert_eq!(sink.get("/livez").unwrap().0, 200);
    let topic = scene.topics[0].clone();
    scene.client.batch_execute(&format!("ALTER TABLE {topic} ALTER COLUMN n TYPE text")).unwrap();
    sink.wait_ready(PATIENCE);
    wait::until(PATIENCE, "it is written", || scene.rows(0) + scene.dead_letters() == 1_000);
    assert_eq!(sink.assert_accounted(), 1_000);
}

#[test]
fn a_restart_does_not_add_another_window_of_dead_letters() {
    let mut scene = Scene::new(1);
    // So that many batches are counted before the window is full.
    scene.config = scene.config.set("batch.max_rows", 10);
    scene.produce(0, (0..200).map(|id| record(id, id)));
    scene.produce(0, (200..2_000).map(|id| record(id, "many")));
    let mut before = None;
    for _ in 0..3 {
        let sink = scene.config.run();
        scene.wait_open(&sink, 0, true);
        let seen = (scene.position(0), scene.dead_letters());
        assert!(seen.1 > 0 && seen.1 <= i64::from(WINDOW) / 2, "{seen:?}");
        assert_eq!(*before.get_or_insert(seen), seen, "as before the restart");
        scene.wait_retries(&sink, 1.0);
        sink.sigterm();
        sink.wait(PATIENCE).expect_code(0);
        assert_eq!((scene.position(0), scene.dead_letters()), seen);
    }
}

#[test]
fn a_bounded_run_whose_breaker_stays_open_ends_with_exit_code_4_after_all_other_topics() {
    let mut scene = Scene::new(2);
    scene.produce(0, (0..300).map(|id| record(id, "many")));
    scene.produce(1, (0..3_000).map(|id| record(id, id)));
    let run = scene.config.finish(&["run", "--until-end", "--summary", "json"], PATIENCE).expect_code(4);
    assert_eq!(run.summary()["stopped_by"], "error_policy");
    assert!(run.stderr.contains("a breaker stays open"), "{}", run.stderr);
    assert_eq!((scene.rows(0), scene.rows(1)), (0, 3_000));
    assert_eq!(scene.position(0), scene.dead_letters(), "the position is before the batch");
    assert!(scene.dead_letters() < i64::from(WINDOW));
    let topic = scene.topics[0].clone();
    scene.client.batch_execute(&format!("ALTER TABLE {topic} ALTER COLUMN n TYPE text")).unwrap();
    scene.config.finish(&["run", "--until-end"], PATIENCE).expect_code(0);
    assert_eq!(scene.rows(0) + scene.dead_letters(), 300);
}

#[test]
fn sinks_that_come_and_go_while_a_topic_is_paused_write_each_of_its_records_once() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("breaker_shared", 4);
    let url = postgres.database("breaker_shared");
    let mut client = tests::postgres::connect(&url);
    // Without a key nothing hides a record that is written twice.
    client.batch_execute("CREATE TABLE t (id int, n int)").unwrap();
    kafka.produce(&topic, (0..4_000).map(|id| record(id, "many").partition(id % 4)));
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode("insert")
        .pk_mode("none")
        .set("batch.max_rows", 50)
        .property("session.timeout.ms", "6000")
        .set("errors.breaker_window_records", WINDOW)
        .set("errors.breaker_retry_ms", 300);
    let dead_letters = "SELECT count(*) FROM sink_dead_letters";
    let first = config.run();
    wait::until(PATIENCE, "the breaker opens", || tripped(&first) >= 2.0);
    let second = config.run();
    let assigned = |sink: &Sink| sink.metrics().map_or(0.0, |m| m.sum("sink_partitions_assigned"));
    wait::until(PATIENCE, "they share", || (assigned(&first), assigned(&second)) == (2.0, 2.0));
    // The refused records of these partitions are its own to try now.
    wait::until(PATIENCE, "the other's breaker opens", || tripped(&second) >= 2.0);
    let held = |sink: &Sink| {
        sink.metrics().map_or(0.0, |m| m.sum_where("sink_partitions_paused", &[("cause", "breaker")]))
    };
    wait::until(PATIENCE, "both hold back", || (held(&first), held(&second)) == (2.0, 2.0));
    first.sigkill();
    wait::until(PATIENCE, "the other has all", || assigned(&second) == 4.0 && held(&second) == 4.0);
    let dead: i64 = client.query_one(dead_letters, &[]).unwrap().get(0);
    // Each process has a window of its own.
    assert!(dead < i64::from(WINDOW) * 2, "{dead}");
    client.batch_execute("ALTER TABLE t ALTER COLUMN n TYPE text").unwrap();
    let rows = "SELECT count(*), count(DISTINCT id) FROM t";
    let mut seen = || {
        let row = client.query_one(rows, &[]).unwrap();
        let dead: i64 = client.query_one(dead_letters, &[]).unwrap().get(0);
        (row.get::<_, i64>(0) + dead, row.get::<_, i64>(0) - row.get::<_, i64>(1))
    };
    wait::holds(PATIENCE, "everything is written", &mut seen, |(all, _)| *all >= 4_000);
    assert_eq!(seen(), (4_000, 0), "each once");
    let sql = "SELECT count(*) FROM t JOIN sink_dead_letters d ON d.partition = t.id % 4 AND d.\"offset\" = t.id / 4";
    assert_eq!(client.query_one(sql, &[]).unwrap().get::<_, i64>(0), 0, "no record is both");
}

#[test]
fn a_few_bad_records_of_a_small_topic_are_dead_letters_and_nothing_pauses() {
    let mut scene = Scene::new(1);
    scene.produce(0, (0..20).map(|id| record(id, "many")));
    let run = scene.config.finish(&["run", "--until-end", "--summary", "json"], PATIENCE).expect_code(0);
    assert_eq!((run.count("dead_letters"), scene.dead_letters(), scene.position(0)), (20, 20, 20));
    // Half of every window, and not more.
    scene.produce(0, (0..WINDOW * 4).map(|id| if id % 2 == 0 { record(id, "many") } else { record(id, id) }));
    // What came before counts: 20 more in the first window would be too many.
    scene.config = scene.config.set("errors.breaker_ratio", 0.61);
    let run = scene.config.finish(&["run", "--until-end", "--summary", "json"], PATIENCE).expect_code(0);
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (200, 200));
}
