//! A trigger raises an error of its choice. With a code of the surroundings', it is retried at first; if it stays, evidence
//! decides, as for any other error that may be a record's.

use serde_json::json;
use tests::World;

use crate::evidence::PATIENCE;

/// All of them are codes that the server raises for reasons of its own.
const CODES: &str =
    "2200H 40001 40P01 53100 55P03 57014 57P01 08006 25006 25P03 26000 28000 3D000 53400 55006";

fn trigger(condition: &str, stumble: &str) -> String {
    format!(
        "CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF {condition} THEN {stumble}; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER stumble BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stumble();"
    )
}

fn raise(code: &str) -> String {
    format!("RAISE EXCEPTION 'stumbled' USING ERRCODE = '{code}'")
}

fn record(id: i32, v: i32) -> serde_json::Value {
    json!({"id": id, "v": v})
}

#[test]
fn an_error_that_a_trigger_raises_for_one_record_of_ten_rejects_it_whatever_its_code() {
    let codes: Vec<&str> = CODES.split_whitespace().collect();
    // Each in a sink of its own; they wait at the same time.
    std::thread::scope(|scope| {
        for group in codes.chunks(5) {
            scope.spawn(move || {
                for code in group {
                    let table = "CREATE TABLE t (id int PRIMARY KEY, v int);";
                    let world = World::new("raised")
                        .table(&format!("{table} {}", trigger("NEW.v = -1", &raise(code))))
                        .upsert("id")
                        .set("batch.linger_ms", 300);
                    world.produce_json((0..10).map(|id| record(id, if id == 4 { -1 } else { id })));
                    let run = world.config.until_end();
                    let found: Vec<Option<String>> = world.column("SELECT sqlstate FROM sink_dead_letters");
                    assert_eq!((found, world.rows()), (vec![Some((*code).to_owned())], 9), "{}", run.stderr);
                }
            });
        }
    });
}

#[test]
fn an_error_of_the_server_that_only_one_record_of_ten_meets_rejects_it() {
    let deeds = [
        ("55006", "EXECUTE 'ALTER TABLE t ADD COLUMN w int'"),
        (
            "53400",
            "SET LOCAL work_mem = '64kB'; SET LOCAL temp_file_limit = '64kB'; \
             PERFORM count(*) FROM (SELECT n FROM generate_series(1, 500000) n ORDER BY -n) s",
        ),
        ("25006", "SET LOCAL transaction_read_only = on; INSERT INTO other VALUES (1)"),
    ];
    std::thread::scope(|scope| {
        for (code, deed) in deeds {
            scope.spawn(move || {
                let table = "CREATE TABLE other (n int); CREATE TABLE t (id int PRIMARY KEY, v int);";
                let world = World::new("raised")
                    .table(&format!("{table} {}", trigger("NEW.v = -1", deed)))
                    .upsert("id")
                    .set("batch.linger_ms", 300);
                world.produce_json((0..10).map(|id| record(id, if id == 4 { -1 } else { id })));
                let run = world.config.until_end();
                let found: Vec<Option<String>> = world.column("SELECT sqlstate FROM sink_dead_letters");
                assert_eq!((found, world.rows()), (vec![Some(code.to_owned())], 9), "{}", run.stderr);
            });
        }
    });
}

#[test]
fn a_trigger_that_changes_the_search_path_or_the_role_hides_no_table_of_the_sink() {
    for deed in ["SET LOCAL search_path = app", "SET LOCAL ROLE low"] {
        let ddl = "CREATE SCHEMA app; CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v <> 7)); \
                   DO $$ BEGIN CREATE ROLE low; EXCEPTION WHEN duplicate_object THEN NULL; END $$;";
        for condition in ["true", "NEW.id = 3"] {
            let world = World::new("raised")
                .table(&format!("{ddl} {}", trigger(condition, deed)))
                .upsert("id")
                .set("batch.linger_ms", 300);
            world.produce_json((0..10).map(|id| record(id, id)));
            let run = world.config.until_end();
            assert_eq!((world.dead_letters(), world.rows()), (1, 9), "{deed} {condition}: {}", run.stderr);
        }
    }
}

#[test]
fn an_assertion_that_fails_for_one_record_alone_is_decided_by_a_row_of_the_table() {
    for stumble in ["ASSERT false, 'no'", &raise("53100")] {
        let world = World::new("raised")
            .table(&format!(
                "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; {}",
                trigger("NEW.v = -1", stumble)
            ))
            .upsert("id");
        world.produce_json([record(100, -1)]);
        let run = world.config.until_end();
        assert_eq!((world.dead_letters(), world.rows()), (1, 50), "{stumble}: {}", run.stderr);
    }
}

