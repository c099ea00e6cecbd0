//! The last errors of the components, for /status.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;
use shared::time;

/// Shorter errors do not count: a retry that succeeded, a connection that was replaced.
pub(super) const LASTED: Duration = Duration::from_secs(1);
/// How many are kept.
const KEPT: usize = 5;

/// An error that lasted.
#[derive(Clone, Debug)]
pub(super) struct LastError {
    /// Component and reason.
    pub error: String,
    pub since: SystemTime,
    /// When the component recovered.
    pub until: Option<SystemTime>,
}

/// The same in /status.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorStatus {
    /// Component and reason.
    pub error: String,
    /// When it began.
    pub timestamp: String,
    /// When the component recovered. Null: it still lasts.
    pub recovered_timestamp: Option<String>,
}

impl LastError {
    pub(super) fn status(&self) -> ErrorStatus {
        ErrorStatus {
            error: self.error.clone(),
            timestamp: time::text(self.since),
            recovered_timestamp: self.until.map(time::text),
        }
    }
}

/// Errors that have ended, the latest first.
#[derive(Debug, Default)]
pub(super) struct LastErrors(VecDeque<LastError>);

impl LastErrors {
    /// An error has ended.
    pub(super) fn push(&mut self, error: LastError) {
        self.0.truncate(KEPT - 1);
        self.0.push_front(error);
    }

    /// The errors that last, and then those that have ended, [`KEPT`] at most.
    pub(super) fn with(&self, lasting: Vec<LastError>) -> Vec<LastError> {
        let mut all = lasting;
        all.sort_by_key(|error| std::cmp::Reverse(error.since));
        all.extend(self.0.iter().cloned());
        all.truncate(KEPT);
        all
    }
}
