//! `errors.tolerance = "none"`: the sink stops before the first rejected record of a partition, and says which it is.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Output, Record, World};

const PATIENCE: Duration = Duration::from_secs(60);

fn good(id: i32) -> Record {
    Record::json(&json!({"id": id, "n": id}))
}

/// A topic of one partition with two bad records among good ones, at offsets 700 and 900. The table takes no negative n.
fn world(name: &str, bad: impl Into<Value>) -> World<'static> {
    let bad = bad.into();
    let world = World::new(name)
        .table("CREATE TABLE t (id int PRIMARY KEY, n int CONSTRAINT positive CHECK (n >= 0))")
        .upsert("id")
        .set("errors.tolerance", "none");
    let record = |id: i32| match id {
        700 | 900 => Record::json(&json!({"id": id, "n": bad})),
        _ => good(id),
    };
    world.produce((0..1_000).map(record));
    world
}

/// It ended with exit code 4, everything before the record is written, and the error names it.
#[track_caller]
fn assert_stopped_before(run: Output, world: &World<'_>, offset: i64, why: &str) {
    let run = run.expect_code(4);
    assert_eq!((world.rows(), world.position()), (offset, offset));
    assert_eq!(world.dead_letters(), 0);
    let partition = format!("{}[0]", world.topic());
    let at = format!("offset {offset}");
    for word in [partition.as_str(), &at, why, "tolerance = \"all\"", "offsets reset"] {
        assert!(run.stderr.contains(word), "{word} is not in\n{}", run.stderr);
    }
}

#[test]
fn a_bounded_run_stops_before_the_first_rejected_record_with_exit_code_4() {
    let world = world("intolerant", "many");
    let bounded = ["run", "--until-end", "--summary", "json"];
    let run = world.config.finish(&bounded, PATIENCE);
    assert_eq!((run.count("records"), run.count("rows_written")), (700, 700));
    assert_eq!(run.summary()["stopped_by"], "error_policy");
    assert_stopped_before(run, &world, 700, "wrong_type");
    // Again: nothing has changed, and nothing moves.
    assert_stopped_before(world.config.finish(&bounded, PATIENCE), &world, 700, "wrong_type");
    // The table is fixed, and the run comes to the end.
    world.execute("ALTER TABLE t DROP CONSTRAINT positive, ALTER COLUMN n TYPE text");
    let run = world.config.finish(&bounded, PATIENCE).expect_code(0);
    assert_eq!(run.count("rows_written"), 300);
    assert_eq!((world.rows(), world.position()), (1_000, 1_000));
}

#[test]
fn the_records_before_a_rejected_record_are_written_in_parts_if_they_take_too_long() {
    let world = world("intolerant", "many");
    // The server is slow from the second attempt on, when the record has been found: 700 rows take 2.8 s.
    world.execute(
        "CREATE SEQUENCE attempts; \
         CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
           $$ BEGIN IF nextval('attempts') > 998 THEN PERFORM pg_sleep(0.004); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER dawdle BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dawdle()",
    );
    let world = world.role(
        "GRANT ALL ON t TO $role; GRANT ALL ON SCHEMA public TO $role; \
         ALTER ROLE $role SET statement_timeout = '1500ms'",
    );
    let run = world.config.finish(&["run", "--until-end"], PATIENCE);
    assert!(run.stderr.contains("statement timeout"), "it took too long: {}", run.stderr);
    assert_stopped_before(run, &world, 700, "wrong_type");
}

#[test]
fn a_run_without_end_stops_before_the_first_rejected_record_with_exit_code_4() {
    let world = world("intolerant_service", "many");
    // Batches of many sizes: the record is the first of one, and in the middle of another.
    for rows in [100, 5_000] {
        world.execute("TRUNCATE t; DROP TABLE IF EXISTS sink_offsets");
        let config =
            world.config.clone().group(&tests::names::unique("intolerant")).set("batch.max_rows", rows);
        assert_stopped_before(config.finish(&["run"], PATIENCE), &world, 700, "wrong_type");
    }
}

#[test]
fn a_record_that_the_server_refuses_stops_the_sink_until_the_constraint_is_dropped() {
    let world = world("intolerant_server", -1);
    let bounded = ["run", "--until-end", "--summary", "json"];
    assert_stopped_before(world.config.finish(&bounded, PATIENCE), &world, 700, "positive");
    world.execute("ALTER TABLE t DROP CONSTRAINT positive");
    let run = world.config.finish(&bounded, PATIENCE).expect_code(0);
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (300, 0));
    assert_eq!((world.rows(), world.position()), (1_000, 1_000));
}

#[test]
fn the_records_before_a_rejected_record_are_written_in_each_partition() {
    let world = World::new("intolerant_partitions")
        .partitions(3)
        .table("CREATE TABLE t (id int PRIMARY KEY, n int)")
        .upsert("id")
        .set("errors.tolerance", "none")
        // All three partitions are in one batch.
        .set("postgres.writers", 1)
        .set("batch.linger_ms", 3_000);
    let bad = |partition: i32| Record::new("{").partition(partition);
    let records = (0..30).map(|id| good(id).partition(id % 3)).chain([bad(0), bad(1)]);
    world.produce(records.chain((30..60).map(|id| good(id).partition(id % 3))));
    let run = world.config.finish(&["run", "--max-records", "62"], PATIENCE).expect_code(4);
    assert_eq!(world.positions().into_values().collect::<Vec<_>>(), [10, 10, 20]);
    assert_eq!(world.rows(), 40);
    for partition in [0, 1] {
        assert!(
            run.stderr.contains(&format!("{}[{partition}] at offset 10", world.topic())),
            "{}",
            run.stderr
        );
    }
}
