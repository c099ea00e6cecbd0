//! One problem, as /readyz, /status and the summary show it.

use schemars::JsonSchema;
use serde::Serialize;

/// A problem of a component.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProblemStatus {
    /// What fails: `kafka`, `postgres`, a table, a partition, a writer.
    pub component: String,
    /// Why.
    pub reason: String,
    /// When it began. The summary does not have it for errors that ended the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}
