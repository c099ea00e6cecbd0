//! PostgreSQL that is frozen, as a whole or in one backend: the sink waits, and nothing is lost, doubled or restarted.

use std::time::Duration;

use serde_json::{Value, json};
use tests::oracle::Expected;
use tests::signals::{self, Signal};
use tests::{KafkaOptions, PostgresOptions, Record, Sink, World};

/// Nothing here is waited for longer, on however loaded a machine.
const LONG: Duration = Duration::from_secs(120);

/// Holds each INSERT and COPY into `t`, before its first row, while somebody else has the advisory lock 1.
pub(crate) const GATE: &str = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS \
       'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END'; \
     CREATE TRIGGER gate BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION gate()";

fn record(id: u32) -> Value {
    json!({"id": id, "name": format!("n{id}")})
}

/// A table without a key on private services.
fn world(partitions: i32, postgres: PostgresOptions, ddl: &str) -> World<'static> {
    World::new("hung")
        .partitions(partitions)
        .private_kafka(KafkaOptions::default())
        .private_postgres(postgres)
        .table(ddl)
        .unkeyed()
        .set("batch.max_rows", 100)
}

fn assert_all_there(world: &World<'_>, records: u32) {
    let mut expected = Expected::by("id");
    (0..records).for_each(|id| expected.add(&record(id)));
    expected.assert_exactly_once(&mut world.client(), "t");
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
    sink.stop(LONG);
}

#[test]
fn the_sink_waits_for_a_frozen_database_however_many_writers_hang() {
    const RECORDS: u32 = 60_000;
    const WRITERS: i64 = 6;
    let world = world(8, PostgresOptions::default(), "CREATE TABLE t (id int, name text)");
    let mut produced = 0;
    let mut produce = |until: u32| {
        world.produce((produced..until).map(|id| Record::json(&record(id))));
        produced = until;
    };
    produce(RECORDS / 2);
    let config = world.config.clone();
    let sink = config.set("postgres.writers", WRITERS).set("postgres.deadline_ms", 3_000).run();
    // Twice: writers that hung the first time must not count the second time.
    for (until, frozen) in [(RECORDS / 2, Duration::from_secs(35)), (RECORDS, Duration::from_secs(6))] {
        produce(until);
        let before = world.rows();
        tests::wait::until(LONG, "rows are written", || world.rows() > before);
        world.postgres.pause();
        assert!(signals::is_stopped(world.postgres.pid()), "the postmaster is frozen");
        sink.wait_not_ready(LONG, &["not answered within"]);
        let written = sink.metrics().unwrap().sum("sink_rows_written_total");
        assert!(written < f64::from(until), "writers were at work");
        tests::wait::stays(frozen, "/livez answers 200", || lives(&sink));
        assert_eq!(sink.metrics().unwrap().sum("sink_rows_written_total"), written, "all of it is frozen");
        world.postgres.resume();
        tests::wait::until(LONG, "everything is written", || world.rows() >= i64::from(until));
        assert!(lives(&sink));
    }
    assert_accounted(&sink, RECORDS);
    assert_all_there(&world, RECORDS);
}

#[test]
fn a_writer_whose_backend_hangs_is_replaced_and_the_others_go_on() {
    const RECORDS: u32 = 4_000;
    // A backend stopped in its search for deadlocks, a second into a wait, would hold the locks of the whole server.
    let postgres = PostgresOptions::default().setting("deadlock_timeout", "10min");
    let world = world(2, postgres, &format!("CREATE TABLE t (id int, name text); {GATE}"));
    let gate = world.hold("SELECT pg_advisory_xact_lock(1)");
    world.produce((0..RECORDS).map(|id| Record::json(&record(id)).partition(i32::try_from(id % 2).unwrap())));
    let sink = world.config.clone().set("postgres.deadline_ms", 8_000).run();
    let at_the_gate = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND wait_event = 'advisory'";
    let pids = tests::wait::holds(
        LONG,
        "both writers are inside COPY",
        || world.column::<i32>(at_the_gate),
        |pids| pids.len() == 2,
    );
    let frozen = pids[0];
    signals::send(frozen, Signal::Stop);
    tests::wait::until(LONG, "the backend is frozen", || signals::is_stopped(frozen));
    gate.release();

    let half = i64::from(RECORDS / 2);
    tests::wait::until(LONG, "the other writer goes on", || world.rows() == half);
    tests::wait::until(LONG, "the writer is replaced", || {
        assert!(lives(&sink));
        sink.stderr().contains("past its deadline, replaced")
    });
    assert_eq!(world.count("sink_offsets WHERE next_offset = 0"), 1, "its records wait");
    assert!(signals::is_stopped(frozen));

    signals::send(frozen, Signal::Cont);
    tests::wait::until(LONG, "everything is written", || world.rows() >= i64::from(RECORDS));
    let alive = format!("pg_stat_activity WHERE pid = {frozen}");
    tests::wait::until(LONG, "its session was ended", || world.count(&alive) == 0);
    assert_accounted(&sink, RECORDS);
    assert_all_there(&world, RECORDS);
}
