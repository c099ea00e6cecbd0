//! The request to stop, made by SIGTERM, by SIGINT or by the program. Every thread can check it and wait for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use signal_hook::consts::signal::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

/// Why the signal handlers could not be installed.
#[derive(Debug, Error)]
pub enum SignalError {
    /// The handlers or their thread were refused by the system.
    #[error("cannot handle SIGTERM and SIGINT: {0}")]
    Install(std::io::Error),
}

/// A handle to the one request to stop; clones share it.
///
/// The request is made at most once and never taken back.
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
    /// A request that only [`Shutdown::request`] makes: for tests and for parts that run without signals.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request that SIGTERM and SIGINT make, seen by a thread of its own.
    ///
    /// The first signal requests an orderly stop. A second signal ends the process at once with exit code 1, which is as
    /// safe as a crash.
    ///
    /// # Errors
    /// [`SignalError::Install`] when the system refuses the handlers or the thread.
    pub fn install() -> Result<Self, SignalError> {
        let shutdown = Self::new();
        let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(SignalError::Install)?;
        let asked = shutdown.clone();
        let watch = move || {
            for signal in signals.forever() {
                let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
                if asked.requested() {
                    tracing::warn!(signal = name, "second signal: exiting at once");
                    // `_exit`: exit handlers of linked libraries could wait for the very threads that hang.
                    signal_hook::low_level::exit(1);
                }
                tracing::info!(signal = name, "stopping");
                asked.request();
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(SignalError::Install)?;
        Ok(shutdown)
    }

    /// Asks to stop: wakes everyone who waits and runs the registered callbacks, on this thread and in
    /// their order. Only the first call does anything.
    pub fn request(&self) {
        let callbacks = {
            let mut waiting = self.lock();
            // Under the lock, so that no callback is registered and no one begins to wait in between.
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

    /// Whether the request was made. Cheap enough for every turn of a loop.
    pub fn requested(&self) -> bool {
        self.shared.requested.load(Ordering::SeqCst)
    }

    /// Waits for the request, at most `limit`; true when it was made.
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

    /// Registers what to run when the request is made, such as waking a thread that waits for something
    /// else. Runs at once if it was made already. It must be quick and must not wait.
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
