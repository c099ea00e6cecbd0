//! `errors.tolerance = "none"`: the sink stops before the first rejected record of a partition, and says which it is.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Output, Record, Services, SinkConfig, names};

const PATIENCE: Duration = Duration::from_secs(60);

fn good(id: i32) -> Record {
    Record::json(&json!({"id": id, "n": id}))
}

/// A topic of one partition with two bad records among good ones, at offsets 700 and 900. The table takes no negative n.
fn scene(name: &str, bad: impl Into<Value>) -> (SinkConfig, postgres::Client, String) {
    let bad = bad.into();
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic(name, 1);
    let url = postgres.database(name);
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int CONSTRAINT positive CHECK (n >= 0))")
        .unwrap();
    let record = |id: i32| match id {
        700 | 900 => Record::json(&json!({"id": id, "n": bad})),
        _ => good(id),
    };
    kafka.produce(&topic, (0..1_000).map(record));
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .pk_fields(&["id"])
        .set("errors.tolerance", "none");
    (config, client, topic)
}

fn position(client: &mut postgres::Client) -> i64 {
    client.query_one("SELECT next_offset FROM sink_offsets", &[]).unwrap().get(0)
}

fn count(client: &mut postgres::Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
}

/// It ended with exit code 4, everything before the record is written, and the error names it.
#[track_caller]
fn assert_stopped_before(run: Output, client: &mut postgres::Client, topic: &str, offset: i64, why: &str) {
    let run = run.expect_code(4);
    assert_eq!((count(client, "t"), position(client)), (offset, offset));
    assert_eq!(count(client, "sink_dead_letters"), 0);
    let partition = format!("{topic}[0]");
    let at = format!("offset {offset}");
    for word in [partition.as_str(), &at, why, "tolerance = \"all\"", "offsets reset"] {
        assert!(run.stderr.contains(word), "{word} is not in\n{}", run.stderr);
    }
}

#[test]
fn a_bounded_run_stops_before_the_first_rejected_record_with_exit_code_4() {
    let (config, mut client, topic) = scene("intolerant", "many");
    let bounded = ["run", "--until-end", "--summary", "json"];
    let run = config.finish(&bounded, PATIENCE);
    assert_eq!((run.count("records"), run.count("rows_written")), (700, 700));
    assert_eq!(run.summary()["stopped_by"], "error_policy");
    assert_stopped_before(run, &mut client, &topic, 700, "wrong_type");
    // Again: nothing has changed, and nothing moves.
    assert_stopped_before(config.finish(&bounded, PATIENCE), &mut client, &topic, 700, "wrong_type");
    // The table is mended, and the run comes to the end.
    client.batch_execute("ALTER TABLE t DROP CONSTRAINT positive, ALTER COLUMN n TYPE text").unwrap();
    let run = config.finish(&bounded, PATIENCE).expect_code(0);
    assert_eq!(run.count("rows_written"), 300);
    assert_eq!((count(&mut client, "t"), position(&mut client)), (1_000, 1_000));
}

#[test]
fn what_is_before_a_rejected_record_is_written_in_portions_if_it_takes_too_long() {
    let (config, mut client, topic) = scene("intolerant", "many");
    // The server is slow from the second attempt on, when the record has been found: 700 rows take 2.8 s.
    let role = names::unique("intolerant").replace('-', "_");
    client
        .batch_execute(&format!(
            "CREATE SEQUENCE attempts; \
             CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
               $$ BEGIN IF nextval('attempts') > 998 THEN PERFORM pg_sleep(0.004); END IF; RETURN NEW; END $$; \
             CREATE TRIGGER dawdle BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dawdle(); \
             CREATE ROLE {role} LOGIN; GRANT ALL ON t TO {role}; GRANT ALL ON SCHEMA public TO {role}; \
             ALTER ROLE {role} SET statement_timeout = '1500ms'"
        ))
        .unwrap();
    let database: String = client.query_one("SELECT current_database()", &[]).unwrap().get(0);
    let url = Services::shared().postgres.url_of(&database).replace("postgres@", &format!("{role}@"));
    let run = config.set("postgres.url", url).finish(&["run", "--until-end"], PATIENCE);
    assert!(run.stderr.contains("statement timeout"), "it took too long: {}", run.stderr);
    assert_stopped_before(run, &mut client, &topic, 700, "wrong_type");
}

#[test]
fn a_run_without_end_stops_before_the_first_rejected_record_with_exit_code_4() {
    let (config, mut client, topic) = scene("intolerant_service", "many");
    // Batches of many sizes: the record is the first of one, and in the middle of another.
    for rows in [100, 5_000] {
        client.batch_execute("TRUNCATE t; DROP TABLE IF EXISTS sink_offsets").unwrap();
        let config = config.clone().group(&tests::names::unique("intolerant")).set("batch.max_rows", rows);
        assert_stopped_before(config.finish(&["run"], PATIENCE), &mut client, &topic, 700, "wrong_type");
    }
}

#[test]
fn a_record_that_the_server_refuses_stops_it_as_well_and_dropping_the_constraint_lets_it_go_on() {
    let (config, mut client, topic) = scene("intolerant_server", -1);
    let bounded = ["run", "--until-end", "--summary", "json"];
    assert_stopped_before(config.finish(&bounded, PATIENCE), &mut client, &topic, 700, "positive");
    client.batch_execute("ALTER TABLE t DROP CONSTRAINT positive").unwrap();
    let run = config.finish(&bounded, PATIENCE).expect_code(0);
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (300, 0));
    assert_eq!((count(&mut client, "t"), position(&mut client)), (1_000, 1_000));
}

#[test]
fn what_is_before_a_rejected_record_is_written_in_each_partition_by_itself() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("intolerant_partitions", 3);
    let url = postgres.database("intolerant_partitions");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)").unwrap();
    let bad = |partition: i32| Record::new("{").partition(partition);
    let records = (0..30).map(|id| good(id).partition(id % 3)).chain([bad(0), bad(1)]);
    kafka.produce(&topic, records.chain((30..60).map(|id| good(id).partition(id % 3))));
    let run = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .pk_fields(&["id"])
        .set("errors.tolerance", "none")
        // All three partitions are in one batch.
        .set("postgres.writers", 1)
        .set("batch.linger_ms", 3_000)
        .finish(&["run", "--max-records", "62"], PATIENCE)
        .expect_code(4);
    let positions = client.query("SELECT next_offset FROM sink_offsets ORDER BY partition", &[]).unwrap();
    let positions: Vec<i64> = positions.iter().map(|row| row.get(0)).collect();
    assert_eq!(positions, [10, 10, 20]);
    assert_eq!(count(&mut client, "t"), 40);
    for partition in [0, 1] {
        assert!(run.stderr.contains(&format!("{topic}[{partition}] at offset 10")), "{}", run.stderr);
    }
}
