//! How long a writer waits before it tries a batch again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Backoff between two attempts at the same batch.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// … at most. An attempt costs little, and a database that has recovered should be in use within seconds.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The waits between attempts at one batch.
#[derive(Default, Debug)]
pub(super) struct Waits {
    backoff: Option<backon::ExponentialBackoff>,
}

impl Waits {
    /// How long to wait before the next attempt, at most [`BACKOFF_MAX`].
    pub(super) fn next(&mut self) -> Duration {
        let builder = || {
            let delays = ExponentialBuilder::new().with_min_delay(BACKOFF_MIN).with_max_delay(BACKOFF_MAX);
            delays.with_jitter().without_max_times().build()
        };
        let backoff = self.backoff.get_or_insert_with(builder);
        backoff.next().unwrap_or(BACKOFF_MAX).min(BACKOFF_MAX)
    }
}
