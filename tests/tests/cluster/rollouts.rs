//! Changes of a release while records flow.

use std::env;

use serde_json::json;
use tests::wait;

use crate::flow::{self, Flow};
use crate::kubectl::run;
use crate::release::{POD, Release, names};
use crate::world::{PASSWORD, World};

#[test]
fn a_changed_value_rolls_the_pods_while_records_flow() {
    let release = Release::new("rolled");
    let topic = World::shared().kafka().topic("rolled", 4);
    let mut values = release.rows(&topic);
    values["connectors"]["rows"]["replicas"] = json!(2);
    release.install(&values);
    let flow = Flow::start(&topic);
    release.wait_all_write(2);
    let first = release.wait_sinks(2);

    release.upgrade(&values);
    assert_eq!(names(&release.wait_sinks(2)), names(&first), "the same values change no pod");

    values["connectors"]["rows"]["config"]["batch"] = json!({"max_rows": 777});
    release.upgrade(&values);
    release.wait_all_write(2);
    let second = release.wait_sinks(2);
    assert!(names(&second).is_disjoint(&names(&first)), "{second:?} were {first:?}");
    let config = release.sink_connector(&["config"]);
    assert!(config.contains("777"), "{config}");

    release.run_helm("rollback", &["1", "--wait", "--timeout", "120s"]);
    release.wait_all_write(2);
    let third = release.wait_sinks(2);
    assert!(names(&third).is_disjoint(&names(&second)), "{third:?} were {second:?}");
    flow.finish(&release);
}

/// The image of the sinks under another tag, on the node.
fn tag_image(tag: &str) {
    let socket =
        format!("{}/node/containerd.sock", env::var("LIVESCORES_CLUSTER").expect("the cluster's folder"));
    let ctr = |args: &[&str]| {
        run("ctr", &[&["--address", &socket, "--namespace", "k8s.io", "images"], args].concat())
    };
    let images = ctr(&["list", "--quiet"]);
    let repository = "docker.io/livescores/sink-connector";
    let image =
        images.lines().find(|image| image.starts_with(&format!("{repository}:"))).expect("the sinks' image");
    ctr(&["tag", "--force", image, &format!("{repository}:{tag}")]);
}

#[test]
fn the_next_version_rolls_the_pods_for_its_image_and_not_for_its_chart() {
    let mut release = Release::new("next");
    let topic = World::shared().kafka().topic("next", 4);
    let mut values = release.rows(&topic);
    values["connectors"]["rows"]["replicas"] = json!(2);
    release.install(&values);
    let flow = Flow::start(&topic);
    release.wait_all_write(2);
    let first = release.wait_sinks(2);

    release.change_chart("version", "99.0.0");
    release.upgrade(&values);
    let chart = run("helm", &["get", "metadata", "scores", "--namespace", &release.namespace]);
    assert!(chart.contains("99.0.0"), "{chart}");
    assert_eq!(names(&release.wait_sinks(2)), names(&first), "a chart that renders the same changes no pod");

    tag_image("99.1.0");
    release.change_chart("appVersion", "99.1.0");
    release.upgrade(&values);
    release.wait_all_write(2);
    let second = release.wait_sinks(2);
    assert!(names(&second).is_disjoint(&names(&first)), "{second:?} were {first:?}");
    let images = || release.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}"]);
    assert_eq!(images().matches("sink-connector:99.1.0").count(), 2, "{}", images());

    release.run_helm("rollback", &["1", "--wait", "--timeout", "120s"]);
    release.wait_all_write(2);
    release.wait_sinks(2);
    assert!(!images().contains("99.1.0"), "{}", images());
    flow.finish(&release);
}

