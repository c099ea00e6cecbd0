//! Topics by a pattern with the consumer protocol of Kafka 4 (KIP-848): the same ones as with the classic protocol.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig, wait};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_pattern_is_matched_as_in_the_classic_protocol_and_new_topics_are_found() {
    let Services { kafka, postgres } = Services::shared();
    let prefix = tests::names::unique("dbserver1");
    let topic = |name: &str| kafka.create_topic(&format!("{prefix}.{name}"), 1, &[]);
    let produce = |name: &str, id: i32| {
        kafka.produce(&format!("{prefix}.{name}"), [Record::json(&json!({"id": id}))]);
    };
    for name in ["inventory.orders", "inventory.customers", "other.orders"] {
        topic(name);
        produce(name, name.len() as i32);
    }
    let url = postgres.database("consumer_protocol_topics");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int)").unwrap();
    // The pattern is that of a part of the name, in the dialect of POSIX.
    let escaped = prefix.replace('.', "\\.");
    let sink = SinkConfig::new(kafka.bootstrap(), &url)
        .set("kafka.topics_regex", format!("^{escaped}\\.[[:alpha:]]*tory\\."))
        .table("t")
        .unkeyed()
        .property("group.protocol", "consumer")
        .run();
    let mut ids = || -> Vec<i32> {
        let rows = client.query("SELECT id FROM t ORDER BY id", &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    wait::holds(PATIENCE, "the topics that match are read", &mut ids, |ids| *ids == [16, 19]);
    topic("inventory.late");
    produce("inventory.late", 100);
    wait::holds(PATIENCE, "so is a new one", &mut ids, |ids| *ids == [16, 19, 100]);
    assert!(!sink.stderr().contains("WARN"), "{}", sink.stderr());
    sink.stop(PATIENCE).expect_code(0);
}
