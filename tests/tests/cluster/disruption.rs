//! Pods that go without being asked.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::signals::{self, Signal};
use tests::wait;

use crate::flow::{self, Flow};
use crate::kubectl;
use crate::release::{POD, Release, names};
use crate::world::World;

const NODE: &str = "localhost";

/// Lets pods onto the node again, however the test ends.
struct Drained;

impl Drop for Drained {
    fn drop(&mut self) {
        kubectl::attempt("kubectl", &["uncordon", NODE]);
    }
}

/// `kubectl drain`: the pods of the test that runs are the only ones on the node.
fn drain(timeout: &str) -> kubectl::CommandOutput {
    kubectl::attempt("kubectl", &["drain", NODE, "--delete-emptydir-data", &format!("--timeout={timeout}")])
}

#[test]
fn a_drain_takes_one_sink_at_a_time() {
    let release = Release::new("drained");
    let topic = World::shared().kafka().topic("drained", 4);
    let mut values = release.rows(&topic);
    values["connectors"]["rows"]["replicas"] = json!(2);
    release.install(&values);
    let flow = Flow::start(&topic);
    release.wait_all_write(2);
    let first = release.wait_sinks(2);

    let drained = Drained;
    let output = drain("20s");
    // One went; the other may not go before there is a new one, which has no node to run on.
    assert!(
        !output.succeeded && output.text.contains("would violate the pod's disruption budget"),
        "{}",
        output.text
    );
    let now = release.sinks();
    let stayed = now.iter().filter(|pod| pod.ready && names(&first).contains(pod.name.as_str())).count();
    assert_eq!(stayed, 1, "{now:?}");
    release.wait_more_rows();
    drop(drained);
    release.wait_all_write(2);

    // A sink that cannot write holds up nobody.
    release.sql("ALTER TABLE rows RENAME TO gone");
    release.wait_not_ready();
    let drained = Drained;
    let output = drain("60s");
    assert!(output.succeeded, "{}", output.text);
    release.sql("ALTER TABLE gone RENAME TO rows");
    drop(drained);
    release.wait_all_write(2);
    flow.finish(&release);
}

#[test]
fn a_connector_of_one_pod_lets_a_drain_go_on() {
    let release = Release::new("single");
    let topic = World::shared().kafka().topic("single", 2);
    release.install(&release.rows(&topic));
    let flow = Flow::start(&topic);
    release.wait_all_write(1);
    let drained = Drained;
    let output = drain("60s");
    assert!(output.succeeded, "{}", output.text);
    drop(drained);
    release.wait_all_write(1);
    flow.finish(&release);
}

/// The process of a pod's container, on this machine.
fn process_of(release: &Release, pod: &str) -> i32 {
    let pod = release.json(&["get", "pod", pod]);
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().expect("a running container");
    let id = id.rsplit('/').next().expect("an id").to_owned();
    let mut pids = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<i32>().ok()?;
        let cgroup = fs::read_to_string(entry.path().join("cgroup")).ok()?;
        cgroup.contains(&id).then_some(pid)
    });
    pids.next().expect("the container has a process")
}

#[test]
fn pods_that_are_killed_lose_and_double_nothing() {
    let release = Release::new("killed");
    let topic = World::shared().kafka().topic("killed", 4);
    let mut values = release.rows(&topic);
    values["connectors"]["rows"]["replicas"] = json!(2);
    release.install(&values);
    let flow = Flow::start(&topic);
    release.wait_all_write(2);

    // The process, as by the kernel when memory runs out: the container starts again.
    let victim = release.wait_sinks(2).remove(0).name;
    signals::send(process_of(&release, &victim), Signal::Kill);
    let pod = || release.json(&["get", "pod", &victim]);
    let restarted = |pod: &Value| {
        let container = &pod["status"]["containerStatuses"][0];
        container["restartCount"] == 1 && container["lastState"]["terminated"]["exitCode"] == 137
    };
    wait::holds(POD, "the container is started again", pod, restarted);
    release.wait_all_write(2);

    // The pod, without grace: a new one comes.
    release.kubectl(&["delete", "pod", &victim, "--grace-period=0", "--force"]);
    release.wait_all_write(2);
    assert!(!names(&release.sinks()).contains(victim.as_str()));

    // The pod, as a rollout does it: the sink commits what it has, and ends by itself within its grace.
    let victim = release.wait_sinks(2).remove(0).name;
    let log = Command::new("kubectl")
        .args(["--namespace", &release.namespace, "logs", "--follow", "--tail=0", &victim])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl logs");
    release.kubectl(&["delete", "pod", &victim]);
    let log = log.wait_with_output().expect("the end of the log");
    let log = String::from_utf8_lossy(&log.stdout);
    assert!(log.contains("\"stopped\"") && log.contains("signal"), "{log}");
    release.wait_all_write(2);
    flow.finish(&release);
}

/// Deletes a pod, waits until its container has ended, and returns its exit code and its log.
fn end_gently(release: &Release, pod: &str) -> (i64, String) {
    let finalizers = |value: &str| {
        let patch = format!(r#"{{"metadata":{{"finalizers":{value}}}}}"#);
        release.kubectl(&["patch", "pod", pod, "--type=merge", "--patch", &patch]);
    };
    // It stays to be looked at.
    finalizers(r#"["livescores.test/looked-at"]"#);
    release.kubectl(&["delete", "pod", pod, "--wait=false"]);
    let state = || release.json(&["get", "pod", pod])["status"]["containerStatuses"][0]["state"].clone();
    let state = wait::holds(POD, "the container ends", state, |state| !state["terminated"].is_null());
    let log = release.kubectl(&["logs", pod]);
    finalizers("null");
    (state["terminated"]["exitCode"].as_i64().expect("an exit code"), log)
}

#[test]
fn a_pod_that_ends_while_the_database_is_slow_finishes_its_batch_or_gives_it_up_within_its_grace() {
    let release = Release::new("slow");
    let topic = World::shared().kafka().topic("slow", 1);
    release.install(&release.rows(&topic));
    let slow = |seconds: &str| {
        release.sql(&format!(
            "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER slow BEFORE INSERT ON rows FOR EACH ROW EXECUTE FUNCTION slow()"
        ));
    };
    let sleeps = || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        release.client().query_one(query, &[]).expect("the activity").get::<_, i64>(0) == 1
    };

    // 15 s, the sink has 25 s after SIGTERM, and the kubelet waits 30 s.
    slow("15");
    flow::produce(&topic, 0, 1);
    wait::until(POD, "a batch is at work", sleeps);
    let (code, log) = end_gently(&release, &release.wait_sinks(1)[0].name);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains(r#""rows_written":1"#), "it was finished: {log}");
    assert_eq!(release.count("rows"), 1);

    // Longer than it has: the batch is given up, the sink ends by itself, and the next one writes it.
    slow("28");
    flow::produce(&topic, 1, 2);
    wait::until(POD, "a batch is at work", sleeps);
    let ready = wait::holds(POD, "one sink", || release.sinks(), |pods| pods.len() == 1 && pods[0].ready);
    let (code, log) = end_gently(&release, &ready[0].name);
    assert_eq!(code, 0, "not killed: {log}");
    assert!(log.contains("shutdown timeout") && log.contains(r#""rows_written":0"#), "{log}");
    release.sql("DROP TRIGGER slow ON rows");
    flow::assert_exactly_once(&release, 2);
}
