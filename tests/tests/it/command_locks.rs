//! A command that waits in vain for a lock names the table, and the session that has it.

use std::time::Duration;

use serde_json::json;
use tests::{Record, World};

const LONG: Duration = Duration::from_secs(120);

/// What the other session's lock looks like in a message.
fn locked_by(hold: &mut tests::Hold) -> String {
    let pid: i32 = hold.client().query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    format!("table t is locked by process {pid} (")
}

#[test]
fn check_names_who_keeps_it_from_the_table() {
    let world = World::new("check_lock").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.produce_json([json!({"id": 1})]);
    let mut hold = world.lock_table();
    let locked = locked_by(&mut hold);
    let output = world.config.finish(&["check"], LONG);
    assert!(output.stdout.contains(&locked), "{locked}: {}", output.stdout);
    hold.release();
    world.config.finish(&["check"], LONG).expect_code(0);
}

#[test]
fn a_replay_names_who_keeps_it_from_the_table() {
    let world = World::new("replay_lock").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.drain([Record::json(&json!({"id": 1})), Record::json(&json!({"id": "x"}))]);
    world.execute("ALTER TABLE t ALTER id TYPE text");
    let mut hold = world.lock_table();
    let locked = locked_by(&mut hold);
    let output = world.config.finish(&["dead-letters", "replay"], LONG);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains(&locked) || output.stdout.contains(&locked), "{locked}: {output:?}");
    hold.release();
    world.config.finish(&["dead-letters", "replay"], LONG).expect_code(0);
    assert_eq!(world.rows(), 2);
}
