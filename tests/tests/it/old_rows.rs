//! Rows that are in the table may fail as a record does: they are older than the trigger. Neighbours that are written like the
//! record, and rows from elsewhere in the table, show that the record is at fault.

use serde_json::{Value, json};
use tests::World;

/// Rows that were written before this trigger refused them, and good ones after so many of them.
fn ddl(code: &str, bad: i32, good: i32) -> String {
    format!(
        "CREATE TABLE t (id int PRIMARY KEY, v int, w text); \
         INSERT INTO t SELECT 1000 + n, -1, repeat('x', 100) FROM generate_series(1, {bad}) n; \
         INSERT INTO t SELECT 100000 + n, n, repeat('x', 100) FROM generate_series(1, {good}) n; \
         CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.v = -1 THEN RAISE EXCEPTION 'stumbled' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER stumble BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stumble()"
    )
}

fn world(ddl: &str) -> World<'static> {
    World::new("old_rows").table(ddl).set("batch.linger_ms", 300)
}

#[test]
fn neighbours_that_pass_outvote_old_rows_that_fail_as_the_record_does() {
    for code in ["XX000", "42P01"] {
        for mode in ["upsert", "insert", "insert_ignore", "plain"] {
            for bad in [0, 4, 9] {
                let world = world(&ddl(code, 3, 0));
                let world = if mode == "plain" { world.unkeyed() } else { world.keyed(mode, "id") };
                world.produce_json((0..10).map(|id| json!({"id": id, "v": if id == bad { -1 } else { id }})));
                let run = world.config.until_end();
                let offsets: Vec<i64> = world.column("SELECT \"offset\" FROM sink_dead_letters");
                let case = format!("{code} {mode} {bad}: {}", run.stderr);
                assert_eq!((offsets, world.rows()), (vec![i64::from(bad)], 12), "{case}");
            }
        }
    }
}

#[test]
fn an_update_is_decided_by_neighbours_although_they_are_new() {
    let world = world(&ddl("XX000", 3, 0)).upsert("id");
    world.produce_json((0..10).map(|id| match id {
        4 => json!({"id": 1001, "v": -1}),
        _ => json!({"id": id, "v": id}),
    }));
    let run = world.config.until_end();
    assert_eq!((world.dead_letters(), world.rows()), (1, 12), "{}", run.stderr);
}

#[test]
fn a_record_that_fails_alone_is_decided_by_good_rows_behind_many_that_fail() {
    for id in [1, 1001] {
        let world = world(&ddl("XX000", 3_000, 3_000)).upsert("id");
        world.produce_json([json!({"id": id, "v": -1})]);
        let run = world.config.until_end();
        assert_eq!((world.dead_letters(), world.rows()), (1, 6_000), "{id}: {}", run.stderr);
    }
}

#[test]
fn a_partitioned_table_is_sampled_as_well() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); \
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (5000); \
         CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (5000) TO (10000); \
         INSERT INTO t SELECT n, CASE WHEN n < 5000 THEN -1 ELSE n END FROM generate_series(1000, 9000) n; \
         CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.v = -1 THEN RAISE EXCEPTION 'stumbled' USING ERRCODE = 'XX000'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER stumble BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stumble()",
    )
    .upsert("id");
    world.produce_json([json!({"id": 1, "v": -1})]);
    let run = world.config.until_end();
    assert_eq!(world.dead_letters(), 1, "{}", run.stderr);
}

/// Neighbours that are written another way, or with other columns, show nothing about what fails for every row.
#[test]
fn neighbours_of_another_kind_do_not_outvote_rows_of_the_table() {
    let audit = "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM count(*) FROM audits; RETURN NEW; END $$; ";
    let table = "CREATE TABLE t (id int PRIMARY KEY, v int, w int); \
         INSERT INTO t SELECT 1000 + n, n, n FROM generate_series(1, 20) n;";
    let of_updates = "CREATE TRIGGER audit BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit()";
    let of_a_column = "CREATE TRIGGER audit BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.w IS NOT NULL) EXECUTE FUNCTION audit()";
    let sequence = "CREATE SEQUENCE few MAXVALUE 3; SELECT nextval('few') FROM generate_series(1, 3); \
         ALTER TABLE t ALTER w SET DEFAULT nextval('few')";
    let cases: [(&str, &str, Value); 3] = [
        (of_updates, "(42P01)", json!({"id": 1007, "v": 1})),
        (of_a_column, "(42P01)", json!({"id": 4, "v": 1, "w": 1})),
        (sequence, "(2200H)", json!({"id": 4, "v": 1})),
    ];
    for (cause, code, odd) in cases {
        for empty in [false, true] {
            if empty && cause != sequence {
                continue;
            }
            let world = world(&format!("{table} {audit} {cause}")).upsert("id");
            if empty {
                world.execute("TRUNCATE t");
            }
            let before = world.rows();
            let plain = |id: i32| match cause == sequence {
                true => json!({"id": id, "v": id, "w": id}),
                false => json!({"id": id, "v": id}),
            };
            world.produce_json((0..10).map(|id| if id == 4 { odd.clone() } else { plain(id) }));
            println!("{cause}, empty: {empty}");
            let sink = world.sink();
            sink.wait_not_ready(crate::evidence::PATIENCE, &[code]);
            let retries = sink.sum("sink_retries_total");
            sink.wait_metric(crate::evidence::PATIENCE, "sink_retries_total", |n| n >= retries + 4.0);
            assert_eq!((world.dead_letters(), world.rows()), (0, before), "{cause}: {}", sink.stderr());
        }
    }
}

#[test]
fn a_column_that_is_not_granted_is_waited_for_although_neighbours_without_it_pass() {
    let world = World::new("old_rows")
        .table("CREATE TABLE t (id int PRIMARY KEY, v int, w text)")
        .role("GRANT ALL ON SCHEMA public TO $role; GRANT INSERT (id, v) ON t TO $role")
        .unkeyed()
        .set("batch.linger_ms", 300);
    world.produce_json((0..10).map(|id| match id {
        4 => json!({"id": id, "v": id, "w": "a"}),
        _ => json!({"id": id, "v": id}),
    }));
    let sink = world.sink();
    sink.wait_not_ready(crate::evidence::PATIENCE, &["(42501)"]);
    let retries = sink.sum("sink_retries_total");
    sink.wait_metric(crate::evidence::PATIENCE, "sink_retries_total", |n| n >= retries + 4.0);
    assert_eq!((world.dead_letters(), world.rows()), (0, 0), "{}", sink.stderr());
    world.execute("GRANT INSERT (w) ON t TO $role");
    world.wait_rows(crate::evidence::PATIENCE, 10);
    assert_eq!(world.dead_letters(), 0);
}
