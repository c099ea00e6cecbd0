//! The commands that docs/kubernetes.md tells an operator to type.

use std::fs;

use serde_json::json;
use tests::wait;

use crate::flow;
use crate::kubectl::{attempt, run};
use crate::release::{POD, Release};
use crate::world::World;

/// The shell function of docs/kubernetes.md that runs a command of the sink as a Job.
fn sink_job() -> String {
    let docs = fs::read_to_string(tests::paths::workspace("docs/kubernetes.md")).expect("the docs");
    let start = docs.find("sink_job() {").expect("the function stands in the docs");
    let end = start + docs[start..].find("\n}\n").expect("its end") + 3;
    docs[start..end].to_owned()
}

#[test]
fn positions_are_shown_in_a_running_pod_and_reset_by_a_job() {
    let release = Release::new("commands");
    let topic = World::shared().kafka().topic("commands", 2);
    let mut values = release.rows(&topic);
    values["connectors"]["rows"]["config"]["name"] = json!("rows-to-reset");
    release.install(&values);
    flow::produce(&topic, 0, 300);
    flow::assert_exactly_once(&release, 300);

    let deployment = "scores-livescores-rows";
    let shown = release.kubectl(&[
        "exec",
        &format!("deployment/{deployment}"),
        "--",
        "sink-connector",
        "--config",
        "/etc/livescores/sink-connector.toml",
        "offsets",
        "show",
    ]);
    assert!(shown.contains(&topic), "{shown}");

    release.kubectl(&["scale", &format!("deployment/{deployment}"), "--replicas=0"]);
    release.kubectl(&[
        "wait",
        "--for=delete",
        "pod",
        "--selector",
        "app.kubernetes.io/component=sink",
        "--timeout=60s",
    ]);
    let script = format!(
        "set -eu\n{}\nkubectl config set-context --current --namespace {} >/dev/null\n\
         sink_job {deployment} offsets reset --to-earliest --execute",
        sink_job(),
        release.namespace
    );
    let job = run("bash", &["-c", &script]).trim().to_owned();
    let wait_for = ["wait", "--for=condition=complete", &job, "--timeout=60s"];
    let done = attempt("kubectl", &[&["--namespace", &release.namespace], &wait_for[..]].concat());
    let log = release.kubectl(&["logs", &job]);
    assert!(done.succeeded, "{}{log}", done.text);
    release.kubectl(&["scale", &format!("deployment/{deployment}"), "--replicas=1"]);
    // Read again from the beginning, as it was told.
    wait::until(POD, "every record is written a second time", || release.count("rows") == 600);
}
