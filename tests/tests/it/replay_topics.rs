//! `dead-letters replay` goes topic by topic: trouble with one table leaves the dead letters of its topic, not those of others.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Output, Record, SinkConfig, World};

const PATIENCE: Duration = Duration::from_secs(90);

/// Three topics with tables `a`, `b` and `c`, and ten dead letters of each that would fit now.
fn world(name: &str) -> World<'static> {
    let ddl = ["a", "b", "c"].map(|table| format!("CREATE TABLE {table} (id int PRIMARY KEY, n int);"));
    let mut world = World::new(name).topics(3).table(&ddl.concat()).upsert("id");
    for (topic, table) in world.topics.clone().into_iter().zip(["a", "b", "c"]) {
        world = world.with(|config| config.topic_set(&topic, "table", table));
        let records = (0..10).map(|id| Record::json(&json!({"id": id, "n": "many"})));
        world.kafka.produce(&topic, records);
    }
    world.config.until_end();
    assert_eq!(world.dead_letters(), 30);
    for table in ["a", "b", "c"] {
        world.execute(&format!("ALTER TABLE {table} ALTER n TYPE text"));
    }
    world
}

#[track_caller]
fn replay(config: &SinkConfig, code: i32) -> (Output, Value) {
    let output = config.finish(&["dead-letters", "replay", "--output", "json"], PATIENCE).expect_code(code);
    let report = serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", output.stdout));
    (output, report)
}

fn counts(world: &World<'_>) -> [i64; 3] {
    ["a", "b", "c"].map(|table| world.count(table))
}

/// The first topic of three cannot be written because of `breaks`, and can after `fixes`.
#[track_caller]
fn leaves_the_first_topic(name: &str, breaks: &str, fixes: &str, words: &str) {
    let world = world(name);
    let mut topics: Vec<(String, &str)> = world.topics.iter().cloned().zip(["a", "b", "c"]).collect();
    topics.sort();
    let (first, table) = &topics[0];
    world.execute(&breaks.replace("$table", table));
    let (output, report) = replay(&world.config, 1);
    assert_eq!((&report["rows_written"], &report["failed"]), (&json!(20), &json!(0)), "{report}");
    let left = &report["not_replayed"];
    assert_eq!((left.as_array().map(Vec::len), &left[0]["topic"]), (Some(1), &json!(first)), "{report}");
    assert!(left[0]["reason"].to_string().contains(words), "{report}");
    assert!(output.stderr.contains(first) && output.stderr.contains(words), "{}", output.stderr);
    assert_eq!(world.dead_letters(), 10);
    world.execute(&fixes.replace("$table", table));
    let (_, report) = replay(&world.config, 0);
    assert_eq!((&report["rows_written"], &report["not_replayed"]), (&json!(10), &json!([])), "{report}");
    assert_eq!((counts(&world), world.dead_letters()), ([10; 3], 0));
}

#[test]
fn a_missing_table_leaves_the_dead_letters_of_its_topic_only() {
    let (breaks, fixes) =
        ("ALTER TABLE $table RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO $table");
    leaves_the_first_topic("replay_missing", breaks, fixes, "does not exist");
}

#[test]
fn a_locked_table_leaves_the_dead_letters_of_its_topic_only() {
    let world = world("replay_locked");
    let lock = world.hold("LOCK TABLE b IN ACCESS EXCLUSIVE MODE");
    let (_, report) = replay(&world.config, 1);
    assert_eq!(report["rows_written"], 20, "{report}");
    assert_eq!(report["not_replayed"][0]["topic"], world.topics[1].as_str(), "{report}");
    assert!(report["not_replayed"][0]["reason"].to_string().contains("lock"), "{report}");
    lock.release();
    replay(&world.config, 0);
    assert_eq!((counts(&world), world.dead_letters()), ([10; 3], 0));
}

#[test]
fn dead_letters_of_a_topic_that_is_no_longer_read_are_left_with_exit_code_3() {
    let world = world("replay_unread");
    let read = world.config.clone().topics(&[world.topics[0].as_str(), world.topics[2].as_str()]);
    let (_, report) = replay(&read, 3);
    assert_eq!((&report["rows_written"], &report["failed"]), (&json!(20), &json!(0)), "{report}");
    assert_eq!(report["not_configured"], json!([world.topics[1]]), "{report}");
    assert_eq!((counts(&world), world.dead_letters()), ([10, 0, 10], 10));
    // Those of another topic are none of its business.
    let args = ["dead-letters", "replay", "--topic", &world.topics[0]];
    read.finish(&args, PATIENCE).expect_code(0);
}
