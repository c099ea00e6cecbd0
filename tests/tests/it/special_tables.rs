//! Tables that are more than a heap: triggers, rules, row-level security, partitions, views, foreign tables.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Services, World, names};

const PATIENCE: Duration = Duration::from_secs(60);

fn world(ddl: &str, mode: &str) -> World<'static> {
    let world = World::new("special").table(ddl).set("batch.linger_ms", 300);
    if mode == "unkeyed" { world.unkeyed() } else { world.keyed(mode, "id") }
}

fn numbered(ids: std::ops::Range<i64>) -> impl Iterator<Item = Value> {
    ids.map(|id| json!({"id": id, "v": id}))
}

#[test]
fn a_trigger_may_change_rows_and_refuse_some_of_them() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, -1 FROM generate_series(0, 9) n; \
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.id % 10 = 3 THEN RETURN NULL; END IF; NEW.v := NEW.v * 2; RETURN NEW; END $$; \
         CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch()";
    // Of 100 rows, ten of which exist, the trigger refuses ten, one of which exists.
    for (mode, written, touched) in [("upsert", 90, 90), ("insert_ignore", 81, 81), ("insert", 81, 81)] {
        let world = world(ddl, mode);
        world.produce_json(numbered(0..100));
        let run = world.config.until_end();
        assert_eq!(run.count("rows_written"), written, "{mode}");
        assert_eq!(run.count("dead_letters"), if mode == "insert" { 10 } else { 0 }, "{mode}");
        assert_eq!(world.count("t WHERE v = id * 2"), touched, "{mode}");
    }
}

#[test]
fn rows_that_a_trigger_refuses_are_counted_as_skipped_for_it() {
    let ddl = "CREATE TABLE t (id int, v int); \
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id > 90) EXECUTE FUNCTION refuse()";
    let world = world(ddl, "unkeyed");
    world.produce_json(numbered(1..101));
    let sink = world.sink();
    sink.wait_metric(PATIENCE, "sink_records_consumed_total", |consumed| consumed >= 100.0);
    assert_eq!(sink.assert_accounted(), 100);
    let skipped = sink.metrics().unwrap().sum_where("sink_records_skipped_total", &[("reason", "trigger")]);
    assert!((skipped - 10.0).abs() < f64::EPSILON, "{skipped}");
}

#[test]
fn rules_apply() {
    let ddl = "CREATE TABLE t (id int, v int); CREATE TABLE other (id int, v int); \
         CREATE RULE elsewhere AS ON INSERT TO t WHERE NEW.v % 2 = 1 DO INSTEAD INSERT INTO other VALUES (NEW.id, NEW.v)";
    let world = world(ddl, "unkeyed");
    world.produce_json(numbered(0..100));
    assert_eq!(world.config.until_end().count("dead_letters"), 0);
    assert_eq!(world.count("t WHERE v % 2 = 0"), 50);
    assert_eq!(world.count("other WHERE v % 2 = 1"), 50);
}

#[test]
fn a_policy_of_row_level_security_refuses_single_rows() {
    for mode in ["unkeyed", "upsert", "insert_ignore"] {
        let key = if mode == "unkeyed" { "" } else { "PRIMARY KEY" };
        let ddl = format!(
            "CREATE TABLE t (id int {key}, v int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY below ON t USING (true) WITH CHECK (v < 95)"
        );
        let world = world(&ddl, mode).role(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON t TO $role; GRANT CREATE, USAGE ON SCHEMA public TO $role",
        );
        world.produce_json(numbered(0..100));
        let run = world.config.until_end();
        assert_eq!((run.count("rows_written"), run.count("dead_letters")), (95, 5), "{mode}");
        let states: Vec<String> = world.column("SELECT DISTINCT sqlstate FROM sink_dead_letters");
        assert_eq!(states, ["42501"], "{mode}");
    }
}

