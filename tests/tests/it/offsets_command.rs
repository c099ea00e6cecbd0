//! `offsets`: prints positions and lag, and resets the position of a partition that has stopped.

use serde_json::{Value, json};
use tests::{Output, Record, SinkConfig, World};

use crate::lost_positions::{self, SOON, Scene};

#[track_caller]
fn run(config: &SinkConfig, args: &[&str], code: i32) -> Output {
    config.finish(&[&["offsets"], args].concat(), SOON).expect_code(code)
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output.stdout))
}

/// The one partition `partition` of topic number `topic` in the output of `show` or `reset`.
fn place(scene: &Scene, output: &Output, topic: usize, partition: i32) -> Value {
    let all = json_of(output)["partitions"].as_array().cloned().unwrap_or_default();
    let wanted = |p: &Value| p["topic"] == scene.topics[topic].as_str() && p["partition"] == partition;
    all.into_iter().find(wanted).unwrap_or_else(|| panic!("not there: {}", output.stdout))
}

#[test]
fn show_prints_positions_ends_and_lag_and_creates_nothing() {
    let scene = Scene::new(1, 2);
    scene.produce(0, 0, 0..4);
    let before = run(&scene.config, &["show", "--output", "json"], 0);
    let seen = place(&scene, &before, 0, 0);
    assert!(seen["position"].is_null() && seen["lag"].is_null() && seen["stopped"].is_null(), "{seen}");
    let tables: i64 = tests::postgres::connect(&scene.url)
        .query_one("SELECT count(*) FROM pg_class WHERE relname = 'sink_offsets'", &[])
        .unwrap()
        .get(0);
    assert_eq!(tables, 0, "it only reads");
    scene.drain();
    scene.produce(0, 0, 4..7);
    let output = run(&scene.config, &["show", "--output", "json"], 0);
    assert_eq!(json_of(&output)["connector"], scene.config.connector());
    let topic = &scene.topics[0];
    let wanted = json!({"topic": topic, "partition": 0, "position": 4, "log_start": 0, "log_end": 7, "lag": 3, "stopped": null});
    assert_eq!(place(&scene, &output, 0, 0), wanted);
    assert_eq!(place(&scene, &output, 0, 1)["lag"], 0);
    let text = run(&scene.config, &["show"], 0).stdout;
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["TOPIC", "PARTITION", "POSITION", "START", "END", "LAG"]);
    assert_eq!(words[1], [topic.as_str(), "0", "4", "0", "7", "3"]);
}

#[test]
fn show_prints_the_partitions_that_it_can_read_although_a_topic_is_missing() {
    let scene = Scene::new(2, 2);
    scene.produce(0, 0, 0..4);
    scene.drain();
    scene.kafka.delete_topic(&scene.topics[1]);
    let output = run(&scene.config, &["show", "--output", "json"], 1);
    assert_eq!(place(&scene, &output, 0, 0)["position"], 4);
    assert_eq!(json_of(&output)["partitions"].as_array().map(Vec::len), Some(2), "{}", output.stdout);
    let unread = &json_of(&output)["unread"];
    assert_eq!((unread.as_array().map(Vec::len), &unread[0]["topic"]), (Some(1), &json!(scene.topics[1])));
    assert!(unread[0]["reason"].to_string().contains("does not exist"), "{unread}");
    let text = run(&scene.config, &["show"], 1);
    assert_eq!(
        text.stdout.lines().filter(|line| line.contains(&scene.topics[0])).count(),
        2,
        "{}",
        text.stdout
    );
    let named = format!("error: topic {}: ", scene.topics[1]);
    assert!(text.stderr.contains(&named) && text.stderr.contains("does not exist"), "{}", text.stderr);
    // A reset is for what it names, and all of that.
    let reset = ["reset", "--to-earliest", "--execute"];
    run(&scene.config, &reset, 1);
    assert_eq!(scene.position(0, 0), Some(4));
    run(&scene.config, &[&reset[..], &["--topic", &scene.topics[0]]].concat(), 0);
    assert_eq!(scene.position(0, 0), Some(0));
}

