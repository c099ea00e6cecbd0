//! The producer as a Deployment, and what it is asked for.

use serde_json::json;
use tests::{Metrics, wait};

use crate::release::{POD, Release};
use crate::world::World;

#[test]
fn the_producer_as_a_deployment_publishes_batches_and_stops_with_all_of_them() {
    let release = Release::new("producing");
    let topic = World::shared().kafka().topic("producing", 2);
    let mut values = release.services();
    values["producer"] = json!({
        "mode": "deployment",
        "config": {"kafka": {"topic": topic}, "producer": {"batch_size": 50, "interval_ms": 200}},
    });
    values["connectors"] = json!({"ipl": {"config": {"kafka": {"topics": [topic]}}}});
    release.install(&values);
    wait::until(POD, "rows come", || release.count("ipl_livescores") >= 500);

    let pods = release.json(&["get", "pods", "--selector", "app.kubernetes.io/component=producer"]);
    let address = pods["items"][0]["status"]["podIP"].as_str().expect("an address").to_owned();
    let metrics = Metrics::scrape(&format!("{address}:9465")).expect("it is scraped");
    assert!(metrics.sum("producer_records_total") >= 500.0);

    release.kubectl(&["scale", "deployment/scores-livescores-producer", "--replicas=0"]);
    release.kubectl(&[
        "wait",
        "--for=delete",
        "pod",
        "--selector",
        "app.kubernetes.io/component=producer",
        "--timeout=60s",
    ]);
    let sent: i64 = World::shared().kafka().end_offsets(&topic).into_iter().sum();
    wait::until(POD, "every record that it sent has a row", || release.count("ipl_livescores") == sent);
}
