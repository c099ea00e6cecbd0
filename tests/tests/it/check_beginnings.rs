//! `check` says where each partition will begin, and what stands in place of the sink's own tables.

use std::time::Duration;

use serde_json::json;
use tests::{Record, World};

use crate::check::assert_says;

const LONG: Duration = Duration::from_secs(60);
const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY)";

fn world(name: &str) -> World<'static> {
    let world = World::new(name).partitions(3).table(DDL).upsert("id");
    world.produce((0..120).map(|id| Record::json(&json!({"id": id})).partition(id % 3)));
    world
}

#[test]
fn each_partition_is_reported_with_its_beginning_and_where_that_comes_from() {
    let world = world("beginnings");
    let group = world.config.group_id();
    world.kafka.commit_group_offset(group, world.topic(), 0, 30);
    let subject = format!("positions of {}", world.topic());
    let check = || world.config.finish(&["check"], LONG).expect_code(0);
    let first = check();
    assert_says(&first, "ok", &subject, &["partition 0 begins at 30, from the group's offset"]);
    assert_says(
        &first,
        "ok",
        &subject,
        &["partition 1 begins at 0, from the log's start (auto_offset_reset = earliest)"],
    );
    let latest = world.config.clone().set("kafka.auto_offset_reset", "latest");
    let latest = latest.finish(&["check"], LONG).expect_code(0);
    assert_says(
        &latest,
        "ok",
        &subject,
        &["partition 2 begins at 40, from the log's end (auto_offset_reset = latest)"],
    );
    // It is what a run does.
    assert_eq!(world.config.until_end().count("records"), 90);
    assert_says(&check(), "ok", &subject, &["partition 0 begins at 40, from the stored position"]);
}

#[test]
fn a_foreign_table_with_the_name_of_an_own_one_is_named_as_such() {
    for (key, table) in [("offsets.table", "sink_offsets"), ("errors.dead_letter_table", "sink_dead_letters")]
    {
        let world = world("foreign");
        world.execute(&format!("CREATE TABLE {table} (id int, topic text)"));
        let output = world.config.finish(&["check"], LONG).expect_code(1);
        let words =
            [&format!("{table} exists, but is not a table of the sink"), "id, topic", &format!("set {key}")];
        let subject = if key == "offsets.table" { "offsets table" } else { "dead letter table" };
        assert_says(&output, "error", subject, &words);
        assert!(!output.stdout.contains("GRANT"), "{}", output.stdout);
        assert!(!output.stdout.contains(&format!("ok       {subject}")), "{}", output.stdout);
    }
}

#[test]
fn a_deadline_below_the_lock_timeout_is_a_warning() {
    let world = world("deadline_check");
    let short =
        world.config.clone().set("postgres.deadline_ms", 3000).finish(&["check"], LONG).expect_code(0);
    assert_says(&short, "warning", "postgres", &["postgres.deadline_ms is 3000", "lock_timeout of 5000 ms"]);
    let url = format!("{}?options=-c%20lock_timeout%3D1s", world.config.postgres_url());
    let own = world.config.clone().set("postgres.deadline_ms", 3000).set("postgres.url", url);
    let own = own.finish(&["check"], LONG).expect_code(0);
    assert!(!own.stdout.contains("deadline_ms is"), "{}", own.stdout);
}