#[test]
fn reset_prints_its_plan_and_acts_only_with_execute() {
    let scene = Scene::new(1, 2);
    let topic = scene.topics[0].clone();
    let at = |n: i32, ms: i64| {
        Record::json(&json!({"topic": topic, "partition": 0, "n": n})).partition(0).timestamp_ms(ms)
    };
    // 2026-03-01T12:00:00Z and one second after another.
    let noon = 1_772_366_400_000;
    scene.kafka.produce(&topic, (0..6).map(|n| at(n, noon + i64::from(n) * 1000)));
    scene.produce(0, 1, 0..2);
    scene.drain();
    let plan = |to: &[&str]| {
        let output = run(&scene.config, &[&["reset", "--output", "json"], to].concat(), 0);
        assert_eq!(json_of(&output)["executed"], false);
        let step = |partition| {
            let step = place(&scene, &output, 0, partition);
            (step["from"].as_i64(), step["to"].as_i64())
        };
        (step(0), step(1))
    };
    let of = |to: (i64, i64)| ((Some(6), Some(to.0)), (Some(2), Some(to.1)));
    assert_eq!(plan(&["--to-earliest"]), of((0, 0)));
    assert_eq!(plan(&["--to-latest"]), of((6, 2)));
    assert_eq!(plan(&["--to-offset", "1"]), of((1, 1)));
    // The records of the other partition are of today.
    assert_eq!(plan(&["--to-datetime", "2026-03-01T17:30:02.5+05:30"]), of((3, 0)));
    assert_eq!((scene.position(0, 0), scene.position(0, 1)), (Some(6), Some(2)), "nothing was changed");

    let text = run(&scene.config, &["reset", "--to-offset", "4", "--partition", "0"], 0).stdout;
    assert!(text.contains(&format!("{topic}[0]: 6 -> 4 (log from 0 to 6)")), "{text}");
    assert!(text.contains("Run again with --execute") && !text.contains("[1]"), "{text}");
    let text = run(&scene.config, &["reset", "--to-offset", "4", "--partition", "0", "--execute"], 0).stdout;
    assert!(text.contains("were reset."), "{text}");
    assert_eq!((scene.position(0, 0), scene.position(0, 1)), (Some(4), Some(2)));
    let held = scene.kafka.group_offsets(scene.config.group_id(), &topic);
    assert_eq!(held.iter().map(|h| h.offset).collect::<Vec<_>>(), [Some(4), Some(2)]);
    assert!(held.iter().all(|h| h.metadata.starts_with("kafka-sink:")), "{held:?}");
    scene.drain();
    assert_eq!(scene.numbers(0, 0), [0, 1, 2, 3, 4, 4, 5, 5]);
}

#[test]
fn reset_refuses_offsets_partitions_and_times_that_do_not_exist() {
    let scene = Scene::new(1, 2);
    scene.produce(0, 0, 0..5);
    scene.produce(0, 1, 0..9);
    scene.drain();
    scene.kafka.delete_records(&scene.topics[0], 1, 3);
    let topic = &scene.topics[0];
    let refused = |args: &[&str], code: i32, words: &[&str]| {
        let output = run(&scene.config, &[&["reset", "--execute"], args].concat(), code);
        for word in words {
            assert!(output.stderr.contains(word), "{word} is not in: {}", output.stderr);
        }
    };
    let ranges = [format!("{topic}[0] goes from 0 to 5"), format!("{topic}[1] goes from 3 to 9")];
    refused(&["--to-offset", "10"], 1, &["offset 10 is outside", &ranges[0], &ranges[1]]);
    refused(&["--to-offset", "2", "--partition", "1"], 1, &["offset 2 is outside", &ranges[1]]);
    refused(&["--to-earliest", "--partition", "2"], 1, &["no partition 2", "0 to 1"]);
    refused(&["--to-earliest", "--topic", "other"], 2, &["--topic other", topic]);
    refused(&["--to-datetime", "yesterday"], 2, &["'yesterday'", "not a time"]);
    refused(&[], 2, &["--to-earliest"]);
    assert_eq!((scene.position(0, 0), scene.position(0, 1)), (Some(5), Some(9)));
}

#[test]
fn reset_fails_while_the_group_has_an_active_member() {
    let scene = Scene::new(1, 1);
    scene.produce(0, 0, 0..5);
    let sink = scene.config.run();
    scene.wait_for(0, 0, 0..5);
    let refused = run(&scene.config, &["reset", "--to-earliest", "--execute"], 1);
    let member = format!("kafka-sink-{} at 127.0.0.1", scene.config.connector());
    for words in ["still has an active member", &member, "scale to 0", "Nothing was changed"] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    assert_eq!(scene.position(0, 0), Some(5));
    // The plan alone is no harm.
    let plan = run(&scene.config, &["reset", "--to-earliest"], 0);
    assert!(plan.stdout.contains("5 -> 0") && plan.stderr.contains("still has an active member"), "{plan:?}");
    scene.end(&sink);
    run(&scene.config, &["reset", "--to-earliest", "--execute"], 0);
    assert_eq!(scene.position(0, 0), Some(0));
}

