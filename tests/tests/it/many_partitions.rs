//! Hundreds of partitions on one broker: what is asked of each of them must not add up.

use std::time::Duration;

use tests::{KafkaOptions, Record, World, postgres};

const PARTITIONS: i32 = 600;
const PATIENCE: Duration = Duration::from_secs(90);
/// The interval of the log ends, twice, and what a busy machine takes for two requests. One request for each end of each
/// partition, each behind a fetch, takes 30 s.
const SOON: Duration = Duration::from_secs(15);

#[test]
fn the_lag_of_600_partitions_is_known_soon_while_nothing_can_be_written() {
    let world = World::new("many")
        .partitions(PARTITIONS)
        .private_kafka(KafkaOptions::default())
        .table("CREATE TABLE t (id int PRIMARY KEY)")
        .upsert("id");
    let sink = world.config.run();
    let all = f64::from(PARTITIONS);
    sink.wait_metric(PATIENCE, "sink_partitions_assigned", |assigned| assigned >= all);

    let mut other = postgres::connect(&world.url);
    let mut lock = other.transaction().expect("a transaction");
    lock.execute("LOCK TABLE t", &[]).expect("the lock");
    let records = (0..PARTITIONS).map(|n| Record::new(format!("{{\"id\":{n}}}")).partition(n));
    world.kafka.produce(&world.topics[0], records);
    sink.wait_metric(SOON, "sink_lag_records", |lag| lag >= all);

    lock.rollback().expect("the lock is released");
    sink.wait_metric(PATIENCE, "sink_lag_records", |lag| lag == 0.0);
    assert_eq!(world.rows(), i64::from(PARTITIONS));
}
