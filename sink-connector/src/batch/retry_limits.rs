//! The limits within which a table that could not be written is tried again. Other tables of the same writer wait meanwhile,
//! so a retry is short at first. Pure.

use std::time::Duration;

/// The first lock_timeout of a retry …
const LOCK_MIN: Duration = Duration::from_millis(300);
/// … and the longest: long enough to get a row that short transactions lock in turn.
const LOCK_MAX: Duration = Duration::from_millis(1_200);
/// The first statement_timeout of a retry. It is doubled each time a statement takes longer.
const STATEMENT_MIN: Duration = Duration::from_millis(1_500);
/// A retry that took too long is followed by one of so many times fewer records.
const FEWER: usize = 8;

/// What the next attempt at a table needs that could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// The end of the trouble.
    Operator,
    /// A record fails, and nothing shows whether it or the table is at fault. More records may.
    MoreRecords,
    /// A longer wait for a lock.
    Lock,
    /// More time, or fewer records.
    Time,
}

/// What a retry may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RetryLimits {
    /// The most records at once.
    pub records: usize,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
}

impl RetryLimits {
    /// The limits of the first retry.
    pub(crate) const FIRST: Self =
        Self { records: usize::MAX, lock_timeout: LOCK_MIN, statement_timeout: STATEMENT_MIN };

    /// After a failure of this many records.
    #[must_use]
    pub(crate) fn after_failure(self, needs: Needs, records: usize) -> Self {
        match needs {
            Needs::Lock => Self { lock_timeout: (self.lock_timeout * 2).min(LOCK_MAX), ..self },
            Needs::Time => Self {
                records: (self.records.min(records) / FEWER).max(1),
                statement_timeout: self.statement_timeout.saturating_mul(2),
                ..self
            },
            Needs::Operator | Needs::MoreRecords => Self { lock_timeout: LOCK_MIN, ..self.shortest() },
        }
    }

    /// The same with the least time.
    #[must_use]
    pub(crate) fn shortest(self) -> Self {
        Self { statement_timeout: STATEMENT_MIN, ..self }
    }

    /// After a retry of this many records that was committed.
    #[must_use]
    pub(crate) fn after_commit(self, records: usize) -> Self {
        let more = if records >= self.records { self.records.saturating_mul(2) } else { self.records };
        Self { records: more, ..self }
    }

    /// Whether a statement gets less time than this.
    pub(crate) fn is_below(&self, time: Duration) -> bool {
        self.statement_timeout < time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_gets_smaller_and_longer_until_one_record_has_all_the_time() {
        let deadline = Duration::from_secs(60);
        let mut limits = RetryLimits::FIRST.after_failure(Needs::Time, 20_000);
        assert_eq!((limits.records, limits.statement_timeout), (2_500, STATEMENT_MIN * 2));
        let mut retries = 1;
        while limits.records > 1 || limits.is_below(deadline) {
            limits = limits.after_failure(Needs::Time, limits.records);
            retries += 1;
        }
        assert_eq!(retries, 6);
        assert_eq!(limits.lock_timeout, LOCK_MIN);
        assert_eq!(limits.after_failure(Needs::Time, 1).records, 1);
        let other = limits.after_failure(Needs::Operator, 1);
        assert_eq!((other.records, other.statement_timeout), (1, STATEMENT_MIN));
    }

    #[test]
    fn a_short_batch_says_nothing_about_a_larger_one() {
        let limits = RetryLimits::FIRST.after_failure(Needs::Time, 80);
        assert_eq!(limits.records, 10);
        assert_eq!(limits.after_failure(Needs::Time, 4).records, 1);
        assert_eq!(limits.after_commit(9), limits);
        assert_eq!(limits.after_commit(10).records, 20);
        assert_eq!(RetryLimits::FIRST.after_commit(10), RetryLimits::FIRST);
    }

    #[test]
    fn a_wait_for_a_lock_gets_longer_up_to_a_maximum() {
        let waited = |limits: RetryLimits| limits.after_failure(Needs::Lock, 10);
        let limits = waited(RetryLimits::FIRST);
        assert_eq!(limits.lock_timeout, LOCK_MIN * 2);
        let last = waited(waited(limits));
        assert_eq!(last.lock_timeout, LOCK_MAX);
        assert_eq!((last.records, last.statement_timeout), (usize::MAX, STATEMENT_MIN));
    }
}
