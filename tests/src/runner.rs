//! Our binaries as processes: started with a configuration file, watched over HTTP, ended by signals.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::config::{Config, ProducerConfig, SinkConfig};
use crate::metrics::Metrics;
use crate::output::{Output, tail};
use crate::process::{Ending, Process};
use crate::scratch::Scratch;
use crate::signals::Signal;
use crate::{http, paths, ports, wait};

/// One of our binaries, running. Killed on drop; its log is printed then if the test failed.
pub struct Running {
    process: Process,
    started: Instant,
    http: String,
    dir: Scratch,
}

/// A running sink-connector.
pub type Sink = Running;
/// A running producer.
pub type Producer = Running;

impl SinkConfig {
    /// Starts `sink-connector ARGS…` with this configuration, HTTP on a free port unless `http.listen` is set.
    ///
    /// # Panics
    /// When the binary is missing.
    #[track_caller]
    pub fn start(&self, args: &[&str]) -> Sink {
        Running::start("sink-connector", "SINK_BIN", self.config(), args)
    }

    /// Starts `sink-connector run`.
    #[track_caller]
    pub fn run(&self) -> Sink {
        self.start(&["run"])
    }

    /// Runs `sink-connector ARGS…` to its end.
    ///
    /// # Panics
    /// When it does not end within `deadline`.
    #[track_caller]
    pub fn finish(&self, args: &[&str], deadline: Duration) -> Output {
        self.start(args).wait(deadline)
    }

    /// Runs `sink-connector run` to the end of its topics, which takes a minute at most, and asserts that it exits with 0
    /// and accounts for every record.
    #[track_caller]
    pub fn until_end(&self) -> Output {
        self.until_end_within(Duration::from_secs(60))
    }

    /// The same for a run that may take longer.
    #[track_caller]
    pub fn until_end_within(&self, deadline: Duration) -> Output {
        let seconds = format!("{}s", deadline.as_secs());
        let args = ["run", "--until-end", "--deadline", &seconds, "--summary", "json"];
        let run = self.finish(&args, deadline + Duration::from_secs(30)).expect_code(0);
        run.assert_accounted();
        run
    }
}

impl ProducerConfig {
    /// Starts `producer ARGS…` with this configuration, HTTP on a free port unless `http.listen` is set.
    ///
    /// # Panics
    /// When the binary is missing.
    #[track_caller]
    pub fn start(&self, args: &[&str]) -> Producer {
        Running::start("producer", "PRODUCER_BIN", self.config(), args)
    }

    /// Runs `producer ARGS…` to its end.
    ///
    /// # Panics
    /// When it does not end within `deadline`.
    #[track_caller]
    pub fn finish(&self, args: &[&str], deadline: Duration) -> Output {
        self.start(args).wait(deadline)
    }
}

impl Running {
    #[track_caller]
    fn start(binary: &str, variable: &str, config: &Config, args: &[&str]) -> Self {
        let dir = Scratch::new(binary).expect("a temporary directory");
        let mut config = config.clone();
        if config.get("http.listen").is_none() {
            config.set("http.listen", format!("127.0.0.1:{}", ports::free()));
        }
        let http = config.get("http.listen").and_then(|value| value.as_str()).expect("an address").to_owned();
        let file = dir.path().join("config.toml");
        fs::write(&file, config.to_toml()).expect("the configuration file");
        let output = |name| File::create(dir.path().join(name)).expect("an output file");

        let program = config.program().map_or_else(|| paths::binary(binary, variable), Path::to_owned);
        let mut command = Command::new(program);
        command.arg("--config").arg(&file).args(args).current_dir(paths::workspace(""));
        // A developer's own settings are not this test's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command.envs(config.variables()).stdout(output("stdout")).stderr(output("stderr"));
        let process = Process::spawn(&mut command, Ending::Kill).expect("our binary starts");
        Self { process, started: Instant::now(), http, dir }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With its log, when it does not end within `deadline`.
    #[track_caller]
    pub fn wait(&self, deadline: Duration) -> Output {
        let ended = self.process.wait(deadline);
        let ended = ended.unwrap_or_else(|| panic!("still running after {deadline:?}\n{}", self.log_tail()));
        let peak = self.process.peak_rss_bytes();
        Output::new(ended, self.stdout(), self.stderr(), peak, self.started.elapsed())
    }

    /// Whether it still runs (stopped counts).
    pub fn is_running(&self) -> bool {
        self.process.ended().is_none()
    }

    /// SIGTERM: it should drain and exit 0.
    pub fn sigterm(&self) {
        self.process.signal(Signal::Term);
    }

    /// SIGINT: Ctrl-C.
    pub fn sigint(&self) {
        self.process.signal(Signal::Int);
    }

    /// SIGKILL, and waits until it is gone.
    pub fn sigkill(&self) {
        self.process.kill_family();
    }

    /// SIGSTOP, and waits until it is frozen.
    pub fn sigstop(&self) {
        self.process.pause_family();
    }

    /// SIGCONT.
    pub fn sigcont(&self) {
        self.process.resume_family();
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Resident memory now.
    pub fn rss_bytes(&self) -> u64 {
        self.process.rss_bytes()
    }

    /// The most resident memory it ever had.
    pub fn peak_rss_bytes(&self) -> u64 {
        self.process.peak_rss_bytes()
    }

    /// User and system time so far.
    pub fn cpu_seconds(&self) -> f64 {
        self.process.cpu_seconds()
    }

    /// Where it serves HTTP: `127.0.0.1:PORT`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// GET of a path: status and body, whatever the status.
    ///
    /// # Errors
    /// Nobody answers within two seconds.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        http::get(&self.http, path)
    }

    /// A scrape of /metrics.
    ///
    /// # Errors
    /// Nobody answers, or not with metrics.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::scrape(&self.http)
    }

