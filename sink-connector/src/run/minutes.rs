//! The line that a run logs once a minute while records move. Pure.

use std::time::{Duration, Instant};

use crate::observe::throughput::Counters;

const MINUTE: Duration = Duration::from_secs(60);

/// What the last minute has written.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Minute {
    pub records: u64,
    pub rows: u64,
    pub rows_per_second: u64,
    pub dead_letters: u64,
}

/// The minutes of a run.
pub(super) struct Minutes {
    since: Instant,
    counters: Counters,
}

impl Minutes {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, counters: Counters::default() }
    }

    /// The minute that has ended, if records moved in it.
    pub(super) fn ended(&mut self, counters: &Counters, now: Instant) -> Option<Minute> {
        let took = now.duration_since(self.since);
        if took < MINUTE {
            return None;
        }
        self.since = now;
        let before = std::mem::replace(&mut self.counters, counters.clone());
        let rows = counters.rows().saturating_sub(before.rows());
        let records = counters.records.saturating_sub(before.records);
        (records > 0).then(|| Minute {
            records,
            rows,
            rows_per_second: (rows as f64 / took.as_secs_f64()).round() as u64,
            dead_letters: counters.dead_letters.saturating_sub(before.dead_letters),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_with_records_has_a_line_and_an_idle_one_has_none() {
        let start = Instant::now();
        let mut minutes = Minutes::new(start);
        let counters = Counters { records: 130, rows_written: 120, dead_letters: 10, ..Counters::default() };
        assert_eq!(minutes.ended(&counters, start + MINUTE / 2), None);
        let minute = Minute { records: 130, rows: 120, rows_per_second: 2, dead_letters: 10 };
        assert_eq!(minutes.ended(&counters, start + MINUTE), Some(minute));
        assert_eq!(minutes.ended(&counters, start + MINUTE * 2), None);
        let more = Counters { records: 131, ..counters };
        assert_eq!(minutes.ended(&more, start + MINUTE * 3).map(|minute| minute.records), Some(1));
    }
}
