//! PostgreSQL that is frozen, whole or in one backend: waited for, and nothing is lost, doubled or restarted.

use std::time::Duration;

use postgres::Client;
use serde_json::{Value, json};
use tests::oracle::Expected;
use tests::signals::{self, Signal};
use tests::{KafkaOptions, PostgresOptions, Record, Services, Sink, SinkConfig};

/// Nothing here is waited for longer, on however loaded a machine.
const LONG: Duration = Duration::from_secs(120);

fn record(id: u32) -> Value {
    json!({"id": id, "name": format!("n{id}")})
}

fn assert_all_there(client: &mut Client, records: u32) {
    let mut expected = Expected::by("id");
    (0..records).for_each(|id| expected.add(&record(id)));
    expected.assert_exactly_once(client, "t");
}

fn config(services: &Services, topic: &str, url: &str) -> SinkConfig {
    SinkConfig::new(services.kafka.bootstrap(), url)
        .topic(topic)
        .table("t")
        .insert_mode("insert")
        .pk_mode("none")
        .set("batch.max_rows", 100)
}

fn count(client: &mut Client) -> i64 {
    client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
}

fn lives(sink: &Sink) -> bool {
    sink.is_running() && sink.get("/livez").is_ok_and(|(status, _)| status == 200)
}

/// The process that was started has done all of it, and accounts for every record once.
fn assert_accounted(sink: &Sink, records: u32) {
    tests::wait::holds(
        LONG,
        "consumed = written = produced",
        || {
            let metrics = sink.metrics().unwrap();
            ["sink_records_consumed_total", "sink_rows_written_total"].map(|name| metrics.sum(name))
        },
        |counts| counts.iter().all(|n| *n == f64::from(records)),
    );
    assert_eq!(sink.assert_accounted(), u64::from(records));
    sink.wait_ready(LONG);
    sink.sigterm();
    sink.wait(LONG).expect_code(0);
}

#[test]
fn a_frozen_database_is_waited_for_however_many_writers_hang() {
    const RECORDS: u32 = 60_000;
    const WRITERS: i64 = 6;
    let services = Services::private();
    let topic = services.kafka.topic("hung", 8);
    let url = services.postgres.database("hung");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int, name text)").unwrap();
    let mut produced = 0;
    let mut produce = |until: u32| {
        services.kafka.produce(&topic, (produced..until).map(|id| Record::json(&record(id))));
        produced = until;
    };
    produce(RECORDS / 2);
    let sink = config(&services, &topic, &url)
        .set("postgres.writers", WRITERS)
        .set("postgres.deadline_ms", 3_000)
        .run();
    // Twice: writers that hung the first time must not count the second time.
    for (until, frozen) in [(RECORDS / 2, Duration::from_secs(35)), (RECORDS, Duration::from_secs(6))] {
        produce(until);
        let before = count(&mut client);
        tests::wait::until(LONG, "rows are written", || count(&mut client) > before);
        services.postgres.pause();
        assert!(signals::is_stopped(services.postgres.pid()), "the postmaster is frozen");
        let (status, body) = tests::wait::holds(
            LONG,
            "not ready",
            || sink.get("/readyz").unwrap(),
            |(status, body)| *status == 503 && body.contains("not answered within"),
        );
        assert_eq!(status, 503, "{body}");
        let written = sink.metrics().unwrap().sum("sink_rows_written_total");
        assert!(written < f64::from(until), "writers were at work");
        tests::wait::stays(frozen, "/livez answers 200", || lives(&sink));
        assert_eq!(sink.metrics().unwrap().sum("sink_rows_written_total"), written, "all of it is frozen");
        services.postgres.resume();
        tests::wait::until(LONG, "everything is written", || count(&mut client) >= i64::from(until));
        assert!(lives(&sink));
    }
    assert_accounted(&sink, RECORDS);
    assert_all_there(&mut client, RECORDS);
}

#[test]
fn a_writer_whose_backend_hangs_is_replaced_and_the_others_go_on() {
    const RECORDS: u32 = 4_000;
    // A backend stopped in its search for deadlocks, a second into a wait, would hold the locks of the whole server.
    let postgres = PostgresOptions::default().setting("deadlock_timeout", "10min");
    let services = Services::start(KafkaOptions::default(), postgres).unwrap();
    let topic = services.kafka.topic("hung", 2);
    let url = services.postgres.database("hung");
    let (mut client, mut holder) = (tests::postgres::connect(&url), tests::postgres::connect(&url));
    // The trigger holds both writers inside COPY until the test has frozen one of their backends.
    client
        .batch_execute(
            "CREATE TABLE t (id int, name text);
             CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
             CREATE TRIGGER gate BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION gate()",
        )
        .unwrap();
    holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    services.kafka.produce(
        &topic,
        (0..RECORDS).map(|id| Record::json(&record(id)).partition(i32::try_from(id % 2).unwrap())),
    );
    let sink = config(&services, &topic, &url).set("postgres.deadline_ms", 8_000).run();
    let at_the_gate = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND wait_event = 'advisory'";
    let pids = tests::wait::holds(
        LONG,
        "both writers are inside COPY",
        || client.query(at_the_gate, &[]).unwrap().iter().map(|row| row.get(0)).collect::<Vec<i32>>(),
        |pids| pids.len() == 2,
    );
    let frozen = pids[0];
    signals::send(frozen, Signal::Stop);
    tests::wait::until(LONG, "the backend is frozen", || signals::is_stopped(frozen));
    holder.batch_execute("SELECT pg_advisory_unlock(1)").unwrap();

    let half = i64::from(RECORDS / 2);
    tests::wait::until(LONG, "the other writer goes on", || count(&mut client) == half);
    tests::wait::until(LONG, "the writer is replaced", || {
        assert!(lives(&sink));
        sink.stderr().contains("past its deadline, replaced")
    });
    let held = "SELECT count(*) FROM sink_offsets WHERE next_offset = 0";
    assert_eq!(client.query_one(held, &[]).unwrap().get::<_, i64>(0), 1, "its records wait");
    assert!(signals::is_stopped(frozen));

    signals::send(frozen, Signal::Cont);
    tests::wait::until(LONG, "everything is written", || count(&mut client) >= i64::from(RECORDS));
    let alive = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {frozen}");
    tests::wait::until(LONG, "its session was ended", || {
        client.query_one(&alive, &[]).unwrap().get::<_, i64>(0) == 0
    });
    assert_accounted(&sink, RECORDS);
    assert_all_there(&mut client, RECORDS);
}
