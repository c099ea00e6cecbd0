//! Every class of SQLSTATE, raised by a trigger: for a transient or a configuration error the sink waits, gives the reason
//! and recovers by itself; an error of the record makes a dead letter.

use std::time::Duration;

use serde_json::json;
use tests::{Record, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);

const TRANSIENT: &str = "08000 08006 25006 25P03 25P04 40001 40P01 53000 53100 53200 53300 55006 55P03 57014 57P01 57P03 \
     58000 58030";
/// The last ones are not in the sink's table of SQLSTATEs.
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
    let world = World::new("sqlstates").table(TROUBLED).keyed("insert", "id");
    let sink = world.sink();
    let mut produced = 0;
    for code in codes.split_whitespace() {
        world.execute(&format!("INSERT INTO trouble VALUES ('{code}')"));
        let of_class = || sink.sum_where("sink_retries_total", &[("class", class)]);
        let before = of_class();
        world.produce((produced..produced + 20).map(|id| Record::json(&json!({"id": id}))));
        produced += 20;
        sink.wait_not_ready(PATIENCE, &[&format!("({code})")]);
        // An internal error is transient at first.
        wait::until(PATIENCE, &format!("{code} is {class}"), || of_class() > before);
        sink.assert_live();
        world.execute("DELETE FROM trouble");
        let rows = f64::from(produced);
        sink.wait_metric(PATIENCE, "sink_rows_written_total", |written| written >= rows);
        sink.wait_ready(PATIENCE);
    }
    assert_eq!(sink.assert_accounted(), u64::try_from(produced).unwrap());
    assert!(sink.metrics().unwrap().sum("sink_dead_letters_total") < 1.0);
    assert_eq!(world.rows(), i64::from(produced));
}

#[test]
fn the_sink_waits_for_the_end_of_a_transient_error() {
    waits_for(TRANSIENT, "transient");
}

#[test]
fn the_sink_waits_until_the_operator_fixes_a_configuration_error() {
    waits_for(CONFIGURATION, "configuration");
}

#[test]
fn an_internal_error_that_persists_counts_as_a_configuration_error() {
    waits_for("XX000", "transient");
    waits_for("XX000", "configuration");
}

#[test]
fn a_record_with_an_error_of_its_own_becomes_a_dead_letter_with_the_sqlstate() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, code text); \
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = NEW.code; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.code IS NOT NULL) \
           EXECUTE FUNCTION refuse()";
    let world = World::new("record_states").table(ddl).keyed("insert", "id");
    let codes: Vec<&str> = RECORD.split_whitespace().collect();
    let records = codes.iter().enumerate().flat_map(|(n, code)| {
        [json!({"id": 2 * n, "code": code}), json!({"id": 2 * n + 1})].map(|value| Record::json(&value))
    });
    let run = world.drain(records);
    assert_eq!(run.count("rows_written"), i64::try_from(codes.len()).unwrap());
    let seen: Vec<String> = world.column("SELECT sqlstate FROM sink_dead_letters ORDER BY \"offset\"");
    assert_eq!(seen, codes);
}
