//! Times as text, in one format everywhere: RFC 3339 in UTC, with milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, which is the last year that the format has.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// A time such as `2026-04-08T19:30:00.250Z`. A clock before 1970 or after 9999 shows the first or the last time.
#[must_use]
pub fn text(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// Seconds with one decimal, as people read them.
#[must_use]
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc_whatever_the_clock_shows() {
        assert_eq!(text(UNIX_EPOCH + Duration::from_millis(1_775_676_600_250)), "2026-04-08T19:30:00.250Z");
        assert_eq!(text(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(UNIX_EPOCH + LAST * 2), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn seconds_are_rounded() {
        assert_eq!(seconds(Duration::from_millis(12_349)), 12.3);
    }
}
