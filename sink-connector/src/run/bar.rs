//! The progress bar of a bounded run on a terminal.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use shared::log::{LogFormat, make_room};

use crate::observe::throughput::Rate;

/// Without an end, or before it is known, there is no bar but the numbers.
const WITH_END: &str = "{wide_bar} {human_pos}/{human_len} {msg}";
const WITHOUT_END: &str = "{spinner} {human_pos} {msg}";

/// The bar, on the last line of standard error. Log lines go above it.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar for a run with an end, if standard error is a terminal that somebody reads.
    pub(super) fn new(bounded: bool, format: LogFormat) -> Option<Self> {
        if !bounded || format != LogFormat::Text || !stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::new_spinner().with_style(style(WITHOUT_END));
        let below = bar.clone();
        make_room(Some(Box::new(move |write| below.suspend(write))));
        Some(Self(bar))
    }

    /// Shows how many of `all` records are done.
    pub(super) fn show(&self, records: u64, all: Option<u64>, rate: Rate, lag: Option<i64>) {
        let left = all.map(|all| all.saturating_sub(records));
        if let Some(all) = all {
            if self.0.length().is_none() {
                self.0.set_style(style(WITH_END));
            }
            self.0.set_length(all.max(records));
        }
        self.0.set_position(records);
        self.0.set_message(message(left, rate, lag));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        make_room(None);
        self.0.finish_and_clear();
    }
}

/// The templates are constants; an invalid one shows the default bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn message(left: Option<u64>, rate: Rate, lag: Option<i64>) -> String {
    let lag = lag.and_then(|lag| u64::try_from(lag).ok());
    let lag = lag.map_or_else(String::new, |lag| format!(", lag {}", HumanCount(lag)));
    let per_second = rate.records_per_second;
    let left = match left {
        Some(left) if left > 0 && per_second > 0.0 => {
            let seconds = Duration::from_secs((left as f64 / per_second).ceil() as u64);
            format!(", {} left", HumanDuration(seconds))
        }
        Some(_) | None => String::new(),
    };
    format!("records, {} rows/s{lag}{left}", HumanCount(rate.rows_per_second.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_rate_lag_and_the_time_that_is_left() {
        let rate = Rate { records_per_second: 1_000.0, rows_per_second: 999.6 };
        let full = message(Some(45_000), rate, Some(46_000));
        assert_eq!(full, "records, 1,000 rows/s, lag 46,000, 45 seconds left");
        assert_eq!(message(None, rate, None), "records, 1,000 rows/s");
        assert_eq!(message(Some(5), Rate::default(), Some(5)), "records, 0 rows/s, lag 5");
    }
}
