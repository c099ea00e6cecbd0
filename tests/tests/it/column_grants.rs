//! A role that may write some columns only.

use std::time::Duration;

use serde_json::json;
use tests::{Record, World};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn privileges_on_columns_are_enough() {
    for (mode, grants, expected) in [
        ("insert", "INSERT (id, v)", 20_i64),
        ("insert_ignore", "INSERT (id, v), SELECT (id, v)", 10),
        ("upsert", "INSERT (id, v), SELECT (id, v), UPDATE (v)", 10),
    ] {
        let unique = if mode == "insert" { "" } else { "PRIMARY KEY" };
        let world = World::new("columns").table(&format!("CREATE TABLE t (id int {unique}, v int)"));
        let world = if mode == "insert" { world.unkeyed() } else { world.keyed(mode, "id") }
            .set("batch.max_rows", 5)
            .role(&format!("GRANT {grants} ON t TO $role; GRANT CREATE ON SCHEMA public TO $role"));
        world.produce((0..20).map(|n| Record::json(&json!({"id": n % 10, "v": n}))));
        world.config.finish(&["check", "--sample", "5"], PATIENCE).expect_code(0);
        assert_eq!(world.drain([]).assert_accounted(), 20, "{mode}");
        assert_eq!(world.rows(), expected, "{mode}");
    }
}

#[test]
fn planning_an_insert_locks_a_table_as_lock_table_does() {
    let world = World::new("columns").table("CREATE TABLE t (id int)");
    let planned = world.hold("EXPLAIN (COSTS OFF) INSERT INTO t (id) VALUES (NULL)");
    let locks = "pg_locks JOIN pg_database d ON d.oid = database AND datname = current_database() \
                 WHERE relation = 't'::regclass AND mode = 'RowExclusiveLock' AND granted";
    assert_eq!(world.count(locks), 1);
    planned.release();
}