#[test]
fn keys_of_partitions_conflict_like_any_others() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); \
         CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (50); \
         CREATE TABLE high PARTITION OF t FOR VALUES FROM (50) TO (100) PARTITION BY RANGE (id); \
         CREATE TABLE higher PARTITION OF high FOR VALUES FROM (50) TO (100); \
         INSERT INTO t SELECT n, -1 FROM generate_series(0, 99, 10) n";
    for (mode, written, dead_letters) in [("upsert", 100, 0), ("insert_ignore", 90, 0), ("insert", 90, 10)] {
        let world = world(ddl, mode);
        world.produce_json(numbered(0..100));
        let run = world.config.until_end();
        assert_eq!((run.count("rows_written"), run.count("dead_letters")), (written, dead_letters), "{mode}");
        // A second time, everything is there.
        world.produce_json(numbered(0..100));
        let run = world.config.clone().name("again").group(&names::unique("again")).until_end();
        let dead_letters = if mode == "insert" { 200 } else { 0 };
        assert_eq!(run.count("dead_letters"), dead_letters, "{mode}");
    }
}

#[test]
fn an_index_that_is_renamed_still_says_that_a_key_exists() {
    let world = world("CREATE TABLE t (id int PRIMARY KEY, v int)", "upsert");
    let sink = world.sink();
    world.produce_json(numbered(0..100));
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 100.0);
    world.execute("ALTER INDEX t_pkey RENAME TO renamed");
    world.produce_json(numbered(0..100).map(|mut record| {
        record["v"] = json!(-7);
        record
    }));
    sink.wait_metric(PATIENCE, "sink_records_consumed_total", |consumed| consumed >= 200.0);
    assert_eq!(world.count("t WHERE v = -7"), 100);
    assert!(sink.metrics().unwrap().sum("sink_dead_letters_total") < 1.0);
}

#[test]
fn the_sink_waits_for_a_missing_partition() {
    let ddl = "CREATE TABLE t (id int, v int) PARTITION BY RANGE (id); \
         CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (50)";
    let world = world(ddl, "unkeyed");
    world.produce_json(numbered(0..100));
    let sink = world.sink();
    sink.wait_not_ready(PATIENCE, &["no partition of relation"]);
    world.execute("CREATE TABLE high PARTITION OF t FOR VALUES FROM (50) TO (100)");
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 100.0);
    assert_eq!(sink.assert_accounted(), 100);
    assert_eq!(world.rows(), 100);
    assert!(sink.metrics().unwrap().sum("sink_dead_letters_total") < 1.0);
    sink.wait_ready(PATIENCE);
}

#[test]
fn views_are_written_through() {
    let through = "CREATE TABLE heap (id int, v int CHECK (v < 95)); CREATE VIEW t AS SELECT * FROM heap";
    let instead = "CREATE TABLE heap (id int, v int CHECK (v < 95)); CREATE VIEW t AS SELECT id, v FROM heap WHERE v > -1; \
         CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN INSERT INTO heap VALUES (NEW.id, NEW.v); RETURN NEW; END $$; \
         CREATE TRIGGER put INSTEAD OF INSERT ON t FOR EACH ROW EXECUTE FUNCTION put()";
    for ddl in [through, instead] {
        let world = world(ddl, "unkeyed");
        world.produce_json(numbered(0..100));
        let run = world.config.until_end();
        assert_eq!((run.count("rows_written"), run.count("dead_letters")), (95, 5), "{ddl}");
        assert_eq!(world.count("heap"), 95);
    }
}

