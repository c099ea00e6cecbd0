//! Everything that the chart can make, from the hooks before an installation to what an uninstallation leaves.

use serde_json::{Value, json};
use tests::wait;

use crate::flow;
use crate::kubectl::{self, kubectl};
use crate::release::{POD, Release};
use crate::world::{PASSWORD, World};

/// What a namespace holds, but for what Kubernetes itself puts there, and the log of what happened.
fn objects(namespace: &str) -> Vec<String> {
    let kinds = kubectl(&["api-resources", "--verbs=list", "--namespaced", "-o", "name"]);
    let kinds: Vec<_> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let list =
        kubectl(&["--namespace", namespace, "get", &kinds.join(","), "-o", "name", "--ignore-not-found"]);
    let ours = |name: &&str| !["configmap/kube-root-ca.crt", "serviceaccount/default"].contains(name);
    list.lines().filter(ours).map(str::to_owned).collect()
}

/// The owner's SQL makes the table and grants what the sink needs; everything that can be switched on is.
fn everything(release: &Release, topic: &str) -> Value {
    let world = World::shared();
    release.sql("DROP TABLE IF EXISTS rows; CREATE SCHEMA sink AUTHORIZATION sink");
    let owner = format!("{}-owner", release.namespace);
    release.sql(&format!(
        "CREATE ROLE \"{owner}\" LOGIN PASSWORD '{PASSWORD}';
         ALTER DATABASE \"{}\" OWNER TO \"{owner}\"; GRANT CREATE ON SCHEMA public TO \"{owner}\"",
        release.namespace
    ));
    let mut values = release.services();
    values["producer"] = json!({"enabled": true, "mode": "deployment", "config": {"kafka": {"topic": "elsewhere"}}, "replicas": 0});
    values["migration"] = json!({
        "enabled": true,
        "url": world.url(&owner, &release.namespace),
        "secretData": {"password": PASSWORD},
        "sql": "CREATE TABLE IF NOT EXISTS rows (id int NOT NULL, name text);\nGRANT SELECT, INSERT ON rows TO sink;\n",
    });
    values["check"] = json!({"enabled": true});
    values["networkPolicy"] = json!({"enabled": true});
    values["serviceMonitor"] = json!({"enabled": true});
    values["prometheusRule"] = json!({"enabled": true});
    values["dashboards"] = json!({"enabled": true});
    values["connectors"] = json!({
        "rows": {
            "config": {
                "kafka": {"topics": [topic]},
                "sink": {"table": "rows", "insert_mode": "insert", "pk_mode": "none"},
                "offsets": {"table": "sink.offsets"},
                "errors": {"dead_letter_table": "sink.dead_letters"},
            },
        },
        "scaled": {
            "hpa": {"enabled": true},
            "config": {
                "kafka": {"topics": [topic]},
                "sink": {"table": "rows", "insert_mode": "insert", "pk_mode": "none"},
                "offsets": {"table": "sink.offsets"},
                "errors": {"dead_letter_table": "sink.dead_letters"},
            },
        },
    });
    values
}

#[test]
fn everything_switched_on_is_installed_by_roles_with_little_rights_and_leaves_nothing() {
    let release = Release::new("everything");
    let topic = World::shared().kafka().topic("everything", 2);
    let before = objects(&release.namespace);
    assert_eq!(before, Vec::<String>::new(), "an empty namespace");
    let values = everything(&release, &topic);
    flow::produce(&topic, 0, 500);
    let output = release.install(&values);
    assert!(output.contains("STATUS: deployed"), "{output}");
    wait::until(POD, "both connectors wrote every record", || release.count("rows") == 1000);
    let there = objects(&release.namespace).join("\n");
    for kind in [
        "deployment.apps/scores-livescores-rows",
        "deployment.apps/scores-livescores-scaled",
        "deployment.apps/scores-livescores-producer",
        "horizontalpodautoscaler.autoscaling/",
        "networkpolicy.networking.k8s.io/",
        "poddisruptionbudget.policy/",
        "servicemonitor.monitoring.coreos.com/",
        "prometheusrule.monitoring.coreos.com/",
    ] {
        assert!(there.contains(kind), "no {kind} in\n{there}");
    }
    assert!(!there.contains("job.batch/"), "hooks that succeeded are gone: {there}");
    let output = release.test();
    assert!(output.succeeded && output.text.contains("ok: every sink is ready"), "{}", output.text);
    release.upgrade(&values);

    release.run_helm("uninstall", &["--wait", "--timeout", "120s"]);
    let left = || objects(&release.namespace);
    // The pods of a Deployment and their records elsewhere (EndpointSlices) go after it.
    wait::holds(POD, "nothing is left", left, Vec::is_empty);
    assert_eq!(release.count("rows"), 1000, "rows stay");
}

#[test]
fn an_installation_that_could_not_work_does_not_begin() {
    let release = Release::new("refused");
    let mut values = release.rows("no_such_topic");
    values["check"] = json!({"enabled": true, "backoffLimit": 0});
    let output = release.attempt("install", &values, "90s");
    assert!(!output.succeeded, "{}", output.text);
    assert!(output.text.contains("no_such_topic"), "it says why: {}", output.text);
    let list = objects(&release.namespace).join("\n");
    assert!(!list.contains("deployment"), "{list}");

    // The failed Job is there for its log, and goes by itself after a while; everything else goes at once.
    kubectl::attempt("helm", &["uninstall", "scores", "--namespace", &release.namespace, "--wait"]);
    let left = || objects(&release.namespace);
    let only_the_job = |left: &Vec<String>| {
        left.iter().all(|name| name.starts_with("job.batch/") || name.starts_with("pod/"))
    };
    wait::holds(POD, "nothing but the failed Job is left", left, only_the_job);
    let job = release.json(&["get", "job", "scores-livescores-rows-check"]);
    assert!(job["spec"]["ttlSecondsAfterFinished"].is_i64(), "it goes by itself: {job}");
}
