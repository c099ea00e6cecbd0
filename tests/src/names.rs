//! Names that no other test uses, on services that all tests share.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// `prefix_<pid>_<n>`: fit for a topic, a group, a table, a database and a connector.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{}_{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
