//! A bell that ends waits early: shutdown was requested, or what was waited for may work again.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Rings for everybody who waits at that moment.
#[derive(Default, Debug)]
pub struct Pulse {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Pulse {
    /// Ends all waits.
    pub fn ring(&self) {
        *self.lock() += 1;
        self.rung.notify_all();
    }

    /// How often it has rung: taken before the attempt whose failure is then waited out, so that no ring is missed.
    pub fn rings(&self) -> u64 {
        *self.lock()
    }

    /// Waits until it has rung more than `seen` times, at most for `limit`.
    pub fn wait(&self, seen: u64, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut rings = self.lock();
        while *rings == seen {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            rings = self.rung.wait_timeout(rings, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, u64> {
        self.rings.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
