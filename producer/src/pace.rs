//! A steady pace: when the next record is due at a given rate.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// Records per second, more than none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

/// A text that is not a rate.
#[derive(Debug, Error)]
#[error("expected records per second, such as 500/s or 0.5/s")]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let number = text.trim().strip_suffix("/s").unwrap_or(text).trim();
        let per_second: f64 = number.parse().map_err(|_| RateError)?;
        // At least one record a day, so that waits do not overflow a clock.
        if per_second.is_finite() && per_second >= 1.0 / 86_400.0 {
            Ok(Self(per_second))
        } else {
            Err(RateError)
        }
    }
}

/// Spreads records evenly: record `n` is due `n / rate` after the beginning, so that lost time is made up for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    rate: Rate,
    records: u64,
}

impl Pace {
    /// A pace that begins with the next record.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, records: 0 }
    }

    /// How long to wait for the next record, `elapsed` after the beginning. Counts that record.
    pub(crate) fn next(&mut self, elapsed: Duration) -> Duration {
        let due = Duration::from_secs_f64(self.records as f64 / self.rate.0);
        self.records += 1;
        due.saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_per_second() {
        let rate = |text: &str| text.parse::<Rate>().map(|rate| rate.0).ok();
        assert_eq!(
            ["500/s", "500", "0.5/s", " 2 /s"].map(rate),
            [Some(500.0), Some(500.0), Some(0.5), Some(2.0)]
        );
        assert_eq!(["", "/s", "0", "-1/s", "inf", "NaN", "5/m"].map(rate), [None; 7]);
    }

    #[test]
    fn records_are_due_on_a_fixed_timetable() {
        let mut pace = Pace::new(Rate(10.0));
        let ms = Duration::from_millis;
        assert_eq!(pace.next(ms(0)), ms(0));
        assert_eq!(pace.next(ms(30)), ms(70));
        // A second late: the next ten are due at once.
        for _ in 2..=11 {
            assert_eq!(pace.next(ms(1100)), ms(0));
        }
        assert_eq!(pace.next(ms(1100)), ms(100));
    }
}
