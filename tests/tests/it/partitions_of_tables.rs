//! Tables with partitions: a transaction touches only those that its records are for.

use postgres::error::SqlState;
use serde_json::json;
use tests::{PostgresOptions, World, wait};

use crate::evidence::PATIENCE;

#[test]
fn a_partition_that_is_locked_is_no_obstacle_to_records_for_others() {
    for mode in ["insert", "upsert"] {
        let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); \
                   CREATE TABLE old PARTITION OF t FOR VALUES FROM (0) TO (100); \
                   CREATE TABLE new PARTITION OF t FOR VALUES FROM (100) TO (200);";
        let world = World::new("partitions").table(ddl).keyed(mode, "id");
        world.produce_json([json!({"id": 1, "v": 1})]);
        let sink = world.sink();
        wait::until(PATIENCE, "the first row", || world.rows() == 1);
        // VACUUM FULL of a partition takes this lock.
        let lock = world.hold("LOCK TABLE old IN ACCESS EXCLUSIVE MODE");
        world.produce_json((100..120).map(|id| json!({"id": id, "v": 1})));
        wait::until(PATIENCE, "the other partition", || world.count("new") == 20);
        sink.wait_ready(PATIENCE);
        lock.release();
        assert_eq!(sink.assert_accounted(), 21);
    }
}

#[test]
fn records_for_more_partitions_than_the_server_can_lock_at_once_are_written_in_parts() {
    let postgres = PostgresOptions::default()
        .setting("max_connections", "20")
        .setting("max_locks_per_transaction", "10");
    let ddl = "CREATE TABLE t (id int, v int) PARTITION BY LIST (id)";
    let world = World::new("partitions").private_postgres(postgres).table(ddl).unkeyed();
    for start in (0..3_000).step_by(100) {
        world.execute(&format!(
            "DO $$ BEGIN FOR n IN {start}..{} LOOP \
               EXECUTE format('CREATE TABLE t_%s PARTITION OF t FOR VALUES IN (%s)', n, n); END LOOP; END $$",
            start + 99
        ));
    }
    // The fault happens.
    let all = world.connect().batch_execute("INSERT INTO t SELECT n, n FROM generate_series(0, 2999) n");
    assert_eq!(all.unwrap_err().code().map(SqlState::code), Some("53200"));
    world.produce_json((0..3_000).map(|id| json!({"id": id, "v": id})));
    let run = world.config.until_end();
    // A count of the whole table would need a lock on each partition as well.
    let rows: i64 =
        (0..3_000).step_by(100).map(|n| world.count(&format!("t WHERE id >= {n} AND id < {n} + 100"))).sum();
    assert_eq!((rows, world.dead_letters()), (3_000, 0), "{}", run.stderr);
}

#[test]
fn a_record_whose_trigger_needs_more_locks_than_there_are_is_rejected_and_the_others_are_written() {
    let postgres = PostgresOptions::default()
        .setting("max_connections", "20")
        .setting("max_locks_per_transaction", "10");
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int); \
               CREATE FUNCTION locks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.v = -1 THEN PERFORM pg_advisory_xact_lock(n) FROM generate_series(1, 100000) n; END IF; \
                 RETURN NEW; END $$; \
               CREATE TRIGGER locks BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION locks();";
    let world =
        World::new("locks").private_postgres(postgres).table(ddl).upsert("id").set("batch.linger_ms", 300);
    world.produce_json((0..10).map(|id| json!({"id": id, "v": if id == 4 { -1 } else { id }})));
    let run = world.config.until_end();
    let found: Vec<Option<String>> = world.column("SELECT sqlstate FROM sink_dead_letters");
    assert_eq!((found, world.rows()), (vec![Some("53200".to_owned())], 9), "{}", run.stderr);
}
