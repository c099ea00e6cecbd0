//! The shutdown request, from SIGTERM, SIGINT or the program. Every thread can check it and wait for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use signal_hook::consts::signal::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

use crate::log;

/// The system refused the signal handlers or their thread.
#[derive(Debug, Error)]
#[error("cannot handle SIGTERM and SIGINT")]
pub struct SignalError(#[from] std::io::Error);

/// A handle to the shutdown request; clones share it. The request is made at most once and never withdrawn.
#[derive(Clone, Default)]
pub struct Shutdown {
    shared: Arc<SignalState>,
}

#[derive(Default)]
struct SignalState {
    /// Read without the lock by [`Shutdown::requested`], which hot loops call.
    requested: AtomicBool,
    waiting: Mutex<Vec<Callback>>,
    changed: Condvar,
}

type Callback = Box<dyn FnOnce() + Send>;

impl Shutdown {
    /// A request without signals.
    pub fn new() -> Self {
        Self::default()
    }

    /// Installs handlers for SIGTERM and SIGINT on a new thread. The first signal requests shutdown. The second one ends
    /// the process at once with exit code 1.
    ///
    /// # Errors
    /// See [`SignalError`].
    pub fn install() -> Result<Self, SignalError> {
        let shutdown = Self::new();
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let handle = shutdown.clone();
        let watch = move || {
            for signal in signals.forever() {
                let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
                if handle.requested() {
                    tracing::warn!(signal = name, "second signal: exiting at once");
                    log::flush();
                    // `_exit`, because exit handlers of linked libraries may wait for threads that hang.
                    signal_hook::low_level::exit(1);
                }
                tracing::info!(signal = name, "stopping");
                handle.request();
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
        Ok(shutdown)
    }

    /// Requests shutdown: ends all waits and runs the registered callbacks, in order, on this thread. Further calls do
    /// nothing.
    pub fn request(&self) {
        let callbacks = {
            let mut waiting = self.lock();
            // Under the lock, so that no callback or wait is missed.
            if self.shared.requested.swap(true, Ordering::SeqCst) {
                return;
            }
            std::mem::take(&mut *waiting)
        };
        self.shared.changed.notify_all();
        for callback in callbacks {
            callback();
        }
    }

    /// Whether shutdown was requested. Cheap enough for hot loops.
    pub fn requested(&self) -> bool {
        self.shared.requested.load(Ordering::SeqCst)
    }

    /// Waits for the request, for at most `limit`. Returns whether it was made.
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        let started = Instant::now();
        let mut waiting = self.lock();
        while !self.requested() {
            let Some(left) = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else {
                return false;
            };
            self.shared.changed.wait_for(&mut waiting, left);
        }
        true
    }

    /// Registers a callback for the request, and runs it at once if the request was already made. It must not block.
    pub fn on_request(&self, callback: impl FnOnce() + Send + 'static) {
        {
            let mut waiting = self.lock();
            if !self.requested() {
                waiting.push(Box::new(callback));
                return;
            }
        }
        callback();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Callback>> {
        self.shared.waiting.lock()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shutdown").field("requested", &self.requested()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn waiting_ends_without_the_request_when_its_time_is_over() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.wait_timeout(Duration::from_millis(5)));
        assert!(!shutdown.requested());
    }

    #[test]
    fn a_request_wakes_a_waiting_clone() {
        let shutdown = Shutdown::new();
        let waiting = shutdown.clone();
        let waiter = thread::spawn(move || waiting.wait_timeout(Duration::from_secs(60)));
        shutdown.request();
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn callbacks_run_once_whether_registered_before_or_after() {
        let runs = Arc::new(AtomicUsize::new(0));
        let shutdown = Shutdown::new();
        let count = || {
            let runs = Arc::clone(&runs);
            move || {
                runs.fetch_add(1, Ordering::SeqCst);
            }
        };
        shutdown.on_request(count());
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        shutdown.request();
        shutdown.request();
        shutdown.on_request(count());
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn sigterm_makes_the_request() {
        let shutdown = Shutdown::install().unwrap();
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(shutdown.wait_timeout(Duration::from_secs(10)));
    }
}
