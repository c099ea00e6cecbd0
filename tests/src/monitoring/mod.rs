//! The alerts and dashboards that are shipped, as text. `make monitoring` writes the files; tests check that they are current.

pub mod dashboard;
pub mod dashboards;
pub mod rules;

use std::path::PathBuf;

use anyhow::Result;

use crate::paths;

/// The default URL of the runbook, a placeholder until `prometheusRule.runbookUrl` is set.
pub const RUNBOOK_URL: &str = "https://example.com/livescores/runbook.md";

/// Every generated file with its expected content.
///
/// # Errors
/// The alerts cannot be read, or need a value that has no default.
pub fn files() -> Result<Vec<(PathBuf, String)>> {
    let dashboard = |name: &str| paths::workspace(&format!("helm/livescores/files/dashboards/{name}.json"));
    Ok(vec![
        (paths::workspace("monitoring/rules.yaml"), rules::plain()?),
        (dashboard("sink-connector"), dashboards::sink_connector().to_json()),
        (dashboard("producer"), dashboards::producer().to_json()),
    ])
}
