//! A role that may write some columns only, and make no temporary table: what it may write is written, and what it lacks is
//! named with its GRANT.

use std::time::Duration;

use serde_json::json;
use tests::{World, wait};

const PATIENCE: Duration = Duration::from_secs(60);
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v int, w text, x int DEFAULT 7, y jsonb)";
const ROLE: &str = "GRANT ALL ON SCHEMA public TO $role; DO $$ BEGIN EXECUTE 'REVOKE TEMP ON DATABASE ' \
     || quote_ident(current_database()) || ' FROM public'; END $$;";

/// The sink's role has these privileges on the table, and no TEMP.
fn world(mode: &str, grants: &str) -> World<'static> {
    let world = World::new("ungranted").table(TABLE).role(&format!("{ROLE} GRANT {grants} ON t TO $role"));
    assert!(world.one::<bool>(&format!(
        "SELECT NOT has_database_privilege('{}', current_database(), 'TEMP')",
        world.role
    )));
    if mode == "plain" { world.unkeyed() } else { world.keyed(mode, "id") }
}

const MODES: [(&str, &str); 4] = [
    ("plain", "INSERT (id, v)"),
    ("insert", "INSERT (id, v), SELECT (id)"),
    ("insert_ignore", "INSERT (id, v), SELECT (id)"),
    ("upsert", "INSERT (id, v), SELECT (id), UPDATE (v)"),
];

#[test]
fn records_without_the_columns_that_are_not_granted_are_written() {
    for (mode, grants) in MODES {
        let world = world(mode, grants);
        world.produce_json(
            (0..6).map(|id| if id < 3 { json!({"id": id, "v": id}) } else { json!({"id": id}) }),
        );
        let check = world.config.finish(&["check"], PATIENCE).expect_code(0);
        let grant = "INSERT (\"w\", \"x\", \"y\")";
        assert!(
            check.stdout.contains(grant) && check.stdout.contains("some columns"),
            "{mode}: {}",
            check.stdout
        );
        let run = world.config.until_end();
        assert_eq!((world.rows(), world.count("t WHERE x = 7 AND w IS NULL")), (6, 6), "{mode}");
        assert!(run.stderr.contains("the role may not insert into these columns"), "{mode}: {}", run.stderr);
        // Once more: keys that exist.
        if mode != "plain" {
            world.produce_json((0..6).map(|id| json!({"id": id, "v": id + 100})));
            world.config.until_end();
            let updated = if mode == "upsert" { 6 } else { 0 };
            assert_eq!((world.rows(), world.count("t WHERE v >= 100")), (6, updated), "{mode}");
        }
    }
}

#[test]
fn a_record_with_a_column_that_is_not_granted_waits_for_the_grant_which_is_named() {
    for (mode, grants) in MODES {
        let world = world(mode, grants);
        world.produce_json([json!({"id": 1, "v": 1, "w": "a"})]);
        let grant = if mode == "upsert" { "INSERT (\"w\"), UPDATE (\"w\")" } else { "INSERT (\"w\")" };
        let words = format!("GRANT {grant} ON \"t\" TO \"{}\"", world.role);
        // A server under load is tried again with a warning.
        let check = || world.config.finish(&["check"], PATIENCE);
        wait::holds(PATIENCE, &format!("{mode}: check names {words}"), check, |check| {
            check.code == Some(1) && check.stdout.contains(&words)
        });
        let sink = world.sink();
        sink.wait_not_ready(PATIENCE, &[&words.replace('"', "\\\"")]);
        let failures = sink.sum("sink_retries_total");
        sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= failures + 2.0);
        assert_eq!(world.dead_letters(), 0, "{mode}");
        world.execute(&format!("GRANT {grant} ON t TO $role"));
        world.wait_rows(PATIENCE, 1);
        sink.wait_ready(PATIENCE);
    }
}

