//! Limits the log lines of failures that repeat.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often a repeated failure is logged.
const INTERVAL: Duration = Duration::from_secs(60);
/// The most lines in this time, whatever fails: the texts of failures may differ without end, and failures may begin and end
/// many times a second.
const MOST_LINES: usize = 10;
/// Bound of remembered failures. A new one replaces the one that was logged longest ago.
const MOST: usize = 32;

/// Logs a failure the first time, and once a minute while it repeats: clients may repeat it thousands of times a second.
#[derive(Debug, Default)]
pub struct RepeatedFailures(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    seen: HashMap<String, Seen>,
    /// When the latest lines were logged.
    lines: VecDeque<Instant>,
}

#[derive(Debug, Default)]
struct Seen {
    logged: Option<Instant>,
    unlogged: u64,
}

impl RepeatedFailures {
    /// The number of occurrences since the failure was last logged, or `None` if it must not be logged now.
    pub fn to_log(&self, failure: &str, now: Instant) -> Option<u64> {
        self.0.lock().seen(kind(failure), now)
    }

    /// Forgets all failures, so that the next one is logged at once.
    pub fn ended(&self) {
        self.0.lock().seen.clear();
    }
}

impl Failures {
    fn seen(&mut self, kind: String, now: Instant) -> Option<u64> {
        if self.seen.len() == MOST && !self.seen.contains_key(&kind) {
            let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.logged).map(|(kind, _)| kind.clone());
            oldest.and_then(|oldest| self.seen.remove(&oldest));
        }
        let seen = self.seen.entry(kind).or_default();
        seen.unlogged += 1;
        if seen.logged.is_some_and(|logged| now < logged + INTERVAL) {
            return None;
        }
        while self.lines.front().is_some_and(|line| now >= *line + INTERVAL) {
            self.lines.pop_front();
        }
        if self.lines.len() == MOST_LINES {
            return None;
        }
        self.lines.push_back(now);
        seen.logged = Some(now);
        Some(std::mem::take(&mut seen.unlogged))
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
        for n in 0..10_000 {
            assert_eq!(failures.to_log(&name(n), at(n * 10)), Some(1));
        }
        assert_eq!(failures.0.lock().seen.len(), MOST);
    }

    #[test]
    fn any_number_of_causes_and_of_ends_has_ten_lines_a_minute() {
        let (failures, at) = after(0);
        let mut lines = 0;
        for n in 0..600 {
            lines += failures.to_log(&name(n), at(n / 10)).iter().count();
            failures.ended();
        }
        assert_eq!(lines, MOST_LINES);
        assert_eq!(failures.to_log("another", at(60)), Some(1));
    }

    #[test]
    fn causes_that_alternate_are_logged_once_each() {
        let (failures, at) = after(0);
        let times =
            |n: u64| failures.to_log(if n.is_multiple_of(2) { "refused" } else { "timed out" }, at(n));
        let lines: Vec<u64> = (0..60).filter_map(times).collect();
        assert_eq!(lines, [1, 1]);
        assert_eq!(times(60), Some(30));
    }

    /// A text without digits for each number.
    fn name(n: u64) -> String {
        n.to_string().bytes().map(|b| char::from(b + 49)).collect()
    }
}
