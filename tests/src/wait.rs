//! Waiting for a condition with a deadline; the only place that sleeps.

use std::fmt::{Debug, Display};
use std::thread;
use std::time::{Duration, Instant};

/// Short enough not to slow a test down, long enough not to load the two cores that the services need.
const POLL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds.
///
/// # Panics
/// When `deadline` has passed, naming `what` was waited for.
#[track_caller]
pub fn until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    holds(deadline, what, &mut condition, |held| *held);
}

/// Observes until `accept` is satisfied, and returns that observation.
///
/// # Panics
/// When `deadline` has passed, with `what` was waited for and the last observation.
#[track_caller]
pub fn holds<T: Debug>(
    deadline: Duration,
    what: &str,
    mut observe: impl FnMut() -> T,
    accept: impl Fn(&T) -> bool,
) -> T {
    let begin = Instant::now();
    loop {
        let seen = observe();
        if accept(&seen) {
            return seen;
        }
        assert!(begin.elapsed() < deadline, "{what}: not within {deadline:?}; last seen: {seen:?}");
        thread::sleep(POLL);
    }
}

/// Tries until `attempt` succeeds, and returns what it gave.
///
/// # Panics
/// When `deadline` has passed, with `what` was tried and the last error.
#[track_caller]
pub fn until_ok<T, E: Display>(deadline: Duration, what: &str, attempt: impl FnMut() -> Result<T, E>) -> T {
    match try_until_ok(deadline, attempt) {
        Ok(value) => value,
        Err(error) => panic!("{what}: not within {deadline:?}; last error: {error:#}"),
    }
}

/// Tries until `attempt` succeeds.
///
/// # Errors
/// The last error once `deadline` has passed.
pub fn try_until_ok<T, E>(deadline: Duration, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let begin = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if begin.elapsed() >= deadline => return Err(error),
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Asserts that `condition` holds during the whole of `span`: for what must *not* happen.
///
/// # Panics
/// As soon as `condition` is false.
#[track_caller]
pub fn stays(span: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while begin.elapsed() < span {
        assert!(condition(), "{what}: no longer after {:?}", begin.elapsed());
        thread::sleep(POLL);
    }
}

/// Lets time pass: between faults at random moments, never to wait for something.
pub fn let_pass(span: Duration) {
    thread::sleep(span);
}
