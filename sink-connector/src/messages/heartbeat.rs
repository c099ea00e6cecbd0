//! When a loop last turned, for /livez.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Updated by a loop on every turn, read by /livez.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    started: Instant,
    /// Milliseconds from `started` to the last turn.
    last: AtomicU64,
}

impl Heartbeat {
    /// A heartbeat whose last turn counts as `started`.
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, last: AtomicU64::new(0) }
    }

    /// Notes a turn of the loop.
    pub(crate) fn beat(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// Time since the last turn.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}
