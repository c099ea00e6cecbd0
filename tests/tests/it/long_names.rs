//! PostgreSQL cuts names off after 63 bytes. A longer one is refused, because two of them may mean one table.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig, names, wait};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn topics_with_names_that_would_be_cut_off_are_refused_before_anything_is_touched() {
    let Services { kafka, postgres } = Services::shared();
    let url = postgres.database("long");
    let prefix = format!("{:x<63}", names::unique("long"));
    let topics = [format!("{prefix}1"), format!("{prefix}2")];
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .topics(&[&topics[0], &topics[1]])
        .insert_mode("insert")
        .pk_mode("none");
    for (config, key, name) in [
        (config.clone().table("${topic}"), "sink.table", topics[0].as_str()),
        (config.clone().table("t").set("offsets.table", topics[0].as_str()), "offsets.table", &topics[0]),
        (
            config.clone().table("t").set("errors.dead_letter_table", format!("s.{prefix}1")),
            "dead_letter_table",
            &topics[0],
        ),
        (config.clone().table("t").set("sink.rename.f", topics[1].as_str()), "sink.rename", &topics[1]),
        (config.table("t").set("sink.metadata.topic", topics[1].as_str()), "sink.metadata", &topics[1]),
    ] {
        for command in ["run", "check"] {
            let refused = config.finish(&[command], PATIENCE).expect_code(2);
            assert!(refused.stderr.contains(key) && refused.stderr.contains(name), "{}", refused.stderr);
            assert!(refused.stderr.contains("has 64 bytes"), "{}", refused.stderr);
        }
    }
}

#[test]
fn a_topic_found_by_a_pattern_whose_name_would_be_cut_off_is_not_served_and_the_others_are() {
    let Services { kafka, postgres } = Services::shared();
    let url = postgres.database("long");
    let mut client = tests::postgres::connect(&url);
    let start = names::unique("long").replace('-', "_");
    let (short, long) = (format!("{start}_ok"), format!("{start:x<63}y"));
    let cut = &long[..63];
    client
        .batch_execute(&format!("CREATE TABLE \"{short}\" (id int); CREATE TABLE \"{cut}\" (id int)"))
        .unwrap();
    for topic in [&short, &long] {
        kafka.create_topic(topic, 1, &[]);
        kafka.produce(topic, (0..10).map(|id| Record::json(&json!({"id": id}))));
    }
    let config = SinkConfig::new(kafka.bootstrap(), &url)
        .set("kafka.topics_regex", format!("^{start}.*"))
        .table("${topic}")
        .insert_mode("insert")
        .pk_mode("none");
    let sink = config.run();
    let mut count = |table: &str| -> i64 {
        client.query_one(&format!("SELECT count(*) FROM \"{table}\""), &[]).unwrap().get(0)
    };
    wait::until(PATIENCE, "the other topic is written", || count(&short) == 10);
    let answer = || sink.get("/readyz").map_or_else(|error| error.to_string(), |(_, body)| body);
    wait::holds(PATIENCE, "/readyz says why", answer, |body| body.contains("would cut it off"));
    assert_eq!(count(cut), 0, "the table of the name that is left");
    let check = config.finish(&["check", "--sample", "0"], PATIENCE).expect_code(1);
    assert!(check.stdout.contains(&long) && check.stdout.contains("would cut it off"), "{}", check.stdout);
    kafka.produce(&short, [Record::json(&json!({"id": 10}))]);
    wait::until(PATIENCE, "the other topic goes on", || count(&short) == 11);
    sink.sigterm();
    sink.wait(PATIENCE).expect_code(0);
}
