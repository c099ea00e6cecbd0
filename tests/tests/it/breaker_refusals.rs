//! The breaker where only the server refuses records: it opens after few attempts, a restart adds no dead letters, and it
//! closes once the table is altered.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::{Postgres, PostgresOptions, Record, Services, Sink, SinkConfig, wait};

use crate::breaker::{Scene, WINDOW, record};

const PATIENCE: Duration = Duration::from_secs(90);

/// Half of a window may be dead letters before the share is too large.
const TOLERATED: i64 = WINDOW as i64 / 2;

fn negative(ids: std::ops::Range<i32>) -> impl Iterator<Item = Record> {
    ids.map(|id| record(id, -1))
}

#[test]
fn a_constraint_that_refuses_everything_pauses_its_topic_until_it_is_dropped_whatever_is_restarted() {
    let mut scene = Scene::new(1);
    let topic = scene.topics[0].clone();
    scene.produce(0, (0..200).map(|id| record(id, id)));
    let sink = scene.config.run();
    wait::until(PATIENCE, "rows", || scene.rows(0) == 200);
    let check = format!("ALTER TABLE {topic} ADD CONSTRAINT positive CHECK (n >= 0)");
    scene.client.batch_execute(&check).unwrap();
    scene.produce(0, negative(200..1_000));
    scene.wait_open(&sink, 0, true);
    scene.wait_retries(&sink, 2.0);
    let status: Value = serde_json::from_str(&sink.get("/status").unwrap().1).unwrap();
    let place = &status["partitions"][0];
    assert_eq!(place["paused"], "breaker", "{status}");
    assert!(place["detail"].as_str().unwrap().contains("positive"), "{status}");
    let (status, body) = sink.get("/readyz").unwrap();
    assert!(status == 503 && body.contains("are rejected") && body.contains("positive"), "{status} {body}");
    let seen = (scene.position(0), scene.dead_letters());
    assert!(seen.1 <= TOLERATED && seen.0 == 200 + seen.1, "{seen:?}");
    sink.sigterm();
    sink.wait(PATIENCE).expect_code(0);

    let sink = scene.config.run();
    scene.wait_open(&sink, 0, true);
    scene.wait_retries(&sink, 1.0);
    assert_eq!((scene.position(0), scene.dead_letters()), seen, "as before the restart");
    scene.client.batch_execute(&format!("ALTER TABLE {topic} DROP CONSTRAINT positive")).unwrap();
    scene.wait_open(&sink, 0, false);
    wait::until(PATIENCE, "the rest is written", || scene.position(0) == 1_000);
    assert_eq!((scene.rows(0), scene.dead_letters()), (1_000 - seen.1, seen.1));
    sink.wait_ready(PATIENCE);
}

#[test]
fn a_batch_of_which_everything_is_refused_is_not_tried_to_its_end() {
    let kafka = &Services::shared().kafka;
    let postgres = Postgres::start(PostgresOptions::default().setting("log_statement", "all")).unwrap();
    let topic = kafka.topic("all_refused", 1);
    let mut client = postgres.client();
    client.batch_execute("CREATE TABLE t (id int, n int CONSTRAINT positive CHECK (n >= 0))").unwrap();
    kafka.produce(&topic, negative(0..5_000));
    let config = SinkConfig::new(kafka.bootstrap(), postgres.url())
        .topic(&topic)
        .table("t")
        .insert_mode("insert")
        .pk_mode("none")
        .set("batch.linger_ms", 2_000)
        .set("errors.breaker_retry_ms", 500);
    let run = config.finish(&["run", "--until-end", "--summary", "json"], PATIENCE).expect_code(4);
    assert!(run.stderr.contains("a breaker stays open"), "{}", run.stderr);
    let sql = "SELECT next_offset, (SELECT count(*) FROM sink_dead_letters), (SELECT count(*) FROM t) FROM sink_offsets";
    let row = client.query_one(sql, &[]).unwrap();
    let (position, dead_letters, rows): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(dead_letters <= 500 && position == dead_letters && rows == 0, "{position} {dead_letters} {rows}");
    let log = fs::read_to_string(postgres.dir().join("postgres.log")).unwrap();
    let copies =
        log.lines().filter(|line| line.contains(": COPY \"t\"") && line.contains("execute ")).count();
    // Half of the window of 1,000, each with two tries and a few more to find them; and once again after the pause.
    assert!((500..=2 * 1_200).contains(&copies), "{copies} tries");
    // It does the same work again, and nothing else has changed.
    client.batch_execute("ALTER TABLE t DROP CONSTRAINT positive").unwrap();
    config.finish(&["run", "--until-end"], PATIENCE).expect_code(0);
    let row = client.query_one(sql, &[]).unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)),
        (5_000, dead_letters, 5_000 - dead_letters)
    );
}

#[test]
fn a_deadline_that_comes_while_the_breaker_is_open_ends_with_exit_code_4() {
    let scene = Scene::new(1);
    let config = scene.config.clone().set("errors.breaker_retry_ms", 600_000);
    scene.produce(0, (0..300).map(|id| record(id, "many")));
    let args = ["run", "--until-end", "--deadline", "10s", "--summary", "json"];
    let run = config.finish(&args, PATIENCE).expect_code(4);
    assert_eq!(run.summary()["stopped_by"], "error_policy");
    assert!(run.stderr.contains("a breaker stays open"), "{}", run.stderr);
}

#[test]
fn a_restart_does_not_send_another_window_to_the_dead_letter_topic() {
    let mut scene = Scene::new(1);
    let dead_letters = scene.kafka.topic("breaker_dead_letters", 2);
    scene.config = scene
        .config
        .set("errors.dead_letters", "topic")
        .set("errors.dead_letter_topic", dead_letters.as_str())
        // So that many batches are counted before the window is full.
        .set("batch.max_rows", 10);
    scene.produce(0, (0..100).map(|id| record(id, id)));
    scene.produce(0, (100..1_000).map(|id| record(id, "many")));
    let mut before = None;
    for _ in 0..3 {
        let sink: Sink = scene.config.run();
        scene.wait_open(&sink, 0, true);
        let seen = (scene.position(0), scene.kafka.end_offsets(&dead_letters).iter().sum::<i64>());
        assert!(seen.1 > 0 && seen.1 <= TOLERATED, "{seen:?}");
        assert_eq!(*before.get_or_insert(seen), seen, "as before the restart");
        sink.sigterm();
        sink.wait(PATIENCE).expect_code(0);
    }
}
