//! `dead-letters replay` goes on behind a dead letter whose row fails with an error of the moment each time, and reports it.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, World};

const PATIENCE: Duration = Duration::from_secs(90);

/// A table whose trigger does `what` for the row 7, and 20 dead letters of it that fit otherwise.
fn world(what: &str) -> World<'static> {
    let world = World::new("replay_goes_on").table("CREATE TABLE t (id int PRIMARY KEY, n int)").upsert("id");
    world.drain((0..20).map(|id| Record::json(&json!({"id": id, "n": "many"}))));
    assert_eq!(world.dead_letters(), 20);
    world.execute(&format!(
        "ALTER TABLE t ALTER COLUMN n TYPE text;
         CREATE FUNCTION check_row() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.id = 7 THEN {what} END IF; RETURN NEW; END $$;
         CREATE TRIGGER check_row BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION check_row()"
    ));
    world
}

#[track_caller]
fn replays_all_but_one(what: &str, why: &[&str]) {
    let world = world(what);
    let replay =
        world.config.finish(&["dead-letters", "replay", "--output", "json"], PATIENCE).expect_code(3);
    let report: Value = serde_json::from_str(&replay.stdout).unwrap();
    assert_eq!((&report["rows_written"], &report["failed"]), (&json!(19), &json!(1)), "{report}");
    let reported = report["failures"][0].to_string();
    assert!(why.iter().any(|why| reported.contains(why)), "{report}");
    assert_eq!(report["failures"][0]["first"]["offset"], 7, "{report}");
    assert_eq!((world.rows(), world.dead_letters()), (19, 1));
    world.execute("DROP TRIGGER check_row ON t");
    world.config.finish(&["dead-letters", "replay"], PATIENCE).expect_code(0);
    assert_eq!((world.rows(), world.dead_letters()), (20, 0));
}

#[test]
fn behind_one_whose_trigger_raises_a_serialization_failure() {
    replays_all_but_one("RAISE EXCEPTION 'again' USING ERRCODE = '40001';", &["40001"]);
}

#[test]
fn behind_one_whose_trigger_ends_its_session() {
    // The client may notice the end of the connection before it reads the last message of the server.
    let why = ["57P01", "connection closed"];
    replays_all_but_one("PERFORM pg_terminate_backend(pg_backend_pid());", &why);
}

#[test]
fn a_table_that_is_locked_ends_the_replay_with_the_words_of_the_server() {
    let world = world("RETURN NEW;");
    let lock = world.hold("LOCK TABLE sink_dead_letters IN ACCESS EXCLUSIVE MODE");
    for command in ["list", "replay"] {
        let run = world.config.finish(&["dead-letters", command], PATIENCE).expect_code(1);
        assert!(run.stderr.contains("(55P03)") && !run.stderr.contains("db error"), "{}", run.stderr);
    }
    lock.release();
}
