//! The tables that the sink makes for itself, when somebody else has a table of that name: it says so, and leaves it as it is.

use std::time::Duration;

use serde_json::json;
use tests::scratch::Scratch;
use tests::{Record, World, wait};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_table_of_somebody_else_is_named_and_left_as_it_is() {
    for key in ["offsets.table", "errors.dead_letter_table"] {
        let world = World::new("foreign")
            .table("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE payroll (name text, amount int)")
            .upsert("id")
            .set(key, "payroll");
        world.produce([Record::json(&json!({"id": 1}))]);
        let sink = world.sink();
        let answer = || sink.get("/readyz").map_err(|error| error.to_string());
        wait::holds(LONG, "/readyz names the table", answer, |answer| {
            answer.as_ref().is_ok_and(|(status, body)| {
                *status == 503 && body.contains(key) && body.contains("its columns are name, amount")
            })
        })
        .unwrap();
        let columns: String = world.one(
            "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute \
             WHERE attrelid = 'payroll'::regclass AND attnum > 0 AND NOT attisdropped",
        );
        assert_eq!(columns, "name amount", "{key}");
        assert_eq!(world.rows(), 0);
    }
}

#[test]
fn a_ddl_file_that_creates_another_table_leaves_nothing_and_its_cause_stays() {
    let world = World::new("other_table").table("").upsert("id");
    let dir = Scratch::new("ddl").unwrap();
    let file = dir.path().join("t.sql");
    std::fs::write(&file, "CREATE TABLE another (id int PRIMARY KEY); CREATE INDEX ON another (id)").unwrap();
    let world = world.set("sink.ddl_file", file.to_str().unwrap());
    world.produce([Record::json(&json!({"id": 1}))]);
    let sink = world.sink();
    let cause = &["does not create table t: correct sink.table or the file"];
    sink.wait_not_ready(LONG, cause);
    // At least two further attempts.
    let attempts = || sink.stderr().matches("creating the missing table").count();
    wait::holds(LONG, "it is tried again", attempts, |attempts| *attempts >= 3);
    sink.wait_not_ready(LONG, cause);
    assert_eq!(world.count("pg_class WHERE relname LIKE 'another%'"), 0);
    std::fs::write(&file, "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    drop(sink);
    world.config.until_end();
    assert_eq!(world.rows(), 1);
}

#[test]
fn a_ddl_file_that_changes_the_session_creates_its_table_and_changes_nothing_else() {
    for set in ["SELECT pg_catalog.set_config('search_path', '', false)", "SET search_path = pg_catalog"] {
        let world = World::new("dumped").table("").upsert("id");
        let dir = Scratch::new("ddl").unwrap();
        let file = dir.path().join("t.sql");
        std::fs::write(
            &file,
            format!("{set}; CREATE TABLE public.t (id int PRIMARY KEY) -- as pg_dump does"),
        )
        .unwrap();
        let world = world.set("sink.ddl_file", file.to_str().unwrap());
        world.config.finish(&["check"], LONG).expect_code(0);
        let run = world.drain([Record::json(&json!({"id": 1}))]);
        assert_eq!(world.rows(), 1);
        assert!(!run.stderr.contains("WARN"), "{}", run.stderr);
    }
}
