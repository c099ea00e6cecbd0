//! Connectors that meet in one consumer group, and connectors that get another name: positions stay whose they are, and
//! the message says what to do about it.

use std::time::Duration;

use tests::{Output, Sink, SinkConfig, wait};

use crate::lost_positions::{SOON, Scene, run};

/// The SQL that ends a message.
fn statement(output: &Output) -> String {
    let line = output.stderr.lines().find(|line| line.contains("UPDATE \"")).expect("a statement");
    let start = line.find("UPDATE \"").expect("found above");
    let quoted = &line[start..];
    // The log may go on after the message.
    quoted
        .split(" partition=")
        .next()
        .unwrap_or(quoted)
        .split(" reason=")
        .next()
        .unwrap_or(quoted)
        .trim_end_matches('"')
        .to_owned()
}

fn execute(scene: &Scene, statement: &str, rows: u64) {
    let changed = tests::postgres::connect(&scene.url).execute(statement, &[]).unwrap();
    assert_eq!(changed, rows, "{statement}");
}

/// Three partitions, records in two of them, all written.
fn written() -> Scene {
    let scene = Scene::new(1, 3);
    for partition in [0, 1] {
        scene.produce(0, partition, 0..3);
    }
    scene.drain();
    scene
}

fn named(scene: &Scene, name: &str) -> SinkConfig {
    scene.config.clone().name(name)
}

#[test]
fn a_partition_of_another_connector_of_the_group_is_left_to_it_and_both_are_named() {
    let scene = written();
    let (first, second) = (scene.config.connector(), tests::names::unique("second"));
    let second_config = named(&scene, &second);
    let sink = second_config.run();
    let words =
        [&format!("connector {first:?}"), &format!("connector {second:?}"), "kafka.group_id of its own"];
    for partition in [0, 1] {
        scene.assert_stopped(&sink, 0, partition, "foreign_position", &words);
    }
    assert!(
        !sink.stderr().contains("offsets reset") && !sink.stderr().contains("row was lost"),
        "{}",
        sink.stderr()
    );
    scene.end(&sink);

    let check = second_config.finish(&["check"], SOON).expect_code(1);
    let text = check.stdout.replace('\n', " ");
    assert!(text.contains(&format!("connector {first:?}")), "{text}");
    assert!(text.contains("kafka.group_id") && !text.contains("offsets reset"), "{text}");

    // What it says helps: the second connector reads everything, and the first goes on.
    let own_group = second_config.group(&second);
    run(&own_group, &["--until-end"]).expect_code(0);
    assert_eq!(scene.numbers(0, 0), [0, 0, 1, 1, 2, 2]);
    scene.produce(0, 0, 3..5);
    scene.drain();
    assert_eq!(scene.numbers(0, 0), [0, 0, 1, 1, 2, 2, 3, 4]);
}

#[test]
fn a_renamed_connector_keeps_its_positions_with_the_statement_of_the_message() {
    let scene = written();
    let renamed = named(&scene, &tests::names::unique("it's \"new\""));
    let stopped = run(&renamed, &["--until-end"]).expect_code(1);
    assert!(stopped.stderr.contains("former name"), "{}", stopped.stderr);
    execute(&scene, &statement(&stopped), 3);
    for partition in [0, 1, 2] {
        scene.produce(0, partition, 3..6);
    }
    run(&renamed, &["--until-end"]).expect_code(0);
    for (partition, from) in [(0, 0), (1, 0), (2, 3)] {
        scene.assert_numbers(0, partition, from..6);
    }
}

#[test]
fn a_renamed_group_keeps_its_positions_with_the_statement_of_the_message() {
    let scene = written();
    let renamed = scene.config.clone().group(&tests::names::unique("new_group"));
    let stopped = run(&renamed, &["--until-end"]).expect_code(1);
    assert!(stopped.stderr.contains("foreign_position"), "{}", stopped.stderr);
    execute(&scene, &statement(&stopped), 3);
    scene.produce(0, 1, 3..6);
    run(&renamed, &["--until-end"]).expect_code(0);
    scene.assert_numbers(0, 0, 0..3);
    scene.assert_numbers(0, 1, 0..6);
}

#[test]
fn check_names_the_active_sink_of_another_connector_in_the_group() {
    let scene = Scene::new(1, 1);
    let first: Sink = scene.config.run();
    wait::until(Duration::from_secs(60), "it is a member", || {
        first.metrics().is_ok_and(|m| m.value("sink_partitions_assigned", &[]) == Some(1.0))
    });
    let own = scene.config.finish(&["check"], SOON).expect_code(0);
    assert!(!own.stdout.contains("as well"), "{}", own.stdout);
    let second = named(&scene, &tests::names::unique("second")).finish(&["check"], SOON).expect_code(1);
    let warning = format!("connector {:?} is a member", scene.config.connector());
    assert!(second.stdout.contains(&warning), "{}", second.stdout);
    assert!(second.stdout.contains("a kafka.group_id of its own"), "{}", second.stdout);
}