    /// Waits until /readyz answers 200.
    ///
    /// # Panics
    /// With the last answer, when it does not within `deadline`.
    #[track_caller]
    pub fn wait_ready(&self, deadline: Duration) {
        wait::until_ok(deadline, "/readyz answers 200", || {
            let (status, body) = self.get("/readyz").context("no answer")?;
            ensure!(status == 200, "{status} {body}");
            Ok(())
        });
    }

    /// Waits until /readyz answers 503 with each of these words, and returns the answer.
    ///
    /// # Panics
    /// With the last answer, when it does not within `deadline`.
    #[track_caller]
    pub fn wait_not_ready(&self, deadline: Duration, words: &[&str]) -> String {
        wait::until_ok(deadline, &format!("/readyz answers 503 with {words:?}"), || {
            let (status, body) = self.get("/readyz").context("no answer")?;
            ensure!(status == 503 && words.iter().all(|word| body.contains(word)), "{status} {body}");
            Ok(body)
        })
    }

    /// Asserts that /livez answers 200.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn assert_live(&self) {
        let (status, body) = self.get("/livez").expect("/livez answers");
        assert_eq!(status, 200, "{body}");
    }

    /// SIGTERM, and asserts that it exits with 0.
    ///
    /// # Panics
    /// With its log, when it does not within `deadline`.
    #[track_caller]
    pub fn stop(&self, deadline: Duration) -> Output {
        self.sigterm();
        self.wait(deadline).expect_code(0)
    }

    /// The sum of a metric over all labels; 0 while nobody answers.
    pub fn sum(&self, name: &str) -> f64 {
        self.sum_where(name, &[])
    }

    /// The sum of a metric over the samples with these labels; 0 while nobody answers.
    pub fn sum_where(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().map_or(0.0, |metrics| metrics.sum_where(name, labels))
    }

    /// Waits until a sum over a metric's labels is accepted, and returns it; no answer counts as NaN.
    ///
    /// # Panics
    /// With the last value, when it is not within `deadline`.
    #[track_caller]
    pub fn wait_metric(&self, deadline: Duration, name: &str, accept: impl Fn(f64) -> bool) -> f64 {
        let observe = || self.metrics().map_or(f64::NAN, |metrics| metrics.sum(name));
        wait::holds(deadline, name, observe, |value| accept(*value))
    }

    /// Asserts on a live scrape that consumed = written + deleted + skipped + dead letters, and returns how many
    /// records that are. For a sink that has nothing to write: counters of one commit do not move at one instant.
    ///
    /// # Panics
    /// With the last scrape's sums, when they stay different.
    #[track_caller]
    pub fn assert_accounted(&self) -> u64 {
        let what = "consumed = written + deleted + skipped + dead letters";
        let observe = || self.metrics().map_or((f64::NAN, f64::NAN), |metrics| metrics.accounts());
        let (consumed, _) = wait::holds(Duration::from_secs(10), what, observe, |(consumed, accounted)| {
            consumed == accounted
        });
        consumed as u64
    }

    /// What it printed on stdout so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// Its log so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.path("stderr"), 60)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- log of pid {} ---\n{}\n---", self.pid(), self.log_tail());
        }
    }
}

fn is_ours(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("SINK__") || name.starts_with("PRODUCER__")
}
