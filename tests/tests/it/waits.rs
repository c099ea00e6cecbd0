//! PostgreSQL, a table or the broker is missing: the sink waits and says for what, stops at once on SIGTERM, and recovers
//! by itself within seconds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Kafka, Postgres, Record, Services, Sink, SinkConfig, wait};

/// For what only a loaded machine makes slow; the requirements' own limits are below.
const PATIENCE: Duration = Duration::from_secs(60);
/// From the end of the outage to rows.
const RECOVERY: Duration = Duration::from_secs(5);
/// From SIGTERM to the end.
const GOODBYE: Duration = Duration::from_secs(2);
/// The bounded runs' `--deadline`.
const DEADLINE: Duration = Duration::from_secs(5);
const GIVES_UP: [&str; 6] = ["run", "--until-end", "--deadline", "5s", "--summary", "json"];

/// Enough to be at work for a while, a hundred at a time.
const RECORDS: u32 = 100_000;
const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY, name text)";

fn produce(kafka: &Kafka, topic: &str, ids: std::ops::Range<u32>) {
    kafka.produce(topic, ids.map(|n| Record::json(&json!({"id": n, "name": format!("n{n}")}))));
}

fn config(kafka: &Kafka, url: &str, topic: &str) -> SinkConfig {
    SinkConfig::new(kafka.bootstrap(), url).topic(topic).table("t").pk_fields(&["id"])
}

fn rows(url: &str) -> i64 {
    tests::postgres::connect(url).query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
}

/// /livez answers 200, and /readyz 503 with JSON of which one reason holds `reason`.
#[track_caller]
fn assert_waits(sink: &Sink, reason: &str) {
    let answer = || sink.get("/readyz").map_err(|error| error.to_string());
    let (_, body) = wait::holds(PATIENCE, &format!("/readyz says {reason:?}"), answer, |answer| {
        answer.as_ref().is_ok_and(|(status, body)| *status == 503 && body.contains(reason))
    })
    .unwrap();
    let body: Value = serde_json::from_str(&body).expect("/readyz answers in JSON");
    assert_eq!(body["ready"], false);
    assert!(body["reason"].is_string(), "{body}");
    let stays = Duration::from_millis(500);
    wait::stays(stays, "it lives and is not ready", || {
        let status = |path: &str| sink.get(path).map_or(0, |(status, _)| status);
        (status("/livez"), status("/readyz")) == (200, 503)
    });
}

/// SIGTERM stops it with exit code 0, whatever is unreachable.
#[track_caller]
fn assert_ends_at_once(sink: &Sink) {
    let asked = Instant::now();
    sink.sigterm();
    sink.wait(PATIENCE).expect_code(0);
    let took = asked.elapsed();
    assert!(took <= GOODBYE, "SIGTERM to exit took {took:?}\n{}", sink.log_tail());
}

/// A bounded run gives up at its deadline, and not long after it.
#[track_caller]
fn assert_gives_up(config: &SinkConfig) {
    let run = config.finish(&GIVES_UP, PATIENCE).expect_code(5);
    assert_eq!(run.assert_accounted(), 0);
    assert!(run.elapsed >= DEADLINE && run.elapsed <= DEADLINE + GOODBYE, "it took {:?}", run.elapsed);
}

#[track_caller]
fn assert_recovered(sink: &Sink, url: &str, wanted: i64, returned: Instant) {
    let observe = || tests::postgres::try_connect(url).map_or(-1, |_| rows(url));
    wait::holds(PATIENCE, "rows after the return", observe, |rows| *rows == wanted);
    let took = returned.elapsed();
    assert!(took <= RECOVERY, "back at work only {took:?} after the return\n{}", sink.log_tail());
    sink.wait_ready(PATIENCE);
    assert_eq!(sink.assert_accounted(), u64::try_from(wanted).unwrap());
}

#[test]
fn a_sink_waits_for_postgres_that_is_absent_at_its_start() {
    let kafka = &Services::shared().kafka;
    let postgres = Postgres::start(tests::PostgresOptions::default()).unwrap();
    let topic = kafka.topic("absent", 2);
    produce(kafka, &topic, 0..100);
    postgres.client().batch_execute(DDL).unwrap();
    let url = postgres.url();
    postgres.stop_fast();
    let config = config(kafka, &url, &topic);
    let impatient = config.run();
    assert_waits(&impatient, "refused");
    assert_ends_at_once(&impatient);
    assert_gives_up(&config);

    let sink = config.run();
    assert_waits(&sink, "refused");
    postgres.start_again();
    assert_recovered(&sink, &url, 100, Instant::now());
    assert_ends_at_once(&sink);
}

