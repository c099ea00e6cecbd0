//! What a run was measured on, and whether the machine was left alone.

use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::setting::Setting;

/// Names of the machine and of what was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's model.
    pub processor: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory in GB.
    pub memory_gb: u64,
    /// The kernel.
    pub kernel: String,
    /// The server's version.
    pub postgres: String,
    /// The broker's version.
    pub kafka: String,
    /// The commit that was built, with `+` if files are changed.
    pub commit: String,
    /// UTC.
    pub date: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn read(setting: &Setting) -> Self {
        let line = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        let memory = line("/proc/meminfo", "MemTotal");
        let memory_kb: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        let changed = if output("git", &["status", "--porcelain", "-uno"]).is_empty() { "" } else { "+" };
        let version = setting.postgres().client().query_one("SHOW server_version", &[]);
        Self {
            processor: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_gb: memory_kb.div_ceil(1 << 20),
            kernel: output("uname", &["-sr"]),
            postgres: version.map_or_else(|_| String::new(), |row| row.get(0)),
            kafka: tests::kafka::install::version().to_owned(),
            commit: output("git", &["rev-parse", "--short", "HEAD"]) + changed,
            date: output("date", &["-u", "+%Y-%m-%d"]),
        }
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Processor time of the whole machine since it was started, in clock ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessorTime {
    total: u64,
    stolen: u64,
}

impl ProcessorTime {
    /// Until now.
    pub(crate) fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        let times: Vec<u64> = fields.take(8).map(|field| field.parse().unwrap_or(0)).collect();
        Self { total: times.iter().sum(), stolen: times.get(7).copied().unwrap_or(0) }
    }

    /// The share that the hypervisor has given to others since `earlier`.
    pub(crate) fn stolen_since(&self, earlier: &Self) -> f64 {
        (self.stolen - earlier.stolen) as f64 / (self.total - earlier.total).max(1) as f64
    }
}
