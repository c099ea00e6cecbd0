//! What the API server, rather than a schema, thinks of each example of values.

use std::collections::BTreeSet;
use std::fs;

use crate::kubectl::{attempt, kubectl, run};

#[test]
fn the_server_takes_every_object_of_every_example() {
    let chart = tests::paths::workspace("helm/livescores");
    let namespace = tests::names::unique("objects").replace('_', "-");
    kubectl(&["create", "namespace", &namespace]);
    kubectl(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    let scratch = tests::scratch::Scratch::new("objects").expect("a place for objects");
    let mut tried = 0;
    for entry in fs::read_dir(chart.join("ci")).expect("the chart has examples").flatten() {
        let values = entry.path().display().to_string();
        let rendered = run(
            "helm",
            &[
                "template",
                "scores",
                &chart.display().to_string(),
                "--namespace",
                &namespace,
                "--values",
                &values,
            ],
        );
        // A pod is refused while its account is missing, and a dry run makes none.
        let accounts: BTreeSet<_> =
            rendered.lines().filter_map(|line| line.trim().strip_prefix("serviceAccountName: ")).collect();
        for account in accounts {
            attempt("kubectl", &["--namespace", &namespace, "create", "serviceaccount", account]);
        }
        let file = scratch.path().join("objects.yaml");
        fs::write(&file, &rendered).expect("objects can be written");
        let file = file.display().to_string();
        let said = attempt(
            "kubectl",
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "--dry-run=server",
                "--validate=strict",
                "--namespace",
                &namespace,
                "--filename",
                &file,
            ],
        );
        assert!(said.succeeded && !said.text.contains("Warning"), "{values}: {}", said.text);
        tried += 1;
    }
    assert!(tried > 10, "{tried} examples");
    kubectl(&["delete", "namespace", &namespace]);
}
