//! A command that waits in vain for a lock names the table, and the session that has it.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Record, World};

const LONG: Duration = Duration::from_secs(120);

/// What the other session's lock looks like in a message.
fn locked_by(hold: &mut tests::Hold) -> String {
    table_locked_by("t", hold)
}

fn table_locked_by(table: &str, hold: &mut tests::Hold) -> String {
    let pid: i32 = hold.client().query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    format!("table {table} is locked by process {pid} (")
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

#[test]
fn commands_name_who_keeps_them_from_the_tables_of_the_sink_and_what_the_role_lacks_on_them() {
    let world = World::new("own_lock").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.drain([Record::json(&json!({"id": 1})), Record::json(&json!({"id": "x"}))]);
    let world = world.role("GRANT USAGE ON SCHEMA public TO $role");
    for (table, command, privileges) in [
        ("sink_offsets", &["offsets", "show"][..], "SELECT"),
        ("sink_dead_letters", &["dead-letters", "list"], "SELECT"),
        ("sink_dead_letters", &["dead-letters", "discard", "--execute"], "SELECT, DELETE"),
        ("sink_dead_letters", &["dead-letters", "replay"], "SELECT, DELETE"),
    ] {
        let denied = world.config.finish(command, LONG).expect_code(1);
        let grant = format!("GRANT {privileges} ON \"{table}\" TO \"{}\"", world.role);
        assert!(
            denied.stderr.contains("42501") && denied.stderr.contains(&grant),
            "{grant}: {}",
            denied.stderr
        );
        world.execute(&format!("GRANT ALL ON {table} TO \"{}\"", world.role));
        let mut hold = world.hold(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        let locked = table_locked_by(table, &mut hold);
        let output = world.config.finish(command, LONG).expect_code(1);
        assert!(output.stderr.contains(&locked), "{locked}: {}", output.stderr);
        hold.release();
        world.execute(&format!("REVOKE ALL ON {table} FROM \"{}\"", world.role));
    }
}

#[test]
fn commands_that_write_name_what_the_role_lacks_and_who_has_locked_the_rows() {
    let world = World::new("own_rows").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.drain([Record::json(&json!({"id": 1})), Record::json(&json!({"id": "x"}))]);
    let world = world.role(
        "GRANT USAGE ON SCHEMA public TO $role; GRANT SELECT ON sink_offsets, sink_dead_letters, t TO $role",
    );
    let (positions, dead_letters) = ("sink_offsets", "sink_dead_letters");
    let (reset, discard) =
        (["offsets", "reset", "--to-earliest", "--execute"], ["dead-letters", "discard", "--execute"]);
    let replay = ["dead-letters", "replay"];
    for (before, command, table, lacking, privileges) in [
        ("ALTER TABLE t ALTER id TYPE text", &reset[..], positions, positions, "INSERT, UPDATE"),
        ("", &discard, dead_letters, dead_letters, "DELETE"),
        ("REVOKE DELETE ON sink_dead_letters FROM $role", &replay, dead_letters, dead_letters, "DELETE"),
        ("", &replay, dead_letters, "t", "INSERT"),
    ] {
        world.execute(before);
        let denied = world.config.finish(command, LONG).expect_code(1);
        let grant = format!("GRANT {privileges} ON \"{lacking}\" TO \"{}\"", world.role);
        assert!(denied.stderr.contains("42501"), "{}", denied.stderr);
        assert!(denied.stderr.contains(&grant), "{grant}: {}", denied.stderr);
        world.execute(&grant);
        let mut hold = world.hold(&format!("SELECT * FROM {table} FOR UPDATE"));
        let locked = table_locked_by(table, &mut hold);
        let output = world.config.finish(command, LONG).expect_code(1);
        assert!(output.stderr.contains(&locked), "{locked}: {}", output.stderr);
        hold.release();
    }
    world.config.finish(&["dead-letters", "replay"], LONG).expect_code(0);
    assert_eq!((world.rows(), world.dead_letters()), (2, 0));
}

#[test]
fn a_locked_table_of_dead_letters_holds_up_the_start_once_and_not_for_each_partition() {
    let world =
        World::new("start_lock").partitions(8).table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.drain((0..80).map(|id| Record::json(&json!({"id": id})).partition(id % 8)));
    let mut hold = world.hold("LOCK TABLE sink_dead_letters IN ACCESS EXCLUSIVE MODE");
    let locked = table_locked_by("sink_dead_letters", &mut hold);
    world.produce((80..160).map(|id| Record::json(&json!({"id": id})).partition(id % 8)));
    let started = Instant::now();
    let sink = world.sink();
    world.wait_rows(LONG, 160);
    // A lock timeout is five seconds.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let log = sink.stderr();
    assert!(log.contains(&locked), "{locked}: {log}");
    assert_eq!(log.matches("cannot read the dead letters").count(), 1, "{log}");
    hold.release();
}

#[test]
fn a_locked_table_of_positions_is_named_with_its_lock_while_the_sink_starts() {
    let world = World::new("positions_lock").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    world.drain([Record::json(&json!({"id": 1}))]);
    let mut hold = world.hold("LOCK TABLE sink_offsets IN ACCESS EXCLUSIVE MODE");
    let locked = table_locked_by("sink_offsets", &mut hold);
    world.produce_json([json!({"id": 2})]);
    let sink = world.sink();
    sink.wait_not_ready(LONG, &[&locked]);
    hold.release();
    world.wait_rows(LONG, 2);
}
