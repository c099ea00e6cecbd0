//! Limits the log lines of failures that repeat.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often a repeated failure is logged.
const INTERVAL: Duration = Duration::from_secs(60);
/// Bound of remembered failures. A new one replaces the one that was logged longest ago.
const MOST: usize = 32;

/// Logs a failure the first time, and once a minute while it repeats: clients may repeat it thousands of times a second.
#[derive(Debug, Default)]
pub struct RepeatedFailures(Mutex<HashMap<String, Seen>>);

#[derive(Debug)]
struct Seen {
    logged: Instant,
    unlogged: u64,
}

impl RepeatedFailures {
    /// The number of occurrences since the failure was last logged, or `None` if it must not be logged now.
    pub fn to_log(&self, failure: &str, now: Instant) -> Option<u64> {
        let mut failures = self.0.lock();
        if let Some(seen) = failures.get_mut(&kind(failure)) {
            seen.unlogged += 1;
            if now < seen.logged + INTERVAL {
                return None;
            }
            seen.logged = now;
            return Some(std::mem::take(&mut seen.unlogged));
        }
        if failures.len() == MOST {
            let oldest = failures.iter().min_by_key(|(_, seen)| seen.logged).map(|(kind, _)| kind.clone());
            oldest.and_then(|oldest| failures.remove(&oldest));
        }
        failures.insert(kind(failure), Seen { logged: now, unlogged: 0 });
        Some(1)
    }

    /// Forgets all failures, so that the next one is logged at once.
    pub fn ended(&self) {
        self.0.lock().clear();
    }
}

/// The text of a failure without its counters and durations.
fn kind(failure: &str) -> String {
    let digits = |c: &char| c.is_ascii_digit();
    let mut kind = String::with_capacity(failure.len());
    let mut rest = failure.chars().peekable();
    while let Some(c) = rest.next() {
        if digits(&c) {
            while rest.next_if(digits).is_some() {}
            kind.push('0');
        } else {
            kind.push(c);
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> (RepeatedFailures, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (RepeatedFailures::default(), move |more| start + Duration::from_secs(seconds + more))
    }

    #[test]
    fn a_failure_is_logged_once_and_then_counted_once_a_minute() {
        let (failures, at) = after(0);
        assert_eq!(failures.to_log("refused", at(0)), Some(1));
        for second in 1..60 {
            assert_eq!(failures.to_log("refused", at(second)), None);
        }
        assert_eq!(failures.to_log("refused", at(60)), Some(60));
        assert_eq!(failures.to_log("refused", at(61)), None);
    }

    #[test]
    fn another_cause_is_logged_at_once() {
        let (failures, at) = after(0);
        failures.to_log("h:9092: no answer after 12 ms", at(0));
        assert_eq!(failures.to_log("h:9092: no answer after 9000 ms", at(1)), None);
        assert_eq!(failures.to_log("h:9092: SSL handshake failed", at(1)), Some(1));
        assert_eq!(failures.to_log("1/2 brokers are down", at(1)), Some(1));
        assert_eq!(failures.to_log("2/2 brokers are down", at(1)), None);
    }

    #[test]
    fn a_failure_after_the_end_of_its_cause_is_new() {
        let (failures, at) = after(0);
        failures.to_log("refused", at(0));
        failures.ended();
        assert_eq!(failures.to_log("refused", at(1)), Some(1));
    }

    #[test]
    fn any_number_of_causes_takes_bounded_memory() {
        let (failures, at) = after(0);
        for n in 0..10_000_u64 {
            let name: String = n.to_string().bytes().map(|b| char::from(b + 49)).collect();
            assert_eq!(failures.to_log(&name, at(n)), Some(1));
        }
        assert_eq!(failures.0.lock().len(), MOST);
    }
}
