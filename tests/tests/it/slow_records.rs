//! A record that takes longer than a transaction may, all by itself.

use std::time::Duration;

use serde_json::json;
use tests::{World, wait};

const PATIENCE: Duration = Duration::from_secs(120);

/// Table `t` with a trigger that does this for `v = -1`, and table `u` beside it.
fn table(when: &str, what: &str) -> String {
    format!(
        "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE u (id int PRIMARY KEY, v int); \
         CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.v = -1 THEN {what}; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER dawdle {when} INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )
}

const SLEEP: &str = "PERFORM pg_sleep(600)";

fn dead_letters(world: &World<'_>) -> Vec<String> {
    world.column("SELECT concat_ws(' ', \"offset\", reason, sqlstate) FROM sink_dead_letters ORDER BY 1")
}

#[test]
fn it_becomes_a_dead_letter_if_other_rows_of_its_table_are_written_meanwhile() {
    for (when, setting, url) in [
        ("BEFORE", 3_000, ""),
        ("AFTER", 3_000, ""),
        ("BEFORE", 30_000, "?options=-c%20statement_timeout%3D2000"),
    ] {
        let world = World::new("slow").table(&table(when, SLEEP)).upsert("id");
        let url = format!("{}{url}", world.url);
        let world =
            world.set("postgres.deadline_ms", setting).set("postgres.url", url).set("postgres.writers", 1);
        world.execute("INSERT INTO t SELECT n, n FROM generate_series(100, 120) n");
        let sink = world.sink();
        world.produce_json([json!({"id": 1, "v": 1}), json!({"id": 2, "v": -1}), json!({"id": 3, "v": 3})]);
        wait::holds(PATIENCE, "the others are rows", || world.count("t WHERE id < 10"), |rows| *rows == 2);
        assert_eq!(dead_letters(&world), ["1 refused 57014"], "{when}");
        sink.wait_ready(PATIENCE);
        assert_eq!(sink.assert_accounted(), 3);
        assert_eq!(world.position(), 3);
    }
}

#[test]
fn one_that_waits_for_a_lock_is_never_rejected() {
    let world = World::new("slow").table(&table("BEFORE", "PERFORM 1")).upsert("id");
    world.execute("INSERT INTO t SELECT n, n FROM generate_series(1, 20) n");
    let url = format!("{}?options=-c%20lock_timeout%3D600s", world.url);
    let world = world.set("postgres.deadline_ms", 2_000).set("postgres.url", url);
    let hold = world.hold("UPDATE t SET v = 0 WHERE id = 7");
    let sink = world.sink();
    world.produce_json([json!({"id": 7, "v": 70})]);
    sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= 6.0);
    sink.wait_not_ready(PATIENCE, &[&format!("the record of {}[0] at offset 0", world.topic())]);
    hold.release();
    wait::holds(PATIENCE, "the row is written", || world.count("t WHERE v = 70"), |rows| *rows == 1);
    assert!(dead_letters(&world).is_empty());
    sink.wait_ready(PATIENCE);
}

#[test]
fn where_no_other_row_can_be_written_it_waits_names_the_record_and_does_not_fill_the_log() {
    let world = World::new("slow").topics(2).table(&table("BEFORE", "PERFORM pg_sleep(6)")).upsert("id");
    let other = world.topics[1].clone();
    let world =
        world.with(|config| config.topic_set(&other, "table", "u")).set("postgres.deadline_ms", 2_000);
    let sink = world.sink();
    world.produce_json([json!({"id": 1, "v": -1})]);
    let named = format!("the record of {}[0] at offset 0, tried alone, takes longer", world.topic());
    wait::until(PATIENCE, "/readyz names the record", || {
        sink.get("/readyz").is_ok_and(|(_, body)| body.contains(&named))
    });
    let failures = sink.sum("sink_retries_total");
    let lines = sink.stderr().lines().count();
    world.kafka.produce(&other, [tests::Record::json(&json!({"id": 1, "v": 1}))]);
    wait::holds(PATIENCE, "the other table goes on", || world.count("u"), |rows| *rows == 1);
    sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= failures + 6.0);
    let log = sink.stderr();
    let more: Vec<&str> = log.lines().skip(lines).collect();
    assert!(more.len() <= 3, "{more:#?}");
    assert!(dead_letters(&world).is_empty());
    // What it waits for is over.
    world.execute("DROP TRIGGER dawdle ON t");
    world.wait_rows(PATIENCE, 1);
    sink.wait_ready(PATIENCE);
}