#[test]
fn an_upgrade_that_cannot_start_leaves_the_old_pods_at_work_until_the_rollback() {
    let release = Release::new("failed");
    let topic = World::shared().kafka().topic("failed", 4);
    let values = release.rows(&topic);
    release.install(&values);
    let flow = Flow::start(&topic);
    release.wait_all_write(1);
    let first = release.wait_sinks(1);

    let mut broken = values.clone();
    broken["sink"] = json!({"image": {"tag": "no-such-tag"}});
    let output = release.attempt("upgrade", &broken, "15s");
    assert!(!output.succeeded, "{}", output.text);
    let waiting = || {
        let pods = release.json(&["get", "pods", "--selector", "app.kubernetes.io/component=sink"]);
        pods["items"].to_string()
    };
    wait::holds(POD, "the new pod has no image", waiting, |pods| {
        pods.contains("ErrImagePull") || pods.contains("ImagePullBackOff")
    });
    release.wait_more_rows();
    release.run_helm("rollback", &["--wait", "--timeout", "120s"]);
    let now = release.wait_sinks(1);
    assert_eq!(names(&now), names(&first), "the old pod never went");
    flow.finish(&release);
}

#[test]
fn a_rollout_with_a_backlog_does_not_wait_for_it() {
    let release = Release::new("backlog");
    let topic = World::shared().kafka().topic("backlog", 4);
    let mut values = release.rows(&topic);
    values["connectors"]["rows"]["config"]["batch"] = json!({"max_rows": 100});
    values["connectors"]["rows"]["replicas"] = json!(0);
    release.install(&values);
    // Two minutes of work for two pods.
    let records = 40_000;
    flow::produce(&topic, 0, records);
    release.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.006); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON rows FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    values["connectors"]["rows"]["replicas"] = json!(2);
    release.upgrade(&values);
    let written = release.count("rows");
    assert!(
        written < i64::from(records) / 2,
        "the backlog was there when the rollout was over: {written} rows written"
    );
    release.wait_more_rows();
    // Another, in the midst of it.
    values["connectors"]["rows"]["config"]["batch"] = json!({"max_rows": 200});
    release.upgrade(&values);
    let written = release.count("rows");
    assert!(written < i64::from(records), "still: {written} rows written");
    release.sql("DROP TRIGGER slow ON rows");
    flow::assert_exactly_once(&release, records);
}

#[test]
fn a_rotated_password_of_the_chart_rolls_the_pods_and_loses_nothing() {
    let release = Release::new("rotated");
    let topic = World::shared().kafka().topic("rotated", 4);
    let mut values = release.rows(&topic);
    // A role of this test's own, so that no other test meets its new password.
    let role = &release.namespace;
    let give = |password: &str| release.sql(&format!("ALTER ROLE \"{role}\" PASSWORD '{password}'"));
    release.sql(&format!("CREATE ROLE \"{role}\" LOGIN IN ROLE sink"));
    give(PASSWORD);
    values["postgres"]["url"] = json!(World::shared().url(role, &release.namespace));
    release.install(&values);
    let flow = Flow::start(&topic);
    release.wait_all_write(1);
    let first = release.wait_sinks(1);

    give("another");
    release.wait_more_rows();
    values["postgres"]["secretData"]["password"] = json!("another");
    release.upgrade(&values);
    release.wait_all_write(1);
    let second = release.wait_sinks(1);
    assert!(names(&second).is_disjoint(&names(&first)), "{second:?} were {first:?}");

    // A Secret of one's own: the pods restart when the values say so.
    let literal = |password: &str| format!("--from-literal=password={password}");
    release.kubectl(&["create", "secret", "generic", "own", &literal("another")]);
    values["postgres"] = json!({"url": values["postgres"]["url"], "existingSecret": "own"});
    release.upgrade(&values);
    release.wait_all_write(1);
    give("a third");
    release.kubectl(&["delete", "secret", "own"]);
    release.kubectl(&["create", "secret", "generic", "own", &literal("a third")]);
    release.kubectl(&["rollout", "restart", "deployment", "--selector", "app.kubernetes.io/instance=scores"]);
    release.kubectl(&["rollout", "status", "deployment/scores-livescores-rows", "--timeout=90s"]);
    release.wait_all_write(1);
    flow.finish(&release);
}
