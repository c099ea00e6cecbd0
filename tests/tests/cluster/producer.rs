//! The producer as a Deployment, and what it is asked for.

use serde_json::{Value, json};
use tests::{Metrics, wait};

use crate::release::{POD, Release};
use crate::world::World;

#[test]
fn the_producer_as_a_deployment_publishes_batches_and_stops_with_all_of_them() {
    let release = Release::new("producing");
    let topic = World::shared().kafka().topic("producing", 2);
    let mut values = release.services();
    values["demo"] = json!(true);
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

#[test]
fn a_run_that_fails_is_tried_again_and_keeps_its_logs() {
    let release = Release::new("failing");
    let topic = World::shared().kafka().topic("failing", 1);
    let mut values = release.rows(&topic);
    let nobody = World::shared().nobody();
    values["producer"] = json!({
        "enabled": true,
        "kafka": {"bootstrapServers": nobody, "properties": {"message.timeout.ms": "2000"}},
        "cronJob": {"suspend": true, "backoffLimit": 1},
    });
    release.install(&values);
    release.kubectl(&["create", "job", "by-hand", "--from=cronjob/scores-livescores-producer"]);
    release.kubectl(&["wait", "--for=condition=failed", "job/by-hand", "--timeout=90s"]);
    let pods = release.json(&["get", "pods", "--selector", "job-name=by-hand"]);
    let pods = pods["items"].as_array().expect("a list");
    assert_eq!(pods.len(), 2, "the run and one more attempt: {pods:?}");
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let log = release.kubectl(&["logs", name]);
        assert!(log.contains(&nobody), "it says which broker is unreachable: {log}");
    }
}

#[test]
fn a_run_that_takes_too_long_is_not_overtaken_and_ends_at_its_deadline() {
    let release = Release::new("overdue");
    let topic = World::shared().kafka().topic("overdue", 1);
    let mut values = release.rows(&topic);
    // Its broker does not answer, and it waits for it longer than it may run.
    values["producer"] = json!({
        "enabled": true,
        "kafka": {"bootstrapServers": World::shared().nobody(), "properties": {"message.timeout.ms": "200000"}},
        "cronJob": {"schedule": "* * * * *", "backoffLimit": 0, "activeDeadlineSeconds": 75},
    });
    release.install(&values);
    let jobs = || {
        let mut jobs = release.json(&["get", "jobs"])["items"].as_array().cloned().expect("a list");
        jobs.sort_by_key(|job| job["status"]["startTime"].as_str().map(str::to_owned));
        jobs
    };
    wait::until(POD, "a run begins", || !jobs().is_empty());
    let forbidden = || {
        let events = release.json(&["get", "events", "--field-selector", "reason=JobAlreadyActive"]);
        !events["items"].as_array().expect("a list").is_empty()
    };
    wait::until(POD, "the next is due, and may not begin", forbidden);
    let there = jobs();
    assert_eq!(there.len(), 1, "{there:?}");
    assert_eq!(there[0]["status"]["active"], 1, "{there:?}");

    let conditions = |job: &Value| job["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let late = |jobs: &Vec<Value>| {
        conditions(&jobs[0])
            .iter()
            .any(|held| held["type"] == "Failed" && held["reason"] == "DeadlineExceeded")
    };
    wait::holds(POD, "the deadline ends it", jobs, late);
    // The one that was due meanwhile comes late, but comes.
    wait::holds(POD, "the next begins", jobs, |jobs| jobs.len() == 2);
}
