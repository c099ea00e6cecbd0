//! `dead-letters` and `check` say what to do about rejected records, by the cause of each.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Output, World};

const LONG: Duration = Duration::from_secs(60);
const DDL: &str =
    "CREATE TABLE t (id int PRIMARY KEY, n smallint, name varchar(5), age int CHECK (age >= 0))";

fn world() -> World<'static> {
    let world = World::new("groups").table(DDL).upsert("id").set("errors.breaker_ratio", 1.0);
    let long = "x".repeat(3_000);
    world.produce_json([
        json!({"id": 1, "n": 1}),
        json!({"id": 2, "n": 40_000}),
        json!({"id": 3, "n": 5_000_000_000_i64}),
        json!({"id": 4, "age": -1}),
        json!({"id": 5, "age": -2}),
        json!({"id": 6, "age": "abc", "other": long}),
        json!({"id": 7, "name": "longer"}),
    ]);
    world
}

fn run(world: &World<'_>, args: &[&str]) -> Output {
    world.config.finish(&[&["dead-letters"], args].concat(), LONG)
}

#[track_caller]
fn assert_has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn the_list_is_grouped_by_reason_with_counts_and_what_to_do() {
    let world = world();
    world.config.finish(&["run", "--until-end"], LONG).expect_code(0);
    let text = run(&world, &["list"]).expect_code(0).stdout;
    assert_has(
        &text,
        &[
            "out_of_range: 2\n  -> correct the producer, or ALTER TABLE \"t\" ALTER COLUMN \"n\" TYPE bigint\n",
            "refused (23514 t_age_check): 2\n  -> the row violates the CHECK constraint \"t_age_check\"",
            "wrong_type: 1\n  -> correct the producer, or the type of column \"age\"\n",
            "too_long: 1\n  -> correct the producer, or ALTER TABLE \"t\" ALTER COLUMN \"name\" TYPE text\n",
            "6 dead letters\n",
        ],
    );
    assert!(!text.contains("xxx"), "no payload: {text}");
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest < 400, "{longest}: {text}");

    let with_payload = run(&world, &["list", "--payload", "--reason", "wrong_type"]).expect_code(0).stdout;
    assert_has(&with_payload, &["    {\"age\":\"abc\"", "xxx", "…\n", "1 dead letter\n"]);

    let limited = run(&world, &["list", "--limit", "1"]).expect_code(0).stdout;
    assert_has(&limited, &["refused (23514 t_age_check): 2\n", "6 dead letters, 5 of them not shown"]);
    let list: Value = serde_json::from_str(&run(&world, &["list", "--output", "json"]).stdout).unwrap();
    assert_eq!((&list["total"], list["dead_letters"].as_array().map(Vec::len)), (&json!(6), Some(6)));
    assert_eq!(list["groups"][0]["count"], 2);
    assert!(list["dead_letters"][4]["payload"].as_str().unwrap().contains("xxx"));

    // The statement takes the values.
    world.execute("ALTER TABLE t ALTER COLUMN n TYPE bigint");
    run(&world, &["replay", "--reason", "out_of_range"]).expect_code(0);
    assert_eq!(world.rows(), 3);
}

#[test]
fn a_replay_says_why_those_fail_that_still_fail_and_exits_with_3() {
    let world = world();
    world.config.finish(&["run", "--until-end"], LONG).expect_code(0);
    world.execute("ALTER TABLE t ALTER COLUMN name TYPE text");
    let replayed = run(&world, &["replay"]).expect_code(3).stdout;
    let topic = world.topic();
    assert_has(
        &replayed,
        &[
            "1 row written, 0 deleted, 0 records skipped, 5 dead letters still fail",
            &format!(
                "out_of_range: 2, the first {topic}[0] at offset 1: field \"n\": out of range for smallint, got 40000 -> "
            ),
            "ALTER COLUMN \"n\" TYPE bigint",
            "refused (23514 t_age_check): 2, the first",
            "wrong_type: 1, the first",
        ],
    );
    let again = run(&world, &["replay", "--reason", "refused", "--output", "json"]).expect_code(3).stdout;
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["failed"], &again["failures"][0]["count"]), (&json!(2), &json!(2)));
    assert_eq!(again["failures"][0]["constraint"], "t_age_check");
    world.execute("ALTER TABLE t DROP CONSTRAINT t_age_check");
    run(&world, &["replay", "--reason", "refused"]).expect_code(0);
}

#[test]
fn topics_and_reasons_that_do_not_exist_are_refused_with_those_that_do() {
    let world = world();
    world.config.finish(&["run", "--until-end"], LONG).expect_code(0);
    for command in [&["list"] as &[&str], &["replay"], &["discard", "--execute"]] {
        let refused = run(&world, &[command, &["--reason", "wrong_typ"]].concat()).expect_code(2).stderr;
        assert_has(&refused, &["--reason wrong_typ", "wrong_type", "out_of_range"]);
        let refused = run(&world, &[command, &["--topic", "another"]].concat()).expect_code(2).stderr;
        assert_has(&refused, &["--topic another", world.topic()]);
    }
    assert_eq!(world.dead_letters(), 6);
    // A topic that is not read any more, but has dead letters.
    let former = world.config.clone().topic("new_topic");
    let list = former.finish(&["dead-letters", "list", "--topic", world.topic()], LONG).expect_code(0);
    assert!(list.stdout.contains("6 dead letters"), "{}", list.stdout);
}

#[test]
fn check_gives_the_same_hints() {
    let world = world();
    let text = world.config.finish(&["check"], LONG).stdout;
    assert_has(
        &text,
        &[
            "(out_of_range)",
            "-> correct the producer, or ALTER TABLE \"t\" ALTER COLUMN \"n\" TYPE bigint",
            "-> the row violates the CHECK constraint \"t_age_check\"",
        ],
    );
}