#[test]
fn foreign_tables_are_filled() {
    let port = Services::shared().postgres.port();
    let ddl =
        "CREATE TABLE heap (id int PRIMARY KEY, v int); INSERT INTO heap SELECT generate_series(95, 99)";
    let world = world(ddl, "unkeyed");
    let here: String = world.one("SELECT current_database()::text");
    world
        .execute(&format!(
            "CREATE EXTENSION postgres_fdw; \
             CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname '{here}'); \
             CREATE USER MAPPING FOR postgres SERVER here OPTIONS (user 'postgres', password_required 'false'); \
             CREATE FOREIGN TABLE t (id int, v int) SERVER here OPTIONS (table_name 'heap')"
        ));
    world.produce_json(numbered(0..100));
    let run = world.config.until_end();
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (95, 5));
    assert_eq!(world.count("heap WHERE v = id"), 95);
    assert_eq!(world.column::<String>("SELECT DISTINCT sqlstate FROM sink_dead_letters"), ["23505"]);
}

#[test]
fn an_unlogged_table_is_written_only_where_that_is_allowed() {
    let world = world("CREATE UNLOGGED TABLE t (id int PRIMARY KEY, v int)", "upsert");
    world.produce_json(numbered(0..100));
    let sink = world.sink();
    sink.wait_not_ready(PATIENCE, &["allow_unlogged"]);
    assert_eq!(world.rows(), 0);
    sink.sigkill();
    let run = world.config.clone().topic_set(world.topic(), "allow_unlogged", true).until_end();
    assert_eq!(run.count("rows_written"), 100);
    assert_eq!(world.count("t WHERE v = id"), 100);
}

#[test]
fn a_partition_that_is_unlogged_is_named() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); \
         CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (50); \
         CREATE UNLOGGED TABLE t_2 PARTITION OF t DEFAULT",
        "upsert",
    );
    world.produce_json(numbered(0..100));
    let sink = world.sink();
    sink.wait_not_ready(PATIENCE, &["t_2 is UNLOGGED", "ALTER TABLE t_2 SET LOGGED"]);
    assert_eq!(world.rows(), 0);
    world.client().batch_execute("ALTER TABLE t_2 SET LOGGED").unwrap();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows == 100.0);
    assert_eq!(world.count("t WHERE v = id"), 100);
}

#[test]
fn columns_of_types_without_equality_are_updated_beside_an_index_that_may_read_them() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int, j json, js json[], p point); \
         CREATE UNIQUE INDEX other ON t ((j->>'u')) WHERE v >= 0; \
         INSERT INTO t SELECT n, n, json_build_object('u', n), NULL, NULL FROM generate_series(0, 9) n";
    let world = world(ddl, "upsert");
    world.produce_json(
        (0..100).map(|id| json!({"id": id, "v": id, "j": {"u": id + 1}, "js": [{}], "p": "(1,2)"})),
    );
    let run = world.config.until_end();
    // Applied one by one, each of the first nine meets the next one's old value.
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (91, 9));
    assert_eq!(world.count("t WHERE (j->>'u')::int = id + 1 AND p[1] = 2"), 91);
}

#[test]
fn a_domain_refuses_what_is_too_long_for_its_type_with_and_without_temporary_tables() {
    for temp in [true, false] {
        let ddl = "CREATE DOMAIN flags AS bit(3); CREATE TABLE t (id int PRIMARY KEY, v flags); \
             INSERT INTO t SELECT generate_series(0, 9)";
        let world = world(ddl, "upsert")
            .role("GRANT ALL ON t TO $role; GRANT CREATE, USAGE ON SCHEMA public TO $role");
        if !temp {
            let here: String = world.one("SELECT current_database()::text");
            world.execute(&format!("REVOKE TEMP ON DATABASE \"{here}\" FROM PUBLIC"));
        }
        let flags = |id| if id == 5 { "10101" } else { "101" };
        world.produce_json((0..20).map(|id| json!({"id": id, "v": flags(id)})));
        let run = world.config.until_end();
        assert_eq!((run.count("rows_written"), run.count("dead_letters")), (19, 1), "temp: {temp}");
        assert_eq!(world.column::<i32>("SELECT id FROM t WHERE v IS NULL"), [5], "temp: {temp}");
    }
}
