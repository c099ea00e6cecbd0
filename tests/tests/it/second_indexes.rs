//! A record fails alone, in a table with more than its key: other rows show that it is at fault, although they cannot be
//! written a second time.

use serde_json::{Value, json};
use tests::{Output, World};

/// Rows with a key, a value that is unique beside it, and another value.
const ROWS: &str = "INSERT INTO t SELECT n, 'e' || n, n FROM generate_series(1, 50) n;";

/// A trigger that does this for rows that meet a condition.
fn trigger(when: &str, condition: &str, stumble: &str) -> String {
    format!(
        "CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF {condition} THEN {stumble}; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER stumble {when} INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stumble();"
    )
}

fn raise(code: &str) -> String {
    format!("RAISE EXCEPTION 'stumbled' USING ERRCODE = '{code}'")
}

fn world(ddl: &str, role: &str) -> World<'static> {
    let world = World::new("second").table(ddl).set("batch.linger_ms", 300);
    world.role(&format!("GRANT ALL ON SCHEMA public TO $role; {role}"))
}

/// Reads to the end: the only record is a dead letter with this code.
#[track_caller]
fn assert_rejected(world: &World<'_>, code: &str, case: &str) {
    let run: Output = world.config.until_end();
    let codes: Vec<Option<String>> = world.column("SELECT sqlstate FROM sink_dead_letters");
    assert_eq!((codes, world.rows()), (vec![Some(code.to_owned())], 50), "{case}: {}", run.stderr);
}

/// It waits for the operator with this reason, and makes no dead letter of the record.
#[track_caller]
fn assert_waits(world: &World<'_>, reason: &str, case: &str) {
    let sink = world.sink();
    sink.wait_not_ready(crate::evidence::PATIENCE, &[reason]);
    let retries = sink.sum("sink_retries_total");
    sink.wait_metric(crate::evidence::PATIENCE, "sink_retries_total", |n| n >= retries + 4.0);
    assert_eq!((world.dead_letters(), world.rows()), (0, 50), "{case}: {}", sink.stderr());
}

/// What is unique beside the key.
const UNIQUE: [&str; 5] = [
    "CREATE UNIQUE INDEX ON t (email);",
    "CREATE UNIQUE INDEX ON t (email) INCLUDE (v);",
    "CREATE UNIQUE INDEX ON t (lower(email));",
    "CREATE UNIQUE INDEX ON t (email) WHERE v > 0 OR v = -1;",
    "ALTER TABLE t ADD EXCLUDE (email WITH =); CREATE INDEX ON t (v);",
];

fn record(id: i32, v: i32) -> Value {
    json!({"id": id, "email": format!("e{id}"), "v": v})
}

#[test]
fn a_record_of_a_table_with_a_second_unique_index_is_decided_by_other_rows() {
    for unique in UNIQUE {
        for (when, code) in [("BEFORE", "XX000"), ("AFTER", "42P01")] {
            for (mode, id) in [("upsert", 7), ("upsert", 100), ("insert", 100), ("insert_ignore", 100)] {
                let world = world(
                    &format!(
                        "CREATE TABLE t (id int PRIMARY KEY, email text NOT NULL, v int); {unique} {ROWS} {}",
                        trigger(when, "NEW.v = -1", &raise(code))
                    ),
                    "GRANT ALL ON t TO $role",
                )
                .keyed(mode, "id");
                world.produce_json([record(id, -1)]);
                assert_rejected(&world, code, &format!("{unique} {when} {mode} {id}"));
            }
        }
    }
}

#[test]
fn rows_that_cannot_be_deleted_decide_as_well() {
    let table = "CREATE TABLE t (id int PRIMARY KEY, email text NOT NULL UNIQUE, v int);";
    let referenced = format!(
        "{table} {ROWS} CREATE TABLE u (id int REFERENCES t ON DELETE RESTRICT, email text REFERENCES t (email)); \
         INSERT INTO u SELECT id, email FROM t;"
    );
    let unprivileged = format!("{table} {ROWS}");
    // The value that fails is the only one beside the key, or in the second index itself.
    for (ddl, grants) in [(&referenced, "ALL"), (&unprivileged, "SELECT, INSERT, UPDATE")] {
        for (condition, when, value) in [
            ("NEW.v = -1", "BEFORE", json!({"v": -1})),
            ("NEW.v = -1", "AFTER", json!({"v": -1})),
            ("NEW.email = 'bad'", "BEFORE", json!({"email": "bad", "v": 1})),
        ] {
            for id in [7, 100] {
                let world = world(
                    &format!("{ddl} {}", trigger(when, condition, &raise("XX000"))),
                    &format!("GRANT {grants} ON t TO $role"),
                )
                .upsert("id");
                let mut fields = record(id, 1);
                fields.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
                world.produce_json([fields]);
                assert_rejected(&world, "XX000", &format!("{grants} {when} {condition} {id}"));
            }
        }
    }
}

