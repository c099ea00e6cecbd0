//! A real Prometheus on a port of its own, and promtool.

use std::fs::{self, File};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::process::{Ending, Process};
use crate::scratch::Scratch;
use crate::{output, ports, wait};

const READY_DEADLINE: Duration = Duration::from_secs(60);

/// Something to scrape.
#[derive(Clone, Debug)]
pub struct Target {
    /// The label `job`.
    pub job: String,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Target {
    /// A target of this job.
    pub fn new(job: &str, address: impl Into<String>) -> Self {
        Self { job: job.to_owned(), address: address.into() }
    }
}

/// A running Prometheus that scrapes and evaluates its rules every second. Killed on drop.
pub struct Prometheus {
    process: Process,
    port: u16,
    dir: Scratch,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug)]
pub struct Alert {
    /// `pending` or `firing`.
    pub state: String,
    /// Its labels, with `alertname`.
    pub labels: Value,
    /// Its annotations.
    pub annotations: Value,
}

impl Alert {
    /// A label, empty when it has none of this name.
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}

impl Prometheus {
    /// Starts it with these targets, all of namespace `test` unless they say otherwise, and these rules.
    ///
    /// # Errors
    /// Prometheus is not installed, or does not come up with this configuration.
    pub fn start(targets: &[Target], rules: &str) -> Result<Self> {
        let dir = Scratch::new("prometheus")?;
        let path = |name: &str| dir.path().join(name);
        fs::write(path("rules.yaml"), rules).context("cannot write the rules")?;
        let jobs: Vec<Value> = targets
            .iter()
            .enumerate()
            .map(|(number, target)| {
                json!({
                    "job_name": format!("{}-{number}", target.job),
                    "honor_labels": true,
                    "static_configs": [{"targets": [target.address], "labels": {"namespace": "test"}}],
                    "relabel_configs": [{"target_label": "job", "replacement": target.job}],
                })
            })
            .collect();
        // JSON is YAML.
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [path("rules.yaml")],
            "scrape_configs": jobs,
        });
        fs::write(path("prometheus.yaml"), config.to_string()).context("cannot write the configuration")?;
        let port = ports::free();
        let log = File::create(path("prometheus.log")).context("cannot write the log")?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", path("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(dir.path())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process =
            Process::spawn(&mut command, Ending::Kill).context("`tests/setup.sh` installs Prometheus")?;
        let prometheus = Self { process, port, dir };
        wait::try_until_ok(READY_DEADLINE, || {
            if prometheus.process.ended().is_some() {
                return Ok(Err(anyhow!("Prometheus ended")));
            }
            prometheus.get("/-/ready", &[]).map(Ok)
        })
        .flatten()
        .with_context(|| format!("Prometheus did not come up\n{}", prometheus.log_tail()))?;
        Ok(prometheus)
    }

    /// The samples of an expression now: a vector's, or one for a scalar.
    ///
    /// # Errors
    /// Prometheus refuses the expression, and says why.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let body = self.get("/api/v1/query", &[("query", expression)])?;
        let answer: Value = serde_json::from_str(&body)?;
        ensure!(answer["status"] == "success", "{} in {expression}", answer["error"]);
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }

    /// Every rule: name, expression, health, last error.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn rules(&self) -> Result<Vec<Value>> {
        let answer: Value = serde_json::from_str(&self.get("/api/v1/rules", &[])?)?;
        let groups = answer["data"]["groups"].as_array().context("no groups")?;
        Ok(groups.iter().filter_map(|group| group["rules"].as_array()).flatten().cloned().collect())
    }

    /// Alerts that are pending or firing now.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        let answer: Value = serde_json::from_str(&self.get("/api/v1/alerts", &[])?)?;
        let alerts = answer["data"]["alerts"].as_array().context("no alerts")?;
        let alert = |alert: &Value| Alert {
            state: alert["state"].as_str().unwrap_or_default().to_owned(),
            labels: alert["labels"].clone(),
            annotations: alert["annotations"].clone(),
        };
        Ok(alerts.iter().map(alert).collect())
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        output::tail(&self.dir.path().join("prometheus.log"), 60)
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .into();
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut response = agent.get(url).query_pairs(parameters.iter().copied()).call()?;
        let body = response.body_mut().read_to_string()?;
        // A refused expression is a 400 with the reason in its body.
        ensure!(response.status().as_u16() <= 422, "{path}: {} {body}", response.status());
        Ok(body)
    }
}

/// Runs `promtool ARGS…` in the workspace.
///
/// # Errors
/// Prometheus is not installed.
pub fn promtool(args: &[&str]) -> Result<Output> {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(crate::paths::workspace(""));
    command.output().context("cannot run promtool: `tests/setup.sh` installs it with Prometheus")
}
