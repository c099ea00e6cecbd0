//! What the API server, rather than a schema, thinks of each example of values.

use std::collections::BTreeSet;
use std::env;
use std::fs;

use tests::scratch::Scratch;

use crate::kubectl::{attempt, kubectl, run};

/// The values of `key` in YAML.
fn named<'a>(yaml: &'a str, key: &str) -> BTreeSet<&'a str> {
    yaml.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": ")).collect()
}

#[test]
fn the_server_takes_every_object_of_every_example() {
    let chart = tests::paths::workspace("helm/livescores");
    let namespace = tests::names::unique("objects").replace('_', "-");
    kubectl(&["create", "namespace", &namespace]);
    kubectl(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);

    // Objects that name no namespace go to that of the kubeconfig, and those that do to theirs; `--namespace` refuses the latter.
    let scratch = Scratch::new("objects").expect("a place for objects");
    let kubeconfig = scratch.path().join("kubeconfig");
    fs::copy(env::var("KUBECONFIG").expect("KUBECONFIG"), &kubeconfig).expect("a kubeconfig");
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let here = format!("--namespace={namespace}");
    kubectl(&[&kubeconfig, "config", "set-context", "--current", &here]);

    let mut tried = 0;
    for entry in fs::read_dir(chart.join("ci")).expect("the chart has examples").flatten() {
        let values = entry.path().display().to_string();
        let rendered =
            run("helm", &["template", "scores", &chart.display().to_string(), &here, "--values", &values]);
        // An object is refused while what it names is missing, and a dry run makes none of it.
        for account in named(&rendered, "serviceAccountName") {
            attempt("kubectl", &[&here, "create", "serviceaccount", account]);
        }
        for class in named(&rendered, "priorityClassName") {
            attempt("kubectl", &["create", "priorityclass", class, "--value=1"]);
        }
        for other in named(&rendered, "namespace") {
            attempt("kubectl", &["create", "namespace", other]);
        }
        let objects = scratch.path().join("objects.yaml");
        fs::write(&objects, &rendered).expect("objects can be written");
        let objects = format!("--filename={}", objects.display());
        let output = attempt(
            "kubectl",
            &[
                &kubeconfig,
                "apply",
                "--server-side",
                "--force-conflicts",
                "--dry-run=server",
                "--validate=strict",
                &objects,
            ],
        );
        assert!(output.succeeded && !output.text.contains("Warning"), "{values}: {}", output.text);
        tried += 1;
    }
    assert!(tried > 10, "{tried} examples");
    kubectl(&["delete", "namespace", &namespace]);
}
