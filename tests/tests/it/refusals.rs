//! Records that only the server can refuse: exactly those become dead letters, with what the server said, and all
//! others are written, in a number of round trips that grows with the refused and hardly with the batch.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tests::{Kafka, Output, Postgres, PostgresOptions, Record, Services, SinkConfig};

const PATIENCE: Duration = Duration::from_secs(120);
const RECORDS: usize = 600;
/// First, in the middle (of a key that exists, in the keyed modes) and last.
const BAD: [usize; 3] = [0, 300, RECORDS - 1];

/// A way in which a server refuses v = -1: statements, the SQLSTATE, the constraint.
type Judge = (&'static str, &'static str, Option<&'static str>);

const JUDGES: [Judge; 8] = [
    ("ALTER TABLE t ADD CONSTRAINT positive CHECK (v >= 0)", "23514", Some("positive")),
    (
        "CREATE TABLE parent (v int PRIMARY KEY); INSERT INTO parent SELECT generate_series(0, 200000); \
         ALTER TABLE t ADD CONSTRAINT known FOREIGN KEY (v) REFERENCES parent",
        "23503",
        Some("known"),
    ),
    (
        "CREATE TABLE parent (v int PRIMARY KEY); INSERT INTO parent SELECT generate_series(0, 200000); \
         ALTER TABLE t ADD CONSTRAINT known FOREIGN KEY (v) REFERENCES parent DEFERRABLE INITIALLY DEFERRED",
        "23503",
        Some("known"),
    ),
    (
        "ALTER TABLE t ADD CONSTRAINT apart EXCLUDE USING gist (int4range(v * 10, v * 10 + 5) WITH &&); \
         INSERT INTO t (id, v) VALUES (-1, -1)",
        "23P01",
        Some("apart"),
    ),
    ("CREATE UNIQUE INDEX other ON t (v); INSERT INTO t (id, v) VALUES (-1, -1)", "23505", Some("other")),
    (
        "CREATE TABLE audit (v int PRIMARY KEY); INSERT INTO audit VALUES (-1); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN INSERT INTO audit VALUES (NEW.v); RETURN NULL; END $$; \
         CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()",
        "23505",
        Some("audit_pkey"),
    ),
    (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.v < 0 THEN RAISE EXCEPTION 'not here'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse()",
        "P0001",
        None,
    ),
    ("CREATE INDEX fraction ON t ((1 / (v + 1)))", "22012", None),
];

fn record(id: usize, bad: &[usize]) -> Record {
    let v = if bad.contains(&id) { -1 } else { i64::try_from(id).unwrap() };
    Record::json(&json!({"id": id, "v": v}))
}

fn drain(config: &SinkConfig, records: usize, bad: &[usize]) -> Output {
    let args = ["run", "--until-end", "--deadline", "100s", "--summary", "json"];
    let run = config.finish(&args, PATIENCE).expect_code(0);
    assert_eq!(run.assert_accounted(), i64::try_from(records).unwrap());
    assert_eq!(run.count("dead_letters"), i64::try_from(bad.len()).unwrap());
    assert_eq!(run.count("rows_written"), i64::try_from(records - bad.len()).unwrap());
    run
}

/// Exactly the bad ones are dead letters, and the others are rows.
fn assert_refused(client: &mut postgres::Client, records: usize, bad: &[usize], judge: Judge) {
    let letters = client
        .query("SELECT \"offset\", sqlstate, \"constraint\", reason FROM sink_dead_letters ORDER BY 1", &[])
        .unwrap();
    let offsets: Vec<usize> =
        letters.iter().map(|row| usize::try_from(row.get::<_, i64>(0)).unwrap()).collect();
    assert_eq!(offsets, bad, "{judge:?}");
    for letter in &letters {
        assert_eq!(letter.get::<_, String>(1), judge.1, "{judge:?}");
        assert_eq!(letter.get::<_, Option<String>>(2).as_deref(), judge.2, "{judge:?}");
        assert_eq!(letter.get::<_, String>(3), "refused");
    }
    let rows = client.query("SELECT id FROM t WHERE id >= 0 AND v = id ORDER BY id", &[]).unwrap();
    let ids: Vec<usize> = rows.iter().map(|row| usize::try_from(row.get::<_, i32>(0)).unwrap()).collect();
    let good: Vec<usize> = (0..records).filter(|id| !bad.contains(id)).collect();
    assert!(ids == good, "{judge:?}: {} rows of {}", ids.len(), good.len());
}

fn refused_by_every_judge(mode: &str) {
    let Services { kafka, postgres } = Services::shared();
    let keyed = mode != "unkeyed";
    for judge in JUDGES {
        let topic = kafka.topic("refusals", 1);
        let url = postgres.database("refusals");
        let mut client = tests::postgres::connect(&url);
        let key = if keyed { "PRIMARY KEY" } else { "" };
        client.batch_execute(&format!("CREATE TABLE t (id int {key}, v int)")).unwrap();
        if mode == "upsert" {
            let existing = "INSERT INTO t SELECT n, 100000 + n FROM generate_series(0, 500, 2) n";
            client.batch_execute(existing).unwrap();
        }
        client.batch_execute(judge.0).unwrap();
        kafka.produce(&topic, (0..RECORDS).map(|id| record(id, &BAD)));
        let config = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t");
        let config = if keyed {
            config.insert_mode(mode).pk_fields(&["id"])
        } else {
            config.insert_mode("insert").pk_mode("none")
        };
        drain(&config, RECORDS, &BAD);
        assert_refused(&mut client, RECORDS, &BAD, judge);
    }
}

#[test]
fn what_only_the_server_refuses_becomes_a_dead_letter_in_an_unkeyed_table() {
    refused_by_every_judge("unkeyed");
}

#[test]
fn what_only_the_server_refuses_becomes_a_dead_letter_in_upserts() {
    refused_by_every_judge("upsert");
}

#[test]
fn what_only_the_server_refuses_becomes_a_dead_letter_in_ignored_inserts() {
    refused_by_every_judge("insert_ignore");
}

/// COPY statements that a sink sent for 5,000 records in one batch.
fn copies(kafka: &Kafka, postgres: &Postgres, bad: &[usize]) -> usize {
    let records = 5_000;
    let topic = kafka.topic("copies", 1);
    let url = postgres.database("copies");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute(&format!("CREATE TABLE t (id int, v int); {}", JUDGES[0].0)).unwrap();
    kafka.produce(&topic, (0..records).map(|id| record(id, bad)));
    let log = postgres.dir().join("postgres.log");
    let seen = || {
        let log = fs::read_to_string(&log).unwrap();
        log.lines().filter(|line| line.contains(": COPY \"t\"") && line.contains("execute ")).count()
    };
    let before = seen();
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode("insert")
        .pk_mode("none")
        .set("batch.max_rows", 5_000)
        .set("batch.linger_ms", 1_000);
    drain(&config, records, bad);
    assert_refused(&mut client, records, bad, JUDGES[0]);
    seen() - before
}

#[test]
fn refused_records_are_found_in_few_round_trips() {
    let kafka = &Services::shared().kafka;
    let postgres = Postgres::start(PostgresOptions::default().setting("log_statement", "all")).unwrap();
    // Halving 5,000 takes 13 steps, each with one try at most of either half.
    let steps = 5_000_f64.log2().ceil() as usize;
    assert_eq!(copies(kafka, &postgres, &[]), 1, "without a refusal, one COPY");
    for place in [0, 2_500, 4_999] {
        let copies = copies(kafka, &postgres, &[place]);
        assert!((steps..=2 * steps + 2).contains(&copies), "{copies} for one at {place}");
    }
    let scattered: Vec<usize> = (0..50).map(|n| n * 100 + n * 37 % 100).collect();
    let copies = copies(kafka, &postgres, &scattered);
    assert!(copies <= 50 * 2 * 8 + 100, "{copies} for 50 of 5,000");
}
