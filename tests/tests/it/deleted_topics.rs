//! A topic that is deleted is the trouble of this topic alone, and one that is created again has no lag that means anything.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, Sink, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);

fn world(topics: usize) -> World<'static> {
    let world =
        World::new("deleted_topics").topics(topics).table("CREATE TABLE t (topic text, n int)").unkeyed();
    world.set("sink.metadata.topic", "topic")
}

fn produce(world: &World<'_>, topic: usize, records: i32) {
    world.kafka.produce(&world.topics[topic], (0..records).map(|n| Record::json(&json!({"n": n}))));
}

fn ready(sink: &Sink) -> (u16, Value) {
    let (status, body) = sink.get("/readyz").unwrap_or_default();
    (status, serde_json::from_str(&body).unwrap_or_default())
}

fn rows_of(world: &World<'_>, topic: usize) -> i64 {
    world.count(&format!("t WHERE topic = '{}'", world.topics[topic]))
}

#[test]
fn one_deleted_topic_of_three_is_a_problem_and_all_of_them_are_a_reason_not_to_be_ready() {
    let world = world(3);
    let sink = world.sink();
    for topic in 0..3 {
        produce(&world, topic, 2);
    }
    world.wait_rows(PATIENCE, 6);
    sink.wait_ready(PATIENCE);
    world.kafka.delete_topic(&world.topics[0]);
    let named = |topic: usize| format!("topic {}", world.topics[topic]);
    let (status, body) = wait::holds(
        PATIENCE,
        "a problem",
        || ready(&sink),
        |(_, body)| body["problems"][0]["component"] == named(0).as_str(),
    );
    assert_eq!((status, &body["ready"]), (200, &json!(true)), "{body}");
    assert!(body["problems"][0]["reason"].as_str().unwrap().contains("does not exist"), "{body}");
    produce(&world, 1, 3);
    wait::holds(PATIENCE, "the others go on", || rows_of(&world, 1), |rows| *rows == 5);
    // After a restart it is the same.
    sink.stop(PATIENCE).expect_code(0);
    let sink = world.sink();
    wait::holds(
        PATIENCE,
        "a problem again",
        || ready(&sink),
        |(status, body)| *status == 200 && body["problems"][0]["component"] == named(0).as_str(),
    );
    produce(&world, 2, 3);
    wait::holds(PATIENCE, "the others still go on", || rows_of(&world, 2), |rows| *rows == 5);
    for topic in [1, 2] {
        world.kafka.delete_topic(&world.topics[topic]);
    }
    let (_, body) = wait::holds(
        PATIENCE,
        "not ready",
        || ready(&sink),
        |(status, body)| {
            *status == 503 && body["problems"].as_array().is_some_and(|problems| problems.len() == 3)
        },
    );
    assert!((0..3).all(|topic| body.to_string().contains(&named(topic))), "{body}");
    for topic in 0..3 {
        world.kafka.create_topic(&world.topics[topic], 1, &[]);
    }
    wait::holds(
        PATIENCE,
        "the topics are there again",
        || ready(&sink),
        |(_, body)| {
            body["problems"].as_array().is_some_and(|problems| {
                problems
                    .iter()
                    .all(|problem| problem["component"].as_str().unwrap().starts_with("partition "))
            })
        },
    );
}

#[test]
fn a_topic_that_was_created_again_has_no_lag_of_its_predecessor() {
    let world = world(2);
    let sink = world.sink();
    for topic in 0..2 {
        produce(&world, topic, 40);
    }
    world.wait_rows(PATIENCE, 80);
    world.kafka.replace_topic(&world.topics[0], 1);
    produce(&world, 0, 3);
    produce(&world, 1, 2);
    for start in ["while it runs", "at a start"] {
        let sink = if start == "at a start" {
            sink.stop(PATIENCE).expect_code(0);
            &world.sink()
        } else {
            &sink
        };
        let of = |topic: usize, name: &str| {
            sink.metrics().unwrap().value(name, &[("topic", &world.topics[topic]), ("partition", "0")])
        };
        wait::until(PATIENCE, "the partition stops", || {
            sink.sum_where("sink_partitions_stopped", &[("reason", "topic_recreated")]) == 1.0
        });
        assert_eq!((of(0, "sink_lag_records"), of(0, "sink_position")), (None, None), "{start}");
        let status: Value = serde_json::from_str(&sink.get("/status").unwrap().1).unwrap();
        let partitions = status["partitions"].as_array().unwrap();
        let stopped = partitions.iter().find(|p| p["topic"] == world.topics[0].as_str()).unwrap();
        assert_eq!((&stopped["lag"], &stopped["position"]), (&Value::Null, &Value::Null), "{status}");
        wait::holds(PATIENCE, "the other's position", || of(1, "sink_position"), |at| *at == Some(42.0));
        wait::holds(PATIENCE, "the other's lag", || of(1, "sink_lag_records"), |lag| *lag == Some(0.0));
    }
}
