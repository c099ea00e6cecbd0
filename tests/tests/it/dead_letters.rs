//! The table of dead letters: nothing commits without it, and `dead-letters` lists, replays and discards what is in it.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);

fn good(id: i32) -> Record {
    Record::json(&json!({"id": id, "n": id}))
}

fn bad(id: i32, n: &str) -> Record {
    Record::keyed(format!("k{id}"), json!({"id": id, "n": n}).to_string()).header("h", b"\xff".to_vec())
}

fn world(name: &str, ddl: &str) -> World<'static> {
    World::new(name).table(ddl).upsert("id")
}

/// Writes what there is, in a run to the end of the topic.
#[track_caller]
fn write(world: &World<'_>, records: impl IntoIterator<Item = Record>) {
    world.produce(records);
    world.config.finish(&["run", "--until-end"], PATIENCE).expect_code(0);
}

/// `dead-letters ARGS… --output json`
#[track_caller]
fn command(world: &World<'_>, args: &[&str]) -> Value {
    let args = [&["dead-letters"], args, &["--output", "json"]].concat();
    let done = world.config.finish(&args, PATIENCE);
    // A replay after which dead letters still fail exits with 3.
    assert!(matches!(done.code, Some(0 | 3)), "{:?}: {}", done.code, done.stderr);
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout))
}

const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY, n int)";

/// After `breaks`, nothing commits and /readyz holds `words`; after `fixes`, everything is there. `$role` in both is the
/// sink's role, which is not a superuser if `role` is set.
#[track_caller]
fn waits_for_its_table(name: &str, role: bool, breaks: &str, words: &str, fixes: &str) {
    let mut world = world(name, DDL);
    if role {
        world = world.role("GRANT ALL ON t TO $role; GRANT ALL ON SCHEMA public TO $role");
    }
    let sink = world.sink();
    world.produce((0..10).map(good));
    world.wait_rows(PATIENCE, 10);
    world.execute(breaks);
    world.produce((10..15).map(good).chain([bad(15, "many")]));
    sink.wait_not_ready(PATIENCE, &["dead letters cannot be stored in table", words]);
    let failed = sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= 1.0);
    sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= failed + 1.0);
    assert_eq!((world.rows(), world.position()), (10, 10), "nothing has been committed");
    world.execute(fixes);
    wait::until(PATIENCE, "the rest", || (world.rows(), world.position()) == (15, 16));
    assert_eq!(world.dead_letters(), 1);
    sink.wait_ready(PATIENCE);
    assert_eq!(sink.assert_accounted(), 16);
}

#[test]
fn nothing_commits_while_the_table_of_dead_letters_is_missing_and_it_is_created_once_that_is_allowed() {
    waits_for_its_table(
        "letterless",
        true,
        "DROP TABLE sink_dead_letters; REVOKE CREATE ON SCHEMA public FROM $role",
        "does not exist (42P01)",
        "GRANT CREATE ON SCHEMA public TO $role",
    );
}

#[test]
fn nothing_commits_while_the_table_of_dead_letters_may_not_be_written() {
    waits_for_its_table(
        "unprivileged",
        true,
        "ALTER TABLE sink_dead_letters OWNER TO postgres; REVOKE ALL ON sink_dead_letters FROM $role",
        "permission denied for table sink_dead_letters (42501)",
        "GRANT INSERT, SELECT, UPDATE ON sink_dead_letters TO $role",
    );
}

#[test]
fn nothing_commits_while_the_table_of_dead_letters_refuses_a_row() {
    waits_for_its_table(
        "choosy",
        false,
        "ALTER TABLE sink_dead_letters ADD CONSTRAINT choosy CHECK (reason <> 'wrong_type')",
        "choosy",
        "ALTER TABLE sink_dead_letters DROP CONSTRAINT choosy",
    );
}