#[test]
fn without_a_key_in_the_configuration_other_rows_decide_as_well() {
    for (more, when) in [
        (
            "CREATE TABLE parents AS SELECT 1 AS id; ALTER TABLE parents ADD PRIMARY KEY (id); \
          ALTER TABLE t ADD parent int DEFAULT 1 REFERENCES parents;",
            "BEFORE",
        ),
        ("CREATE INDEX ON t (v);", "BEFORE"),
        ("CREATE UNIQUE INDEX ON t (email);", "BEFORE"),
        ("", "AFTER"),
    ] {
        let world = world(
            &format!(
                "CREATE TABLE t (id int PRIMARY KEY, email text, v int); {ROWS} {more} {}",
                trigger(when, "NEW.v = -1", &raise("XX000"))
            ),
            "GRANT ALL ON t TO $role; GRANT ALL ON ALL TABLES IN SCHEMA public TO $role",
        )
        .unkeyed();
        world.produce_json([record(100, -1)]);
        assert_rejected(&world, "XX000", &format!("{more} {when}"));
    }
}

#[test]
fn what_fails_for_every_row_of_such_a_table_is_the_operators_to_fix() {
    let index = "CREATE TABLE rates (n int); \
         CREATE FUNCTION rate(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM count(*) FROM public.rates; RETURN n; END $$; \
         CREATE INDEX rates_of_t ON t (rate(v)); DROP TABLE rates;";
    // A child's trigger, which an update of the second index reaches.
    let cascade = "CREATE TABLE u (email text REFERENCES t (email) ON UPDATE CASCADE); INSERT INTO u SELECT email FROM t; \
         CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM count(*) FROM public.rates; RETURN NEW; END $$; \
         CREATE TRIGGER audit AFTER UPDATE ON u FOR EACH ROW EXECUTE FUNCTION audit(); GRANT ALL ON u TO $role;";
    let always = trigger("AFTER", "true", "PERFORM count(*) FROM public.rates");
    for (cause, id, grants) in [
        (index, 7, "ALL"),
        (index, 100, "ALL"),
        (index, 7, "SELECT, INSERT, UPDATE"),
        (index, 100, "SELECT, INSERT, UPDATE"),
        (cascade, 7, "ALL"),
        (&always, 7, "SELECT, INSERT, UPDATE"),
        (&always, 100, "SELECT, INSERT, UPDATE"),
    ] {
        let world = world(
            &format!("CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE, v int); {ROWS}"),
            &format!("GRANT {grants} ON t TO $role; {cause}"),
        )
        .upsert("id");
        world.produce_json([json!({"id": id, "email": "new", "v": 2})]);
        assert_waits(&world, "(42P01)", &format!("{cause} {id} {grants}"));
    }
}

/// It takes the way of an insert although its key exists: a trigger of inserts that is broken is broken for every row.
#[test]
fn a_trigger_of_inserts_that_fails_for_every_row_is_the_operators_where_nothing_is_read_before() {
    let world = world(
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, email text, v int); {ROWS} \
             CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM count(*) FROM public.rates; RETURN NEW; END $$; \
             CREATE TRIGGER audit BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION audit();"
        ),
        "GRANT ALL ON t TO $role",
    )
    .upsert("id")
    .set("sink.read_before_write", false);
    world.produce_json([record(7, 2)]);
    assert_waits(&world, "(42P01)", "ON CONFLICT");
}

#[test]
fn a_record_that_is_no_older_than_its_row_is_decided_by_older_rows() {
    let world = world(
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, email text, v int); {ROWS} UPDATE t SET v = 1000 WHERE id = 7; {}",
            trigger("BEFORE", "NEW.email = 'bad'", &raise("XX000"))
        ),
        "GRANT ALL ON t TO $role",
    )
    .upsert("id")
    .set("sink.version_field", "v");
    world.execute("CREATE INDEX ON t (email)");
    world.produce_json([json!({"id": 7, "email": "bad", "v": 1001})]);
    assert_rejected(&world, "XX000", "version");
}

#[test]
fn an_index_that_holds_the_key_with_another_collation_may_keep_rows_of_two_keys_apart() {
    let insensitive =
        "CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);";
    for (index, rejected) in [
        ("CREATE UNIQUE INDEX ON t (v, id)", 0),
        ("CREATE UNIQUE INDEX ON t (v) INCLUDE (id)", 1),
        ("CREATE UNIQUE INDEX ON t (v, id COLLATE insensitive)", 1),
    ] {
        let ddl = format!(
            "{insensitive} CREATE TABLE t (id text COLLATE \"C\" PRIMARY KEY, v int); {index}; \
             INSERT INTO t VALUES ('a', 1), ('A', 2), ('b', 3), ('c', 4)"
        );
        let world = World::new("second").table(&ddl).upsert("id");
        let row = |id: &str, v: i32| json!({"id": id, "v": v});
        // b and c exchange their values, one after the other, which every one of these indexes has to allow for.
        world.produce_json([row("a", 2), row("b", 5), row("c", 3), row("b", 4)]);
        let run = world.config.until_end();
        assert_eq!(world.dead_letters(), rejected, "{index}: {}", run.stderr);
        let rows: Vec<String> = world.column("SELECT id || v FROM t ORDER BY id");
        let a = if rejected == 0 { "a2" } else { "a1" };
        assert_eq!(rows, ["A2", a, "b4", "c3"], "{index}");
    }
}
