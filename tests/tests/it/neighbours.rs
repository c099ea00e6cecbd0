//! Errors that look like configuration, but that only some records meet and their neighbours do not.

use std::time::Duration;

use serde_json::json;
use tests::{Record, World, wait};

const PATIENCE: Duration = Duration::from_secs(90);
const RECORDS: i64 = 300;

#[test]
fn an_error_of_some_records_only_rejects_them_whatever_its_sqlstate() {
    // A code that is in no table of ours, and a trigger that stumbles.
    for (code, stumble) in
        [("99999", "RAISE EXCEPTION 'no' USING ERRCODE = '99999'"), ("42P01", "PERFORM 1 FROM no_such_table")]
    {
        for bad in [vec![0], vec![150], vec![RECORDS - 1], vec![0, 1, 2, 77, 150, RECORDS - 1]] {
            let world = World::new("neighbours")
                .table(&format!(
                    "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, -5 FROM generate_series(140, 160) n; \
                     CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
                       $$ BEGIN IF NEW.v = -1 THEN {stumble}; END IF; RETURN NEW; END $$; \
                     CREATE TRIGGER stumble BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stumble()"
                ))
                .upsert("id")
                .set("batch.linger_ms", 500);
            let record = |id| Record::json(&json!({"id": id, "v": if bad.contains(&id) { -1 } else { id }}));
            let run = world.drain((0..RECORDS).map(record));
            assert_eq!(run.count("records"), RECORDS);
            let offsets = "SELECT \"offset\" FROM sink_dead_letters WHERE sqlstate =";
            let dead_letters: Vec<i64> = world.column(&format!("{offsets} '{code}' ORDER BY 1"));
            assert_eq!((&dead_letters, run.count("dead_letters")), (&bad, bad.len() as i64), "{code}");
            assert_eq!(world.count("t WHERE v = id"), RECORDS - bad.len() as i64, "{code}: {bad:?}");
        }
    }
}

#[test]
fn an_error_of_a_table_does_not_reject_records_because_another_table_works() {
    let ddl = "CREATE TABLE spared (id int PRIMARY KEY); CREATE TABLE struck (id int PRIMARY KEY); \
         CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM later; RETURN NEW; END $$; \
         CREATE TRIGGER stumble BEFORE INSERT ON struck FOR EACH ROW EXECUTE FUNCTION stumble()";
    let mut world = World::new("struck").topics(2).table(ddl).upsert("id").set("postgres.writers", 1);
    for (topic, table) in world.topics.iter().zip(["spared", "struck"]) {
        world.config = world.config.topic_set(topic, "table", table);
        world.kafka.produce(topic, (0..20).map(|id| Record::json(&json!({"id": id}))));
    }
    let sink = world.config.clone().set("batch.linger_ms", 500).run();
    // The other table is written, so it is ready, and says what is missing.
    let answer = || sink.get("/readyz").map_err(|error| error.to_string());
    wait::holds(PATIENCE, "/readyz says what is missing", answer, |answer| {
        answer.as_ref().is_ok_and(|(status, body)| *status == 200 && body.contains("(42P01)"))
    })
    .unwrap();
    // Single records have been tried meanwhile.
    sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= 4.0);
    world.execute("CREATE TABLE later (id int)");
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |n| n == 40.0);
    assert_eq!(sink.assert_accounted(), 40);
    assert_eq!(world.dead_letters(), 0);
}

#[test]
fn a_record_that_fails_alone_waits_and_is_rejected_once_its_neighbours_pass() {
    for max_rows in [1, 500] {
        let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int); \
             CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN IF NEW.v = -1 THEN PERFORM 1 FROM no_such_table; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER stumble BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stumble()";
        let world = World::new("alone").table(ddl).upsert("id").set("batch.max_rows", max_rows);
        let record = |id: i64, v: i64| Record::json(&json!({"id": id, "v": v}));
        let sink = world.sink();
        // The second comes to the first, and does not pass either.
        for id in 0..2 {
            world.produce([record(id, -1)]);
            let retries = sink.metrics().unwrap().sum("sink_retries_total");
            sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= retries + 3.0);
            let (status, body) = sink.get("/readyz").unwrap();
            assert!(status == 503 && body.contains("(42P01)"), "{status} {body}");
        }
        assert_eq!((world.rows(), world.dead_letters()), (0, 0));
        world.produce((2..40).map(|id| record(id, id)));
        sink.wait_metric(PATIENCE, "sink_rows_written_total", |n| n >= 38.0);
        sink.wait_ready(PATIENCE);
        assert_eq!(sink.assert_accounted(), 40);
        let offsets = "SELECT \"offset\" FROM sink_dead_letters WHERE sqlstate = '42P01' ORDER BY 1";
        let dead_letters: Vec<i64> = world.column(offsets);
        assert_eq!((dead_letters, world.rows()), (vec![0, 1], 38), "at most {max_rows} at once");
    }
}
