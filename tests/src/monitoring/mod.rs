//! The alerts and dashboards that are shipped, as text. `make monitoring` writes the files; tests check that they are current.

pub mod dashboard;
pub mod dashboards;
pub mod rules;

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Map;

use crate::paths;

/// Every generated file with its expected content.
///
/// # Errors
/// The alerts cannot be read, or need a value that has no default.
pub fn files() -> Result<Vec<(PathBuf, String)>> {
    let dashboards =
        [("sink-connector.json", dashboards::sink_connector()), ("producer.json", dashboards::producer())];
    let mut files = vec![(paths::workspace("monitoring/rules.yaml"), rules::plain()?)];
    let mut sections = Map::new();
    for (name, dashboard) in dashboards {
        files.push((
            paths::workspace(&format!("helm/livescores/files/dashboards/{name}")),
            dashboard.to_json(),
        ));
        sections.insert(name.to_owned(), dashboard.sections());
    }
    let mut sections = serde_json::to_string_pretty(&sections)?;
    sections.push('\n');
    files.push((paths::workspace("helm/livescores/files/runbook.json"), sections));
    Ok(files)
}
