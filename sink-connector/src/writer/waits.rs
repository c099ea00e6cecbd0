//! How long a writer waits before it tries a batch again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::failure::Failure;
use crate::sqlstate::Class;

/// Backoff between two attempts at the same batch.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// … at most, for failures that pass by themselves.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// … at most, while there is no connection, a lock is held or the operator has to act: an attempt costs little, and a
/// database that is back should be in use again within seconds.
const BACKOFF_MAX_SOON: Duration = Duration::from_secs(2);

/// The waits between attempts at one batch.
#[derive(Default)]
pub struct Waits {
    backoff: Option<(Duration, backon::ExponentialBackoff)>,
}

impl Waits {
    /// How long to wait after `failure`.
    pub fn next(&mut self, failure: &Failure) -> Duration {
        // A lock has been waited for already.
        let soon =
            failure.sqlstate.is_none() || failure.class == Class::Configuration || failure.lock_timeout();
        let max = if soon { BACKOFF_MAX_SOON } else { BACKOFF_MAX };
        if self.backoff.as_ref().is_none_or(|(current, _)| *current != max) {
            let builder =
                ExponentialBuilder::new().with_min_delay(BACKOFF_MIN).with_max_delay(max).with_jitter();
            self.backoff = Some((max, builder.without_max_times().build()));
        }
        self.backoff.as_mut().and_then(|(_, backoff)| backoff.next()).unwrap_or(max).min(max)
    }
}
