//! A namespace with a release of the chart in it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tests::scratch::Scratch;
use tests::{Metrics, wait};

use crate::kubectl::{self, CommandOutput, kubectl, run};
use crate::world::{PASSWORD, World};

/// For a pod to start or to end.
pub(crate) const POD: Duration = Duration::from_secs(90);
/// Pod Security that admits nothing but the strictest.
const RESTRICTED: &str = "pod-security.kubernetes.io/enforce=restricted";

/// A namespace that enforces Pod Security *restricted*, a database of the same name, and a place for values.
pub(crate) struct Release {
    pub(crate) namespace: String,
    world: &'static World,
    files: Scratch,
    chart: Option<Scratch>,
}

/// A pod as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) ready: bool,
    /// Being deleted.
    pub(crate) ending: bool,
    pub(crate) restarts: i64,
}

impl Release {
    pub(crate) fn new(prefix: &str) -> Self {
        let world = World::shared();
        let namespace = tests::names::unique(prefix).replace('_', "-");
        world.postgres().create_database(&namespace);
        let release = Self {
            namespace,
            world,
            files: Scratch::new("values").expect("a place for values"),
            chart: None,
        };
        release.sql(&format!("ALTER DATABASE \"{}\" OWNER TO sink", release.namespace));
        kubectl(&["create", "namespace", &release.namespace]);
        kubectl(&["label", "namespace", &release.namespace, RESTRICTED]);
        release
    }

    /// Values for a connector `rows` that writes `topic` to the table `rows`, which has no key: there a record that was
    /// written twice is seen.
    pub(crate) fn rows(&self, topic: &str) -> Value {
        self.sql("CREATE TABLE rows (id int, name text); ALTER TABLE rows OWNER TO sink");
        let connector = json!({
            "kafka": {"topics": [topic]},
            "sink": {"table": "rows", "insert_mode": "insert", "pk_mode": "none"},
        });
        let mut values = self.services();
        values["connectors"] = json!({"rows": {"config": connector}});
        values
    }

    /// Values that say where Kafka and this release's database are.
    pub(crate) fn services(&self) -> Value {
        json!({
            "kafka": {
                "bootstrapServers": self.world.bootstrap(),
                // A killed pod's partitions move on after this.
                "properties": {"session.timeout.ms": "6000"},
            },
            "postgres": {"url": self.world.url("sink", &self.namespace), "secretData": {"password": PASSWORD}},
        })
    }

    /// The database's superuser, from here.
    pub(crate) fn client(&self) -> postgres::Client {
        tests::postgres::connect(&self.world.postgres().url_of(&self.namespace))
    }

    #[track_caller]
    pub(crate) fn sql(&self, statements: &str) {
        self.client().batch_execute(statements).expect("SQL of a test");
    }

    /// How many rows `table` holds.
    #[track_caller]
    pub(crate) fn count(&self, table: &str) -> i64 {
        self.client().query_one(&format!("SELECT count(*) FROM {table}"), &[]).expect("a count").get(0)
    }

    fn values_file(&self, values: &Value) -> String {
        let file = self.files.path().join("values.json");
        fs::write(&file, values.to_string()).expect("values can be written");
        file.display().to_string()
    }

    fn helm(&self, command: &[&str], values: &Value, more: &[&str]) -> Vec<String> {
        let chart = self.chart.as_ref().map_or_else(
            || tests::paths::workspace("helm/livescores").display().to_string(),
            |chart| chart.path().display().to_string(),
        );
        let file = self.values_file(values);
        let fixed = ["scores", &chart, "--namespace", &self.namespace, "--values", &file];
        command.iter().chain(&fixed).chain(more).map(|arg| (*arg).to_owned()).collect()
    }

