//! The first thing that anybody does.

use serde_json::{Value, json};
use tests::wait;

use crate::flow;
use crate::kubectl::{self, run};
use crate::release::{POD, Release};
use crate::world::World;

/// The pipeline of the demo: only the addresses are given.
fn demo(release: &Release) -> Value {
    let mut values = release.services();
    values["demo"] = json!(true);
    values["producer"] = json!({"cronJob": {"schedule": "* * * * *"}});
    values
}

#[test]
fn an_installation_of_the_demo_writes_live_scores_and_passes_its_test() {
    let release = Release::new("demo");
    World::shared().kafka().create_topic("livescores_topic", 3, &[]);
    // The namespace is what it says: a pod that is not restricted does not come in.
    let loose = kubectl::attempt(
        "kubectl",
        &["--namespace", &release.namespace, "run", "loose", "--image=docker.io/library/busybox:1.37.0"],
    );
    assert!(!loose.succeeded && loose.text.contains("restricted"), "{}", loose.text);

    let notes = release.install(&demo(&release));
    assert!(notes.contains("STATUS: deployed") && !notes.contains("would violate PodSecurity"), "{notes}");
    let sinks = release.wait_sinks(1);
    let ask = notes.lines().find(|line| line.contains("kubectl get --raw")).expect("how to see its state");
    let status: Value = serde_json::from_str(&run("bash", &["-euc", ask])).expect("JSON");
    assert_eq!(status["ready"], true, "{status}");
    assert_eq!(release.count("ipl_livescores"), 0, "the sink made its table, and nothing was produced yet");

    let output = release.test();
    assert!(
        output.succeeded && output.text.contains("ok: the record's row is in the metrics"),
        "{}",
        output.text
    );
    assert!(release.count("ipl_livescores") >= 1);

    // By hand, and by its schedule.
    release.kubectl(&["create", "job", "by-hand", "--from=cronjob/scores-livescores-producer"]);
    release.kubectl(&["wait", "--for=condition=complete", "job/by-hand", "--timeout=60s"]);
    wait::until(POD, "its 100 records have rows", || release.count("ipl_livescores") >= 101);
    let cron_job = || release.json(&["get", "cronjob", "scores-livescores-producer"]);
    let succeeded = |job: &Value| job["status"]["lastSuccessfulTime"].is_string();
    wait::holds(POD + POD, "a scheduled run succeeds", cron_job, succeeded);
    wait::until(POD, "its records have rows", || release.count("ipl_livescores") >= 201);
    let sinks_now = release.wait_sinks(1);
    assert_eq!(sinks_now, sinks, "no restart, no other pod");
}

#[test]
fn a_failed_test_of_the_release_says_why() {
    let release = Release::new("untested");
    let topic = World::shared().kafka().topic("untested", 1);
    let mut values = release.rows(&topic);
    values["producer"] =
        json!({"enabled": true, "config": {"kafka": {"topic": topic}}, "cronJob": {"suspend": true}});
    values["tests"] = json!({"timeoutSeconds": 10});
    release.install(&values);
    release.sql("ALTER TABLE rows RENAME TO gone");
    // It is missed by the next record that is to go there.
    flow::produce(&topic, 0, 1);
    release.wait_not_ready();
    let output = release.test();
    assert!(!output.succeeded, "{}", output.text);
    assert!(output.text.contains("is not ready") && output.text.contains("rows"), "{}", output.text);
    release.sql("ALTER TABLE gone RENAME TO rows");
    // That record, and the one of `helm test`, none of whose fields is a column here.
    wait::until(POD, "both records have their rows", || release.count("rows") == 2);
}
