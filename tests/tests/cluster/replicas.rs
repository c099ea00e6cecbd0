//! How many pods there are.

use serde_json::json;
use tests::wait;

use crate::flow::{self, Flow};
use crate::release::{POD, Release};
use crate::world::World;

#[test]
fn scaled_up_and_down_while_records_flow_every_record_is_written_once() {
    let release = Release::new("scaled");
    let topic = World::shared().kafka().topic("scaled", 6);
    release.install(&release.rows(&topic));
    let flow = Flow::start(&topic);
    release.wait_all_write(1);
    for count in [3, 1] {
        let replicas = format!("--replicas={count}");
        release.kubectl(&["scale", "deployment/scores-livescores-rows", &replicas]);
        release.wait_all_write(count);
    }
    let pods = release.wait_sinks(1);
    assert!(pods.iter().all(|pod| pod.restarts == 0), "{pods:?}");
    flow.finish(&release);
}

#[test]
fn pods_beyond_the_partitions_are_ready_and_idle() {
    let release = Release::new("idle");
    let topic = World::shared().kafka().topic("idle", 1);
    let mut values = release.rows(&topic);
    values["connectors"]["rows"]["replicas"] = json!(3);
    release.install(&values);
    let pods = release.wait_sinks(3);
    let assigned = || {
        let of = |pod: &crate::release::Pod| {
            pod.metrics().map_or(f64::NAN, |metrics| metrics.sum("sink_partitions_assigned"))
        };
        let mut assigned: Vec<_> = pods.iter().map(of).collect();
        assigned.sort_by(f64::total_cmp);
        assigned
    };
    wait::holds(POD, "one has the partition", assigned, |assigned| assigned[..] == [0.0, 0.0, 1.0]);
    flow::produce(&topic, 0, 1000);
    flow::assert_exactly_once(&release, 1000);
    assert_eq!(release.wait_sinks(3), pods, "all stayed ready");
}
