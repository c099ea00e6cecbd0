//! How many records fill a batch. It grows while full batches are committed quickly, because larger transactions cost
//! PostgreSQL less; it falls back where they take long, because they hold their locks as long. Pure.

use std::time::Duration;

/// The size at first, and after a slow commit.
const FIRST: usize = 5_000;
/// A full batch that is committed within this time doubles the size.
const QUICK: Duration = Duration::from_millis(250);
/// A batch that takes longer sets the size back. Far less than the source waits for a writer without pausing partitions.
const SLOW: Duration = Duration::from_millis(600);

/// The size of the batches of one lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchSize(usize);

impl Default for BatchSize {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl BatchSize {
    /// The number of records at which a batch is full.
    pub(crate) fn rows(self, max_rows: usize) -> usize {
        self.0.min(max_rows)
    }

    /// A batch of `records` was committed, `took` after it was handed over.
    pub(crate) fn committed(&mut self, records: usize, took: Duration, max_rows: usize) {
        if took > SLOW {
            self.0 = FIRST;
        } else if took <= QUICK && records >= self.0 {
            self.0 = self.0.saturating_mul(2).min(max_rows.max(FIRST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 20_000;

    fn after(commits: &[(usize, u64)], max_rows: usize) -> usize {
        let mut size = BatchSize::default();
        for (records, ms) in commits {
            size.committed(*records, Duration::from_millis(*ms), max_rows);
        }
        size.rows(max_rows)
    }

    #[test]
    fn it_grows_while_full_batches_are_committed_quickly() {
        assert_eq!(after(&[], MAX), 5_000);
        assert_eq!(after(&[(5_000, 30)], MAX), 10_000);
        assert_eq!(after(&[(5_000, 30), (10_000, 250)], MAX), 20_000);
        assert_eq!(after(&[(5_000, 30), (10_000, 60), (20_000, 120)], MAX), 20_000);
    }

    #[test]
    fn batches_that_are_not_full_do_not_change_it() {
        assert_eq!(after(&[(4_999, 1), (4_999, 1)], MAX), 5_000);
        assert_eq!(after(&[(5_000, 30), (9_784, 60), (1, 2)], MAX), 10_000);
    }

    #[test]
    fn it_keeps_its_size_between_quick_and_slow_and_falls_back_after_a_slow_one() {
        assert_eq!(after(&[(5_000, 251)], MAX), 5_000);
        assert_eq!(after(&[(5_000, 200), (10_000, 400)], MAX), 10_000);
        assert_eq!(after(&[(5_000, 200), (10_000, 601)], MAX), 5_000);
        assert_eq!(after(&[(5_000, 5_000), (5_000, 5_000)], MAX), 5_000, "a slow table keeps its throughput");
    }

    #[test]
    fn it_is_never_more_than_the_setting() {
        assert_eq!(after(&[(7, 1), (5_000, 1), (10_000, 1)], 7), 7);
        assert_eq!(after(&[(5_000, 1), (10_000, 1)], 12_000), 12_000);
    }
}