    /// `helm install --wait`; returns what it printed.
    #[track_caller]
    pub(crate) fn install(&self, values: &Value) -> String {
        let args = self.helm(&["install"], values, &["--wait", "--timeout", "120s"]);
        run("helm", &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `helm upgrade --wait` with these values and nothing of the ones before.
    #[track_caller]
    pub(crate) fn upgrade(&self, values: &Value) -> String {
        let args = self.helm(&["upgrade"], values, &["--wait", "--timeout", "120s", "--reset-values"]);
        run("helm", &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// From now on the chart is as somebody who changed `key` of its Chart.yaml delivers it.
    pub(crate) fn change_chart(&mut self, key: &str, value: &str) {
        let chart = self.chart.get_or_insert_with(|| {
            let copy = Scratch::new("chart").expect("a place for a chart");
            let original = format!("{}/.", tests::paths::workspace("helm/livescores").display());
            run("cp", &["-r", &original, &copy.path().display().to_string()]);
            copy
        });
        let file = chart.path().join("Chart.yaml");
        let chart = fs::read_to_string(&file).expect("Chart.yaml");
        let key = format!("{key}: ");
        assert!(chart.lines().any(|line| line.starts_with(&key)), "{key} in {chart}");
        let change = |line: &str| match line.starts_with(&key) {
            true => format!("{key}\"{value}\"\n"),
            false => format!("{line}\n"),
        };
        fs::write(&file, chart.lines().map(change).collect::<String>()).expect("Chart.yaml");
    }

    /// An installation or upgrade that may fail.
    pub(crate) fn attempt(&self, command: &str, values: &Value, timeout: &str) -> CommandOutput {
        let args = self.helm(&[command], values, &["--wait", "--timeout", timeout]);
        kubectl::attempt("helm", &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `helm test`, and what its pods printed.
    pub(crate) fn test(&self) -> CommandOutput {
        kubectl::attempt("helm", &["test", "scores", "--namespace", &self.namespace])
    }

    /// `helm COMMAND scores ARGS…`.
    #[track_caller]
    pub(crate) fn run_helm(&self, command: &str, args: &[&str]) -> String {
        run("helm", &[&[command, "scores", "--namespace", &self.namespace], args].concat())
    }

    /// `kubectl ARGS…` in this namespace.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        kubectl(&[&["--namespace", &self.namespace], args].concat())
    }

    /// `kubectl ARGS… -o json` in this namespace.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        kubectl::json(&[&["--namespace", &self.namespace], args].concat())
    }

    /// `sink-connector ARGS…` in a pod of the connector `rows`.
    #[track_caller]
    pub(crate) fn sink_connector(&self, args: &[&str]) -> String {
        let file = "/etc/livescores/sink-connector.toml";
        let exec = ["exec", "deployment/scores-livescores-rows", "--", "sink-connector", "--config", file];
        self.kubectl(&[&exec, args].concat())
    }

    /// The sinks' pods, by name.
    #[track_caller]
    pub(crate) fn sinks(&self) -> Vec<Pod> {
        let list = self.json(&["get", "pods", "--selector", "app.kubernetes.io/component=sink"]);
        list["items"].as_array().expect("a list").iter().map(Pod::of).collect()
    }

    /// Waits until `count` sinks are ready and no other is left; returns them.
    #[track_caller]
    pub(crate) fn wait_sinks(&self, count: usize) -> Vec<Pod> {
        wait::holds(
            POD,
            "every sink is ready",
            || self.sinks(),
            |pods| pods.len() == count && pods.iter().all(|pod| pod.ready && !pod.ending),
        )
    }

    /// Waits until no sink is ready.
    #[track_caller]
    pub(crate) fn wait_not_ready(&self) {
        wait::holds(POD, "no sink is ready", || self.sinks(), |pods| pods.iter().all(|pod| !pod.ready));
    }

    /// Waits until the table `rows` has more than it has now.
    #[track_caller]
    pub(crate) fn wait_more_rows(&self) {
        let before = self.count("rows");
        wait::until(POD, "rows are written", || self.count("rows") > before);
    }

    /// Waits until every one of `count` sinks has partitions and has written rows since.
    #[track_caller]
    pub(crate) fn wait_all_write(&self, count: usize) {
        let pods = self.wait_sinks(count);
        for pod in &pods {
            let written = || pod.metrics().map_or(f64::NAN, |metrics| metrics.sum("sink_rows_written_total"));
            let before = written().max(0.0);
            wait::until(POD, "every sink writes rows", || written() > before);
        }
    }
}

impl Drop for Release {
    /// The node is small, and the next test has it for itself.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for what in [
                &["get", "pods,jobs,events"][..],
                &["logs", "--all-pods=true", "--tail=20", "deployment/scores-livescores-rows"],
            ] {
                let output = kubectl::attempt("kubectl", &[&["--namespace", &self.namespace], what].concat());
                eprintln!("{}", output.text);
            }
        }
        let gone = kubectl::attempt("kubectl", &["delete", "namespace", &self.namespace, "--timeout=90s"]);
        if !gone.succeeded {
            eprintln!("namespace {}: {}", self.namespace, gone.text);
        }
    }
}

impl Pod {
    fn of(pod: &Value) -> Self {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let containers = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        Self {
            name: pod["metadata"]["name"].as_str().expect("a name").to_owned(),
            address: pod["status"]["podIP"].as_str().unwrap_or_default().to_owned(),
            ready: conditions.iter().any(|held| held["type"] == "Ready" && held["status"] == "True"),
            ending: !pod["metadata"]["deletionTimestamp"].is_null(),
            restarts: containers.iter().filter_map(|container| container["restartCount"].as_i64()).sum(),
        }
    }

    /// A scrape of a sink, as Prometheus would.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::scrape(&format!("{}:9464", self.address))
    }
}

/// Their names.
pub(crate) fn names(pods: &[Pod]) -> BTreeSet<&str> {
    pods.iter().map(|pod| pod.name.as_str()).collect()
}
