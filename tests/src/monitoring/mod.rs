//! The monitoring that is delivered: alerts and dashboards, as text. `make monitoring` writes both, tests compare.

pub mod dashboard;
pub mod dashboards;
pub mod rules;

use std::path::PathBuf;

use anyhow::Result;

use crate::paths;

/// Where the runbook is until somebody says where they keep it.
pub const RUNBOOK_URL: &str = "https://example.com/livescores/runbook.md";

/// Every generated file with what it has to hold.
///
/// # Errors
/// The alerts cannot be read or do not fit their defaults.
pub fn files() -> Result<Vec<(PathBuf, String)>> {
    let dashboard = |name: &str| paths::workspace(&format!("helm/livescores/files/dashboards/{name}.json"));
    Ok(vec![
        (paths::workspace("monitoring/rules.yaml"), rules::plain()?),
        (dashboard("sink-connector"), dashboards::sink_connector().to_json()),
        (dashboard("producer"), dashboards::producer().to_json()),
    ])
}
