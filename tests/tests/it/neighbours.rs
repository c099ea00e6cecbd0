//! Failures that the error policy leaves to the operator, but that hit some records and not their neighbours.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig, wait};

const PATIENCE: Duration = Duration::from_secs(90);
const RECORDS: i64 = 300;

#[test]
fn a_failure_of_some_records_only_is_theirs_whatever_its_code() {
    // A code that is in no table of ours, and a trigger that stumbles.
    for (code, stumble) in
        [("99999", "RAISE EXCEPTION 'no' USING ERRCODE = '99999'"), ("42P01", "PERFORM 1 FROM no_such_table")]
    {
        for bad in [vec![0], vec![150], vec![RECORDS - 1], vec![0, 1, 2, 77, 150, RECORDS - 1]] {
            let Services { kafka, postgres } = Services::shared();
            let topic = kafka.topic("neighbours", 1);
            let url = postgres.database("neighbours");
            let mut client = tests::postgres::connect(&url);
            client
                .batch_execute(&format!(
                    "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, -5 FROM generate_series(140, 160) n; \
                     CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
                       $$ BEGIN IF NEW.v = -1 THEN {stumble}; END IF; RETURN NEW; END $$; \
                     CREATE TRIGGER stumble BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stumble()"
                ))
                .unwrap();
            let record = |id| Record::json(&json!({"id": id, "v": if bad.contains(&id) { -1 } else { id }}));
            kafka.produce(&topic, (0..RECORDS).map(record));
            let run = SinkConfig::new(kafka.bootstrap(), &url)
                .topic(&topic)
                .table("t")
                .pk_fields(&["id"])
                .set("batch.linger_ms", 500)
                .finish(&["run", "--until-end", "--deadline", "60s", "--summary", "json"], PATIENCE)
                .expect_code(0);
            assert_eq!(run.assert_accounted(), RECORDS);
            let letters = client
                .query("SELECT \"offset\" FROM sink_dead_letters WHERE sqlstate = $1 ORDER BY 1", &[&code])
                .unwrap();
            let letters: Vec<i64> = letters.iter().map(|row| row.get(0)).collect();
            assert_eq!((&letters, run.count("dead_letters")), (&bad, bad.len() as i64), "{code}");
            let rows: i64 = client.query_one("SELECT count(*) FROM t WHERE v = id", &[]).unwrap().get(0);
            assert_eq!(rows, RECORDS - bad.len() as i64, "{code}: {bad:?}");
        }
    }
}

#[test]
fn a_failure_of_one_table_is_not_its_records_because_another_table_goes_on() {
    let Services { kafka, postgres } = Services::shared();
    let topics = [kafka.topic("spared", 1), kafka.topic("struck", 1)];
    let url = postgres.database("struck");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute(
            "CREATE TABLE spared (id int PRIMARY KEY); CREATE TABLE struck (id int PRIMARY KEY); \
             CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM later; RETURN NEW; END $$; \
             CREATE TRIGGER stumble BEFORE INSERT ON struck FOR EACH ROW EXECUTE FUNCTION stumble()",
        )
        .unwrap();
    for topic in &topics {
        kafka.produce(topic, (0..20).map(|id| Record::json(&json!({"id": id}))));
    }
    let sink = SinkConfig::new(kafka.bootstrap(), &url)
        .topics(&[&topics[0], &topics[1]])
        .pk_fields(&["id"])
        .topic_set(&topics[0], "table", "spared")
        .topic_set(&topics[1], "table", "struck")
        .set("postgres.writers", 1)
        .set("batch.linger_ms", 500)
        .run();
    let answer = || sink.get("/readyz").map_err(|error| error.to_string());
    wait::holds(PATIENCE, "/readyz says what is missing", answer, |answer| {
        answer.as_ref().is_ok_and(|(status, body)| *status == 503 && body.contains("(42P01)"))
    })
    .unwrap();
    // Records have been suspected meanwhile.
    sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= 4.0);
    client.batch_execute("CREATE TABLE later (id int)").unwrap();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |n| n == 40.0);
    assert_eq!(sink.assert_accounted(), 40);
    let letters: i64 = client.query_one("SELECT count(*) FROM sink_dead_letters", &[]).unwrap().get(0);
    assert_eq!(letters, 0);
}

#[test]
fn a_record_that_fails_alone_waits_for_neighbours_and_is_told_by_them() {
    for max_rows in [1, 500] {
        let Services { kafka, postgres } = Services::shared();
        let topic = kafka.topic("alone", 1);
        let url = postgres.database("alone");
        let mut client = tests::postgres::connect(&url);
        client
            .batch_execute(
                "CREATE TABLE t (id int PRIMARY KEY, v int); \
                 CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
                   $$ BEGIN IF NEW.v = -1 THEN PERFORM 1 FROM no_such_table; END IF; RETURN NEW; END $$; \
                 CREATE TRIGGER stumble BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stumble()",
            )
            .unwrap();
        let record = |id: i64, v: i64| Record::json(&json!({"id": id, "v": v}));
        let sink = SinkConfig::new(kafka.bootstrap(), &url)
            .topic(&topic)
            .table("t")
            .pk_fields(&["id"])
            .set("batch.max_rows", max_rows)
            .run();
        // The second comes to the first, and does not pass either.
        for id in 0..2 {
            kafka.produce(&topic, [record(id, -1)]);
            let retries = sink.metrics().unwrap().sum("sink_retries_total");
            sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= retries + 3.0);
            let (status, body) = sink.get("/readyz").unwrap();
            assert!(status == 503 && body.contains("(42P01)"), "{status} {body}");
        }
        let stored = |client: &mut postgres::Client, table: &str| -> i64 {
            client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
        };
        assert_eq!((stored(&mut client, "t"), stored(&mut client, "sink_dead_letters")), (0, 0));
        kafka.produce(&topic, (2..40).map(|id| record(id, id)));
        sink.wait_metric(PATIENCE, "sink_rows_written_total", |n| n >= 38.0);
        sink.wait_ready(PATIENCE);
        assert_eq!(sink.assert_accounted(), 40);
        let letters =
            client.query("SELECT \"offset\" FROM sink_dead_letters WHERE sqlstate = '42P01' ORDER BY 1", &[]);
        let letters: Vec<i64> = letters.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!((letters, stored(&mut client, "t")), (vec![0, 1], 38), "at most {max_rows} at once");
    }
}
