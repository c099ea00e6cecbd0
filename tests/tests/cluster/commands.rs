//! The commands that docs/kubernetes.md gives to operators.

use std::fs;

use serde_json::json;
use tests::wait;

use crate::flow;
use crate::kubectl::run;
use crate::release::{POD, Release};
use crate::world::World;

/// What docs/kubernetes.md says to type for `offsets reset`, for the connector `rows` of this release.
fn reset(release: &Release) -> String {
    let docs = fs::read_to_string(tests::paths::workspace("docs/kubernetes.md")).expect("the docs");
    let start = docs.find("sink_job() {").expect("the commands stand in the docs");
    let end = start + docs[start..].find("```").expect("their end");
    docs[start..end]
        .replace("scores-livescores-ipl", "scores-livescores-rows")
        .replace("connector=ipl", "connector=rows")
        .replace("--namespace scores", &format!("--namespace {}", release.namespace))
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

    let shown = release.sink_connector(&["offsets", "show"]);
    assert!(shown.contains(&topic), "{shown}");

    let output = run("bash", &["-euc", &reset(&release)]);
    assert!(output.contains(&topic), "the Job's log: {output}");
    // Read again from the beginning, as requested.
    wait::until(POD, "every record is written a second time", || release.count("rows") == 600);
}
