//! A wake-up that ends waits early, at shutdown or when a dependency is reachable again.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Notifies all threads that wait at that moment.
#[derive(Default, Debug)]
pub(crate) struct WakeUp {
    notifications: Mutex<u64>,
    notified: Condvar,
}

impl WakeUp {
    pub(crate) fn notify(&self) {
        *self.notifications.lock() += 1;
        self.notified.notify_all();
    }

    /// The number of notifications so far. Read it before an attempt, and pass it to the wait after a failure, so that a
    /// notification during the attempt is not missed.
    pub(crate) fn seen(&self) -> u64 {
        *self.notifications.lock()
    }

    /// Waits for a notification after `seen`, for `limit` at most.
    pub(crate) fn wait(&self, seen: u64, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut notifications = self.notifications.lock();
        while *notifications == seen {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.notified.wait_for(&mut notifications, left);
        }
    }
}