#[test]
fn privileges_that_change_while_it_runs_need_no_restart() {
    let world = world("upsert", "ALL");
    let sink = world.sink();
    world.produce_json([json!({"id": 1, "v": 1})]);
    world.wait_rows(PATIENCE, 1);
    world.execute("REVOKE ALL ON t FROM $role");
    world.produce_json([json!({"id": 2, "v": 2}), json!({"id": 1, "v": 2})]);
    sink.wait_not_ready(PATIENCE, &["GRANT SELECT, INSERT, UPDATE ON"]);
    world.execute("GRANT INSERT (id, v), SELECT (id), UPDATE (v) ON t TO $role");
    world.wait_rows(PATIENCE, 2);
    wait::holds(PATIENCE, "the row that existed", || world.count("t WHERE v = 2"), |rows| *rows == 2);
    sink.wait_ready(PATIENCE);
    assert_eq!(world.dead_letters(), 0);
}

#[test]
fn a_schema_and_a_sequence_that_are_not_granted_are_named_as_well() {
    let world = World::new("ungranted")
        .table("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v int, n serial)")
        .role("GRANT ALL ON SCHEMA public TO $role; GRANT ALL ON s.t TO $role");
    let world = world.upsert("id").set("sink.table", "s.t");
    world.produce_json([json!({"id": 1, "v": 1})]);
    let check = world.config.finish(&["check"], PATIENCE).expect_code(1);
    assert!(check.stdout.contains("GRANT USAGE ON SCHEMA \"s\" TO"), "{}", check.stdout);
    let sink = world.sink();
    sink.wait_not_ready(PATIENCE, &["GRANT USAGE ON SCHEMA \\\"s\\\" TO"]);
    world.execute("GRANT USAGE ON SCHEMA s TO $role");
    sink.wait_not_ready(PATIENCE, &["GRANT USAGE ON SEQUENCE s.t_n_seq TO"]);
    world.execute("GRANT USAGE ON SEQUENCE s.t_n_seq TO $role");
    wait::holds(PATIENCE, "the row", || world.count("s.t WHERE n = 1"), |rows| *rows == 1);
    sink.wait_ready(PATIENCE);
    // While it runs.
    world.execute("REVOKE USAGE ON SCHEMA s FROM $role");
    world.produce_json([json!({"id": 2, "v": 1})]);
    sink.wait_not_ready(PATIENCE, &["GRANT USAGE ON SCHEMA \\\"s\\\" TO"]);
    world.execute("GRANT USAGE ON SCHEMA s TO $role");
    wait::holds(PATIENCE, "the row", || world.count("s.t"), |rows| *rows == 2);
    sink.wait_ready(PATIENCE);
}

#[test]
fn what_a_role_lacks_for_the_sinks_own_tables_is_named_and_so_is_a_schema_that_is_not_searched() {
    let world = World::new("ungranted")
        .table("CREATE TABLE t (id int PRIMARY KEY); REVOKE ALL ON SCHEMA public FROM PUBLIC")
        .role("GRANT USAGE ON SCHEMA public TO $role; GRANT ALL ON t TO $role")
        .upsert("id");
    world.produce_json([json!({"id": 1})]);
    let sink = world.sink();
    let create = ["sink_offsets cannot be created", "GRANT CREATE ON SCHEMA \\\"public\\\" TO"];
    sink.wait_not_ready(PATIENCE, &create);
    world.execute("GRANT CREATE ON SCHEMA public TO $role");
    world.wait_rows(PATIENCE, 1);
    world.execute("REVOKE USAGE ON SCHEMA public FROM $role");
    world.produce_json([json!({"id": 2})]);
    sink.wait_not_ready(PATIENCE, &["GRANT USAGE ON SCHEMA \\\"public\\\" TO"]);
    let check = world.config.finish(&["check"], PATIENCE).expect_code(1);
    assert!(check.stdout.contains("GRANT USAGE ON SCHEMA \"public\" TO"), "{}", check.stdout);
    world.execute("GRANT USAGE ON SCHEMA public TO $role");
    world.wait_rows(PATIENCE, 2);
    sink.wait_ready(PATIENCE);
    world.execute("REVOKE UPDATE ON sink_offsets FROM $role");
    world.produce_json([json!({"id": 3})]);
    sink.wait_not_ready(PATIENCE, &["GRANT UPDATE ON \\\"sink_offsets\\\" TO"]);
    world.execute("GRANT UPDATE ON sink_offsets TO $role");
    world.wait_rows(PATIENCE, 3);
    sink.wait_ready(PATIENCE);
}
