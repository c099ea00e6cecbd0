//! How many records a writer gets at once: halved each time a batch takes longer than statement_timeout or
//! `postgres.deadline_ms` allows, and doubled again after a number of committed batches. Pure.

/// Batches to commit before the limit is raised, at first. Doubled each time a raised limit proves too high.
const HOLD: u32 = 8;
/// The most batches to commit before the limit is raised.
const HOLD_MAX: u32 = 256;

/// The adaptive limit of one lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AdaptiveLimit {
    limit: Option<usize>,
    /// Batches to commit before the limit is raised next.
    remaining: u32,
    hold: u32,
    /// The limit was raised and has not failed since.
    raised: bool,
}

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self { limit: None, remaining: 0, hold: HOLD, raised: false }
    }
}

impl AdaptiveLimit {
    /// The most records that go to the writer at once.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// A batch of this many records took longer than it may.
    pub(crate) fn took_too_long(&mut self, records: usize) {
        if std::mem::take(&mut self.raised) {
            self.hold = (self.hold * 2).min(HOLD_MAX);
        }
        self.limit = Some(self.limit().min(records / 2).max(1));
        self.remaining = self.hold;
    }

    /// More records than these took too long elsewhere.
    pub(crate) fn lower_to(&mut self, records: usize) {
        if records < self.limit() {
            self.limit = Some(records);
            self.remaining = self.hold;
        }
    }

    /// A batch of this many records is committed. One that is smaller than the limit proves nothing.
    pub(crate) fn committed(&mut self, records: usize, max_rows: usize) {
        let Some(limit) = self.limit.filter(|limit| records >= *limit) else { return };
        self.remaining = self.remaining.saturating_sub(1);
        if self.remaining == 0 {
            let more = limit.saturating_mul(2);
            self.limit = Some(more).filter(|more| *more < max_rows);
            self.remaining = self.hold;
            self.raised = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_000;

    /// Sends batches until `batches` are committed, where the server cancels those of more than `fits` records. Returns
    /// how many it cancelled.
    fn cancelled(limit: &mut AdaptiveLimit, fits: usize, batches: usize) -> usize {
        let (mut cancelled, mut committed) = (0, 0);
        while committed < batches {
            let records = limit.limit().min(MAX);
            if records > fits {
                limit.took_too_long(records);
                cancelled += 1;
            } else {
                limit.committed(records, MAX);
                committed += 1;
            }
        }
        cancelled
    }

    #[test]
    fn it_comes_down_to_the_size_that_fits() {
        let mut limit = AdaptiveLimit::default();
        assert_eq!(cancelled(&mut limit, 100, 1), 4);
        assert_eq!(limit.limit(), 62);
        assert_eq!(cancelled(&mut limit, 1, 1), 5);
        assert_eq!(limit.limit(), 1);
        limit.took_too_long(1);
        assert_eq!(limit.limit(), 1);
    }

    #[test]
    fn it_is_raised_less_and_less_often() {
        let mut limit = AdaptiveLimit::default();
        // 4 to come down, 5 in the 248 batches in which the hold grows from 8 to 256, then one every 256 batches.
        assert_eq!(cancelled(&mut limit, 100, 10_000), 4 + 5 + (10_000 - 248) / 256);
    }

    #[test]
    fn it_returns_to_whole_batches() {
        let mut limit = AdaptiveLimit::default();
        cancelled(&mut limit, 100, 1);
        cancelled(&mut limit, MAX, 100);
        assert_eq!(limit, AdaptiveLimit { raised: true, limit: None, remaining: HOLD, hold: HOLD });
    }

    #[test]
    fn a_larger_batch_that_fails_does_not_raise_it() {
        let mut limit = AdaptiveLimit::default();
        limit.took_too_long(4);
        limit.took_too_long(100);
        assert_eq!(limit.limit(), 2);
    }

    #[test]
    fn a_small_batch_proves_nothing() {
        let mut limit = AdaptiveLimit::default();
        limit.took_too_long(100);
        let before = limit.clone();
        (0..100).for_each(|_| limit.committed(49, MAX));
        assert_eq!(limit, before);
    }
}