#[test]
fn dead_letters_are_listed_by_every_filter_and_discarded_only_with_execute() {
    let world = world("listed", DDL);
    write(&world, [good(0), bad(1, "many"), Record::new("{"), good(3), bad(4, "few")]);
    let list = command(&world, &["list"]);
    assert_eq!(list["total"], 3);
    let first = &list["dead_letters"][0];
    assert_eq!((&first["topic"], &first["offset"]), (&json!(world.topic()), &json!(1)));
    assert_eq!((&first["reason"], &first["key"]), (&json!("wrong_type"), &json!("k1")));
    assert_eq!(first["payload"], json!({"id": 1, "n": "many"}).to_string());
    assert_eq!(first["headers"], json!([{"name": "h", "value": {"hex": "ff"}}]));
    let topic = world.topic();
    for (filter, total) in [
        (vec!["--topic", topic], 3),
        (vec!["--partition", "0"], 3),
        (vec!["--partition", "1"], 0),
        (vec!["--offset", "2"], 1),
        (vec!["--reason", "wrong_type"], 2),
        (vec!["--reason", "wrong_type", "--offset", "2"], 0),
        (vec!["--since", "1h"], 3),
        (vec!["--since", "2199-01-01T00:00:00Z"], 0),
    ] {
        let list = command(&world, &[&["list"], filter.as_slice()].concat());
        assert_eq!(list["total"], total, "{filter:?}");
        assert_eq!(list["dead_letters"].as_array().map(Vec::len), Some(total), "{filter:?}");
    }
    let text = world.config.finish(&["dead-letters", "list", "--limit", "1"], PATIENCE).expect_code(0).stdout;
    assert!(text.contains(&format!("{topic}[0] at offset 1")) && text.contains("wrong_type: "), "{text}");
    assert!(text.contains("3 dead letters, 2 of them not shown"), "{text}");

    let dry =
        world.config.finish(&["dead-letters", "discard", "--reason", "wrong_type"], PATIENCE).expect_code(0);
    assert!(
        dry.stdout.contains("2 dead letters\nNothing was deleted. Run again with --execute"),
        "{}",
        dry.stdout
    );
    assert_eq!(world.dead_letters(), 3);
    assert_eq!(command(&world, &["discard", "--reason", "wrong_type", "--execute"])["discarded"], 2);
    assert_eq!(world.dead_letters(), 1);
    assert_eq!((world.rows(), world.position()), (2, 5), "rows and positions are as they were");
    // Dead letters of another connector stay.
    let other = world.config.clone().name("another");
    let args = ["dead-letters", "discard", "--execute", "--output", "json"];
    assert!(other.finish(&args, PATIENCE).expect_code(0).stdout.contains("\"discarded\": 0"));
}

#[test]
fn a_replay_writes_what_passes_now_and_leaves_the_rest_with_its_new_reason() {
    let world = world("replayed", DDL).set("errors.breaker_ratio", 1.0);
    // More than one batch of them, and one that no table helps.
    let refused = |id: i32| if id == 700 { Record::new("{") } else { bad(id, "many") };
    write(&world, (0..100).map(good).chain((100..800).map(refused)).chain((800..1_000).map(good)));
    assert_eq!((world.rows(), world.dead_letters()), (300, 700));
    assert_eq!(command(&world, &["replay"])["failed"], 700, "nothing has been fixed");
    assert_eq!((world.rows(), world.dead_letters()), (300, 700));

    world.execute("ALTER TABLE t ALTER COLUMN n TYPE varchar(4)");
    world.execute(
        "UPDATE sink_dead_letters SET payload = '{\"id\": 150, \"n\": \"too many\"}' WHERE \"offset\" = 150",
    );
    let replayed = command(&world, &["replay", "--reason", "wrong_type"]);
    assert_eq!((&replayed["rows_written"], &replayed["failed"]), (&json!(698), &json!(1)), "{replayed}");
    let left = command(&world, &["list"]);
    let left: Vec<_> =
        left["dead_letters"].as_array().unwrap().iter().map(|l| (&l["offset"], &l["reason"])).collect();
    assert_eq!(left, [(&json!(150), &json!("too_long")), (&json!(700), &json!("invalid_json"))]);
    assert_eq!((world.rows(), world.position()), (998, 1_000));
    // What is left keeps its bytes, key and headers.
    let row = world
        .client()
        .query_one("SELECT key, headers::text FROM sink_dead_letters WHERE \"offset\" = 150", &[]);
    let row = row.unwrap();
    assert_eq!(row.get::<_, Vec<u8>>(0), b"k150");
    assert_eq!(row.get::<_, &str>(1), "[{\"name\": \"h\", \"value\": {\"hex\": \"ff\"}}]");
}

#[test]
fn dead_letters_are_replayed_one_by_one_where_the_server_still_refuses_some() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, n int CONSTRAINT strict CHECK (n >= 0))";
    let world = world("replayed_refused", ddl);
    let n = |id: i32| if id % 10 == 7 { -1 - id / 70 } else { id };
    write(&world, (0..100).map(|id| Record::json(&json!({"id": id, "n": n(id)}))));
    let list = command(&world, &["list", "--reason", "refused"]);
    assert_eq!((&list["total"], world.rows(), world.position()), (&json!(10), 90, 100));
    let first = &list["dead_letters"][0];
    assert_eq!((&first["sqlstate"], &first["constraint"]), (&json!("23514"), &json!("strict")));
    // Those from offset 77 on hold -2: they fail again, for another reason.
    world.execute("ALTER TABLE t DROP CONSTRAINT strict, ADD CONSTRAINT milder CHECK (n >= -1)");
    let replayed = command(&world, &["replay"]);
    assert_eq!((&replayed["rows_written"], &replayed["failed"]), (&json!(7), &json!(3)), "{replayed}");
    let left = command(&world, &["list"]);
    let left: Vec<_> = left["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dead_letter| {
            (dead_letter["offset"].as_i64().unwrap(), dead_letter["constraint"].as_str().unwrap())
        })
        .collect();
    assert_eq!(left, [(77, "milder"), (87, "milder"), (97, "milder")]);
    assert_eq!((world.rows(), world.position()), (97, 100), "positions are as they were");
}