#[test]
fn a_sink_waits_for_a_table_that_nobody_has_created() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("tableless", 2);
    let url = postgres.database("tableless");
    produce(kafka, &topic, 0..100);
    let config = config(kafka, &url, &topic);
    let impatient = config.run();
    assert_waits(&impatient, "table t does not exist");
    assert_ends_at_once(&impatient);
    assert_gives_up(&config);

    let sink = config.run();
    assert_waits(&sink, "table t does not exist");
    tests::postgres::connect(&url).batch_execute(DDL).unwrap();
    assert_recovered(&sink, &url, 100, Instant::now());
    assert_ends_at_once(&sink);
}

#[test]
fn a_sink_waits_for_a_broker_that_is_absent_at_its_start() {
    let postgres = &Services::shared().postgres;
    let kafka = Kafka::start(tests::KafkaOptions::default()).unwrap();
    let topic = kafka.topic("brokerless", 2);
    let url = postgres.database("brokerless");
    tests::postgres::connect(&url).batch_execute(DDL).unwrap();
    produce(&kafka, &topic, 0..100);
    kafka.stop();
    let config = config(&kafka, &url, &topic);
    let impatient = config.run();
    assert_waits(&impatient, "Kafka is unreachable");
    assert_ends_at_once(&impatient);
    assert_gives_up(&config);

    let sink = config.run();
    assert_waits(&sink, "Kafka is unreachable");
    // Long enough for the client to have lengthened its pauses between attempts.
    wait::let_pass(Duration::from_secs(5));
    kafka.restart();
    assert_recovered(&sink, &url, 100, Instant::now());
    kafka.kill();
    assert_waits(&sink, "Kafka is unreachable");
    assert_ends_at_once(&sink);
}

/// A running sink with something to do at every moment, and PostgreSQL that has just been stopped under it.
fn stopped_in_mid_run(postgres: &Postgres, kafka: &Kafka, args: &[&str]) -> (Sink, SinkConfig) {
    let topic = kafka.topic("midrun", 4);
    let url = postgres.database("midrun");
    tests::postgres::connect(&url).batch_execute(DDL).unwrap();
    produce(kafka, &topic, 0..RECORDS);
    let config = config(kafka, &url, &topic).set("batch.max_rows", 100);
    let sink = config.start(args);
    wait::until(PATIENCE, "rows are written", || rows(&url) > 0);
    postgres.stop_fast();
    assert!(!postgres.is_running());
    sink.wait_metric(PATIENCE, "sink_retries_total", |retries| retries > 0.0);
    let written = sink.metrics().unwrap().sum("sink_rows_written_total");
    assert!(written < f64::from(RECORDS), "it must have been at work: {written}");
    (sink, config)
}

#[test]
fn a_sink_whose_postgres_dies_in_mid_run_ends_at_once_when_asked_and_goes_on_when_it_is_back() {
    let kafka = &Services::shared().kafka;
    let postgres = Postgres::start(tests::PostgresOptions::default()).unwrap();
    let (impatient, config) = stopped_in_mid_run(&postgres, kafka, &["run"]);
    assert_waits(&impatient, "refused");
    assert_ends_at_once(&impatient);
    let url = config.config().get("postgres.url").and_then(|url| url.as_str()).unwrap().to_owned();

    // The same again, in the middle of what is left.
    postgres.start_again();
    let before = rows(&url);
    let sink = config.run();
    wait::until(PATIENCE, "more rows are written", || rows(&url) > before);
    postgres.stop_fast();
    assert_waits(&sink, "refused");
    wait::let_pass(Duration::from_secs(3));
    postgres.start_again();
    let (returned, before) = (Instant::now(), rows(&url));
    wait::until(PATIENCE, "rows after the return", || rows(&url) > before);
    let took = returned.elapsed();
    assert!(took <= RECOVERY, "back at work only {took:?} after the return\n{}", sink.log_tail());
    sink.wait_ready(PATIENCE);
    wait::until(PATIENCE * 2, "everything is written", || rows(&url) == i64::from(RECORDS));
    sink.assert_accounted();
    let dead_letters: i64 = tests::postgres::connect(&url)
        .query_one("SELECT count(*) FROM sink_dead_letters", &[])
        .unwrap()
        .get(0);
    assert_eq!(dead_letters, 0);
}

#[test]
fn a_bounded_run_whose_postgres_dies_gives_up_at_its_deadline() {
    let kafka = &Services::shared().kafka;
    let postgres = Postgres::start(tests::PostgresOptions::default()).unwrap();
    let (sink, _) = stopped_in_mid_run(&postgres, kafka, &GIVES_UP);
    let run = sink.wait(PATIENCE).expect_code(5);
    assert!(run.assert_accounted() > 0);
    assert!(run.elapsed <= DEADLINE + GOODBYE, "it took {:?}\n{}", run.elapsed, run.stderr);
}