#[test]
fn an_error_that_passes_is_retried_and_rejects_nothing() {
    // The sequence counts attempts, also those that are rolled back.
    let condition = "NEW.v = -1 AND nextval('attempts') < 4";
    let world = World::new("raised")
        .table(&format!(
            "CREATE SEQUENCE attempts; CREATE TABLE t (id int PRIMARY KEY, v int); {}",
            trigger(condition, &raise("40001"))
        ))
        .upsert("id")
        .set("batch.linger_ms", 300);
    world.produce_json((0..10).map(|id| record(id, if id == 4 { -1 } else { id })));
    let run = world.config.until_end();
    assert_eq!((world.dead_letters(), world.rows()), (0, 10), "{}", run.stderr);
    assert_eq!(world.one::<i64>("SELECT last_value FROM attempts"), 4);
}

#[test]
fn an_error_that_a_trigger_raises_for_every_row_is_waited_for() {
    for code in ["40001", "53100", "28000", "2200H"] {
        let world = World::new("raised")
            .table(&format!(
                "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; {}",
                trigger("true", &raise(code))
            ))
            .upsert("id");
        world.produce_json((100..110).map(|id| record(id, id)));
        let sink = world.sink();
        sink.wait_not_ready(PATIENCE, &[&format!("({code})")]);
        sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= 8.0);
        assert_eq!((world.dead_letters(), world.rows()), (0, 50), "{code}: {}", sink.stderr());
        world.execute("DROP TRIGGER stumble ON t");
        world.wait_rows(PATIENCE, 60);
        assert_eq!(world.dead_letters(), 0);
    }
}

#[test]
fn such_an_error_beside_another_table_parks_its_own_and_is_decided_there() {
    for code in ["40001", "53100"] {
        let ddl =
            "CREATE TABLE sound (id int PRIMARY KEY, v int); CREATE TABLE t (id int PRIMARY KEY, v int);";
        let mut world = World::new("raised")
            .topics(2)
            .table(&format!("{ddl} {}", trigger("NEW.v = -1", &raise(code))))
            .upsert("id")
            .set("postgres.writers", 1)
            .set("batch.linger_ms", 300);
        let (sick, sound) = (world.topics[0].clone(), world.topics[1].clone());
        world.config = world.config.topic_set(&sound, "table", "sound");
        for topic in [&sick, &sound] {
            let v = |id| if *topic == sick && id == 4 { -1 } else { id };
            world.kafka.produce(topic, (0..10).map(|id| tests::Record::json(&record(id, v(id)))));
        }
        let sink = world.sink();
        tests::wait::holds(PATIENCE, "the sound table", || world.count("sound"), |rows| *rows == 10);
        // More of it is written meanwhile.
        for n in 0..20 {
            world.kafka.produce(&sound, [tests::Record::json(&record(100 + n, n))]);
            tests::wait::holds(PATIENCE, "sound", || world.count("sound"), |rows| *rows == i64::from(11 + n));
        }
        world.wait_rows(PATIENCE, 9);
        sink.wait_ready(PATIENCE);
        assert_eq!(world.dead_letters(), 1, "{code}: {}", sink.stderr());
        assert_eq!(sink.assert_accounted(), 40);
    }
}

#[test]
fn a_real_deadlock_timeout_or_cancellation_never_counts_against_a_record() {
    // A trigger waits for a lock on behalf of one record: what the server raises is the surroundings'.
    let world = World::new("raised")
        .table(&format!(
            "CREATE TABLE locked (id int); CREATE TABLE t (id int PRIMARY KEY, v int); \
             INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; {}",
            trigger("NEW.v = -1", "SET LOCAL lock_timeout = '50ms'; LOCK TABLE locked")
        ))
        .upsert("id")
        .set("batch.linger_ms", 300);
    let lock = world.hold("LOCK TABLE locked");
    world.produce_json((100..110).map(|id| record(id, if id == 104 { -1 } else { id })));
    let sink = world.sink();
    sink.wait_not_ready(PATIENCE, &["(55P03)"]);
    sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= 8.0);
    assert_eq!((world.dead_letters(), world.rows()), (0, 50), "{}", sink.stderr());
    lock.release();
    world.wait_rows(PATIENCE, 60);
    assert_eq!(world.dead_letters(), 0);
}