#[test]
fn a_dead_letter_that_still_meets_a_configuration_error_does_not_block_the_replay_of_others() {
    let world = world(
        "stumbling",
        "CREATE TABLE t (id int PRIMARY KEY, n int); \
         CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.n < 0 THEN PERFORM 1 FROM missing; ELSIF NEW.n = 7 THEN RAISE EXCEPTION 'no'; END IF; \
           RETURN NEW; END $$; \
         CREATE TRIGGER stumble BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stumble()",
    );
    let n = |id: i32| match id {
        3 => -1,
        id if id % 5 == 0 => 7,
        id => id + 100,
    };
    write(&world, (0..20).map(|id| Record::json(&json!({"id": id, "n": n(id)}))));
    assert_eq!((world.rows(), world.dead_letters()), (15, 5));
    let fix = "CREATE OR REPLACE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF NEW.n < 0 THEN PERFORM 1 FROM missing; END IF; RETURN NEW; END $$";
    world.execute(fix);
    let replayed = command(&world, &["replay"]);
    assert_eq!((&replayed["rows_written"], &replayed["failed"]), (&json!(4), &json!(1)), "{replayed}");
    let left = command(&world, &["list"]);
    assert_eq!(
        (&left["total"], &left["dead_letters"][0]["sqlstate"]),
        (&json!(1), &json!("42P01")),
        "{left}"
    );
    assert_eq!(world.rows(), 19);
}

#[test]
fn a_single_dead_letter_that_meets_a_configuration_error_stays_with_its_new_reason() {
    let world = world(
        "lonely",
        "CREATE TABLE t (id int PRIMARY KEY, n int); \
         CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
         CREATE TRIGGER stumble BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stumble()",
    );
    write(&world, [good(1)]);
    let replayed = |body: &str| {
        let change = format!(
            "CREATE OR REPLACE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$"
        );
        world.execute(&change);
        let replayed = command(&world, &["replay"]);
        let left = command(&world, &["list"]);
        (replayed["failed"].clone(), left["total"].clone(), left["dead_letters"][0]["sqlstate"].clone())
    };
    assert_eq!(replayed("RAISE EXCEPTION 'still no'"), (json!(1), json!(1), json!("P0001")));
    assert_eq!(replayed("PERFORM 1 FROM missing"), (json!(1), json!(1), json!("42P01")));
    assert_eq!(replayed("NULL"), (json!(0), json!(0), Value::Null));
    assert_eq!(world.rows(), 1);
}

#[test]
fn replays_that_run_in_parallel_or_are_killed_write_every_dead_letter_once() {
    let world = World::new("replayed_in_parallel")
        .table("CREATE TABLE t (id int, n int)")
        .unkeyed()
        .set("errors.breaker_ratio", 1.0);
    write(&world, (0..5_000).map(|id| bad(id, "many")));
    assert_eq!((world.rows(), world.dead_letters()), (0, 5_000));
    world.execute("ALTER TABLE t ALTER COLUMN n TYPE text");
    // Held inside its first transaction, and killed there.
    let hold = world.hold("LOCK TABLE t IN SHARE MODE");
    let killed = world.config.start(&["dead-letters", "replay"]);
    let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait::until(PATIENCE, "the replay waits", || world.count(waiting) == 1);
    killed.sigkill();
    hold.release();
    wait::until(PATIENCE, "its session is gone", || world.count(waiting) == 0);
    let replays: Vec<_> = (0..3).map(|_| world.config.start(&["dead-letters", "replay"])).collect();
    replays.iter().for_each(|replay| drop(replay.wait(PATIENCE).expect_code(0)));
    assert_eq!((world.rows(), world.one::<i64>("SELECT count(DISTINCT id) FROM t")), (5_000, 5_000));
    assert_eq!(world.dead_letters(), 0);
}

#[test]
fn the_command_refuses_dead_letters_that_are_in_a_topic() {
    let config = world("elsewhere", DDL)
        .config
        .set("errors.dead_letters", "topic")
        .set("errors.dead_letter_topic", "refused");
    let run = config.finish(&["dead-letters", "list"], PATIENCE).expect_code(2);
    assert!(run.stderr.contains("the dead letters are in the Kafka topic refused"), "{}", run.stderr);
}
