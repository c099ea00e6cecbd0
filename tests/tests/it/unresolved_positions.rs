//! A stored position that is not known for long is reported, whatever else is wrong with single tables or topics.

use std::time::Duration;

use serde_json::json;
use tests::proxy::Proxy;
use tests::{Record, World, wait};

const LONG: Duration = Duration::from_secs(120);

#[test]
fn positions_that_are_not_known_are_reported_while_a_table_is_parked() {
    let world = World::new("unresolved")
        .topics(2)
        .partitions(2)
        .private()
        .table("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE parked (id int PRIMARY KEY)")
        .upsert("id")
        .role("GRANT ALL ON SCHEMA public TO $role; GRANT ALL ON t, parked TO $role");
    let (sound, parked) = (world.topics[0].clone(), world.topics[1].clone());
    let port = world.postgres.port();
    let proxy = Proxy::start(port).unwrap();
    let url = proxy.url(world.config.postgres_url(), port);
    let config = world.config.clone().topic_set(&parked, "table", "parked").set("postgres.url", url);
    let produce = |id: i32| {
        for topic in [&sound, &parked] {
            let record = |id: i32| Record::json(&json!({"id": id})).partition(id % 2);
            world.kafka.produce(topic, (id..id + 2).map(record));
        }
    };
    let sink = config.run();
    produce(0);
    world.wait_rows(LONG, 2);
    world.execute("REVOKE INSERT ON parked FROM $role");
    produce(2);
    world.wait_rows(LONG, 4);
    let readyz = || sink.get("/readyz").unwrap_or_else(|error| (0, error.to_string()));
    wait::holds(LONG, "the table is parked", readyz, |(status, body)| {
        *status == 200 && body.contains("parked table parked")
    });

    assert!(proxy.freeze_existing() >= 1);
    // A second member takes some partitions and gives them back: their positions are asked for on a frozen connection.
    let other = config.run();
    sink.wait_metric(LONG, "sink_partitions_assigned", |n| n <= 3.0);
    other.stop(LONG);
    sink.wait_metric(LONG, "sink_partitions_assigned", |n| n >= 4.0);
    wait::holds(
        Duration::from_secs(30),
        "/readyz says that positions are not known",
        readyz,
        |(status, body)| *status == 503 && body.contains("are not known after"),
    );
    // The deadline ends it.
    produce(4);
    world.wait_rows(LONG, 6);
    wait::holds(LONG, "the table is parked still", readyz, |(status, body)| {
        *status == 200 && body.contains("parked table parked")
    });
    sink.stop(LONG);
}