#[test]
fn reset_names_a_static_member_which_stays_in_the_group_when_it_is_stopped() {
    let scene = Scene::new(1, 1);
    scene.produce(0, 0, 0..5);
    let config =
        scene.config.clone().property("group.instance.id", "i-0").property("session.timeout.ms", "6000");
    let sink = config.run();
    scene.wait_for(0, 0, 0..5);
    scene.end(&sink);
    let refused = run(&config, &["reset", "--to-earliest", "--execute"], 1);
    for words in ["static member, group.instance.id \"i-0\"", "leave the group when their session times out"]
    {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    let reset = || config.finish(&["offsets", "reset", "--to-earliest", "--execute"], SOON).code;
    tests::wait::holds(SOON, "the reset, once the session has timed out", reset, |code| *code == Some(0));
    assert_eq!(scene.position(0, 0), Some(0));
}

#[test]
fn every_stopped_partition_goes_on_after_a_reset() {
    let lost = 0;
    let recreated = 1;
    let trimmed = 2;
    let scene = Scene::new(3, 1);
    for topic in [lost, recreated, trimmed] {
        scene.produce(topic, 0, 0..5);
    }
    scene.drain();
    tests::postgres::connect(&scene.url)
        .execute("DELETE FROM sink_offsets WHERE topic = $1", &[&scene.topics[lost]])
        .unwrap();
    scene.produce(lost, 0, 5..8);
    scene.kafka.replace_topic(&scene.topics[recreated], 1);
    scene.produce(recreated, 0, 100..109);
    scene.produce(trimmed, 0, 5..10);
    scene.kafka.delete_records(&scene.topics[trimmed], 0, 8);
    assert_eq!(scene.bounded(&["--until-end"]).expect_code(1).count("records"), 0, "all have stopped");

    let shown = run(&scene.config, &["show", "--output", "json"], 0);
    let checked = scene.config.finish(&["check"], SOON).expect_code(1);
    for (topic, reason) in
        [(lost, "lost_position"), (recreated, "topic_recreated"), (trimmed, "below_log_start")]
    {
        assert_eq!(place(&scene, &shown, topic, 0)["stopped"]["reason"], reason);
        let name = &scene.topics[topic];
        let advice = format!("offsets reset --to-… --topic {name} --partition 0 --execute");
        let line = checked.stdout.lines().find(|line| line.contains(&format!("position of {name}[0]")));
        assert!(line.is_some_and(|l| l.contains(reason) && l.contains(&advice)), "{}", checked.stdout);
    }
    let name = scene.topics[lost].clone();
    run(&scene.config, &["reset", "--to-offset", "5", "--topic", &name, "--execute"], 0);
    for topic in [recreated, trimmed] {
        run(&scene.config, &["reset", "--to-earliest", "--topic", &scene.topics[topic], "--execute"], 0);
    }
    scene.drain();
    scene.assert_numbers(lost, 0, 0..8);
    assert_eq!(scene.numbers(recreated, 0), (0..5).chain(100..109).collect::<Vec<_>>());
    assert_eq!(scene.numbers(trimmed, 0), (0..5).chain(8..10).collect::<Vec<_>>());
}

#[test]
fn a_changed_target_table_is_taken_on_by_a_reset() {
    let scene = Scene::new(1, 1);
    scene.produce(0, 0, 0..5);
    scene.drain();
    let mut client = tests::postgres::connect(&scene.url);
    client.batch_execute("CREATE TABLE t2 (LIKE t)").unwrap();
    let config = scene.config.clone().table("t2");
    let stopped = lost_positions::run(&config, &["--until-end"]).expect_code(1);
    assert!(stopped.stderr.contains("foreign_position"), "{}", stopped.stderr);
    run(&config, &["reset", "--to-offset", "3", "--execute"], 0);
    scene.produce(0, 0, 5..7);
    assert_eq!(lost_positions::run(&config, &["--until-end"]).expect_code(0).count("records"), 4);
    let numbers: Vec<i32> =
        client.query("SELECT n FROM t2 ORDER BY n", &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(numbers, [3, 4, 5, 6]);
    scene.assert_numbers(0, 0, 0..5);
}

#[test]
fn a_position_that_was_never_stored_cannot_be_kept() {
    let world = World::new("unstored").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    let kept = run(&world.config, &["reset", "--to-stored", "--execute"], 1);
    assert!(kept.stderr.contains("no partition has a stored position"), "{}", kept.stderr);
    assert!(kept.stderr.contains("--to-earliest"), "{}", kept.stderr);
}
