//! Every class of SQLSTATE, raised by a trigger where the server cannot be brought to it: what waits, waits with its
//! reason and goes on by itself; what is the record's becomes a dead letter.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig, wait};

const PATIENCE: Duration = Duration::from_secs(60);

const TRANSIENT: &str = "08000 08006 25006 25P03 25P04 40001 40P01 53000 53100 53200 53300 55006 55P03 57014 57P01 57P03 \
     58000 58030";
/// The last ones are in no table of ours.
const CONFIGURATION: &str = "0A000 2200H 22P03 22P04 26000 28000 28P01 3D000 3F000 42501 42703 42P01 53400 55000 XX001 \
     XX002 P0002 21000 99999";
const RECORD: &str =
    "22001 22003 22007 22012 22021 22P02 22P05 23000 23502 23503 23505 23514 23P01 44000 54000 P0001";

/// A table whose trigger raises the code in `trouble`, for as long as there is one.
const TROUBLED: &str = "CREATE TABLE trouble (code text); CREATE TABLE t (id int PRIMARY KEY); \
     CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE c text; BEGIN \
       SELECT code INTO c FROM trouble; \
       IF c IS NOT NULL THEN RAISE EXCEPTION 'trouble' USING ERRCODE = c; END IF; RETURN NEW; END $$; \
     CREATE TRIGGER trouble BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trouble()";

fn waits_for(codes: &str, class: &str) {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("sqlstates", 1);
    let url = postgres.database("sqlstates");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute(TROUBLED).unwrap();
    let sink = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode("insert")
        .pk_fields(&["id"])
        .run();
    let mut produced = 0;
    for code in codes.split_whitespace() {
        client.execute("INSERT INTO trouble VALUES ($1)", &[&code]).unwrap();
        let of_class =
            || sink.metrics().map_or(0.0, |m| m.sum_where("sink_retries_total", &[("class", class)]));
        let before = of_class();
        kafka.produce(&topic, (produced..produced + 20).map(|id| Record::json(&json!({"id": id}))));
        produced += 20;
        let answer = || sink.get("/readyz").map_err(|error| error.to_string());
        let reason = format!("({code})");
        wait::holds(PATIENCE, &format!("/readyz says {code}"), answer, |answer| {
            answer.as_ref().is_ok_and(|(status, body)| *status == 503 && body.contains(&reason))
        })
        .unwrap();
        // An internal error is transient at first.
        wait::until(PATIENCE, &format!("{code} is {class}"), || of_class() > before);
        assert_eq!(sink.get("/livez").unwrap().0, 200);
        client.execute("DELETE FROM trouble", &[]).unwrap();
        let rows = f64::from(produced);
        sink.wait_metric(PATIENCE, "sink_rows_written_total", |written| written >= rows);
        sink.wait_ready(PATIENCE);
    }
    assert_eq!(sink.assert_accounted(), u64::try_from(produced).unwrap());
    assert!(sink.metrics().unwrap().sum("sink_dead_letters_total") < 1.0);
    let rows: i64 = client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0);
    assert_eq!(rows, i64::from(produced));
}

#[test]
fn what_passes_by_itself_is_waited_for() {
    waits_for(TRANSIENT, "transient");
}

#[test]
fn what_the_operator_has_to_mend_is_waited_for() {
    waits_for(CONFIGURATION, "configuration");
}

#[test]
fn an_internal_error_that_stays_is_the_operators_to_mend() {
    waits_for("XX000", "transient");
    waits_for("XX000", "configuration");
}

#[test]
fn what_is_the_records_becomes_a_dead_letter_with_its_code() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("record_states", 1);
    let url = postgres.database("record_states");
    let mut client = tests::postgres::connect(&url);
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, code text); \
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = NEW.code; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.code IS NOT NULL) \
               EXECUTE FUNCTION refuse()",
        )
        .unwrap();
    let codes: Vec<&str> = RECORD.split_whitespace().collect();
    let records = codes.iter().enumerate().flat_map(|(n, code)| {
        [json!({"id": 2 * n, "code": code}), json!({"id": 2 * n + 1})].map(|value| Record::json(&value))
    });
    kafka.produce(&topic, records);
    let run = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode("insert")
        .pk_fields(&["id"])
        .finish(&["run", "--until-end", "--deadline", "50s", "--summary", "json"], PATIENCE)
        .expect_code(0);
    run.assert_accounted();
    assert_eq!(run.count("rows_written"), i64::try_from(codes.len()).unwrap());
    let letters = client.query("SELECT sqlstate FROM sink_dead_letters ORDER BY \"offset\"", &[]).unwrap();
    let seen: Vec<String> = letters.iter().map(|row| row.get(0)).collect();
    assert_eq!(seen, codes);
}
