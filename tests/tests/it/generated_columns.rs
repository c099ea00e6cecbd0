//! Keys that are identity columns, and columns that the server computes.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Output, Record, World};

const PATIENCE: Duration = Duration::from_secs(60);

fn drain(world: &World<'_>, records: &[Value]) -> Output {
    world.drain(records.iter().map(Record::json))
}

fn rows(world: &World<'_>) -> Vec<String> {
    world.column("SELECT t::text FROM t ORDER BY 1")
}

#[test]
fn a_key_that_is_always_an_identity_is_written_in_every_mode_and_way() {
    let policy = "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; CREATE POLICY p ON t \
                  USING (true)";
    for by_insert in [false, true] {
        for (mode, kept) in [("upsert", "(1,c)"), ("insert_ignore", "(1,old)"), ("insert", "(1,old)")] {
            let ddl = "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text); \
                       INSERT INTO t (v) VALUES ('old')";
            let mut world = World::new("generated").table(ddl).keyed(mode, "id");
            if by_insert {
                let grants = "GRANT ALL ON t TO $role; GRANT CREATE ON SCHEMA public TO $role";
                world = world.role(&format!("{policy}; {grants}"));
                // COPY would be refused or bypass the policy: such a table is written by INSERT.
                let mut of_role = tests::postgres::connect(world.config.postgres_url());
                let row = of_role.query_one("SELECT row_security_active('t')", &[]).unwrap();
                assert!(row.get::<_, bool>(0), "the policy applies to the sink");
            }
            drain(
                &world,
                &[
                    json!({"id": 7, "v": "a"}),
                    json!({"id": 1, "v": "b"}),
                    json!({"id": 1, "v": "c"}),
                    json!({"id": 8}),
                ],
            );
            // Again, with nothing but keys.
            let run = drain(&world, &[json!({"id": 7}), json!({"id": 9})]);
            assert_eq!(rows(&world), [kept, "(7,a)", "(8,)", "(9,)"], "{mode}, by INSERT: {by_insert}");
            assert_eq!(run.count("dead_letters"), if mode == "insert" { 1 } else { 0 }, "{mode}");
        }
    }
}

#[test]
fn an_identity_outside_the_key_gets_its_values_from_its_sequence() {
    let ddl = "CREATE TABLE t (n bigint GENERATED ALWAYS AS IDENTITY, id int PRIMARY KEY, v text)";
    let world = World::new("generated").table(ddl).upsert("id");
    drain(&world, &[json!({"id": 1, "n": 50, "v": "a"}), json!({"id": 2, "v": "b"})]);
    drain(&world, &[json!({"id": 1, "n": 60, "v": "c"})]);
    assert_eq!(rows(&world), ["(1,1,c)", "(2,2,b)"]);
}

#[test]
fn a_generated_column_is_called_what_it_is() {
    let ddl =
        "CREATE TABLE t (id int PRIMARY KEY, v text, twice int GENERATED ALWAYS AS (id * 2) STORED UNIQUE)";
    let config = World::new("generated").table(ddl).upsert("id").config;
    let of_key = config.clone().pk_fields(&["twice"]);
    let of_rename = config.clone().set("sink.rename.double", "twice");
    let of_version = config.set("sink.version_field", "twice");
    for (config, key) in [(of_key, "pk_fields"), (of_rename, "rename"), (of_version, "version_field")] {
        let check = config.finish(&["check", "--sample", "0"], PATIENCE).expect_code(1);
        let says = format!("{key} names \"twice\", which is a generated column of public.t");
        assert!(check.stdout.contains(&says), "{}", check.stdout);
    }
}
