//! How many records a writer gets at once where the server cancels statements that take long: halved each time that
//! happens, doubled again after some batches that passed. Pure.

/// Batches that must pass before more is tried, at first; doubled each time that more was too much.
const STAY: u32 = 8;
/// … and at most.
const STAY_MAX: u32 = 256;

/// The memory of one writer's slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portion {
    limit: Option<usize>,
    left: u32,
    stay: u32,
    /// More than was known to pass is being tried.
    trying: bool,
}

impl Default for Portion {
    fn default() -> Self {
        Self { limit: None, left: 0, stay: STAY, trying: false }
    }
}

impl Portion {
    /// Records at once, at most.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// So many records took longer than the server allows.
    pub fn took_too_long(&mut self, records: usize) {
        if std::mem::take(&mut self.trying) {
            self.stay = (self.stay * 2).min(STAY_MAX);
        }
        self.limit = Some(self.limit().min(records / 2).max(1));
        self.left = self.stay;
    }

    /// So many records are written. A batch that was smaller than it might have been says nothing.
    pub fn committed(&mut self, records: usize, max_rows: usize) {
        let Some(limit) = self.limit.filter(|limit| records >= *limit) else { return };
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            let more = limit.saturating_mul(2);
            self.limit = Some(more).filter(|more| *more < max_rows);
            self.left = self.stay;
            self.trying = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_000;

    /// Batches of which more than `fits` records are cancelled: how many are, until so many have passed.
    fn cancelled(portion: &mut Portion, fits: usize, batches: usize) -> usize {
        let (mut cancelled, mut passed) = (0, 0);
        while passed < batches {
            let records = portion.limit().min(MAX);
            if records > fits {
                portion.took_too_long(records);
                cancelled += 1;
            } else {
                portion.committed(records, MAX);
                passed += 1;
            }
        }
        cancelled
    }

    #[test]
    fn it_comes_down_to_what_fits() {
        let mut portion = Portion::default();
        assert_eq!(cancelled(&mut portion, 100, 1), 4);
        assert_eq!(portion.limit(), 62);
        assert_eq!(cancelled(&mut portion, 1, 1), 5);
        assert_eq!(portion.limit(), 1);
        portion.took_too_long(1);
        assert_eq!(portion.limit(), 1);
    }

    #[test]
    fn it_tries_more_ever_more_rarely() {
        let mut portion = Portion::default();
        // 4 to come down, 5 in the 248 batches in which the stay grows from 8 to 256, and every 256 batches from then on.
        assert_eq!(cancelled(&mut portion, 100, 10_000), 4 + 5 + (10_000 - 248) / 256);
    }

    #[test]
    fn it_goes_back_to_whole_batches() {
        let mut portion = Portion::default();
        cancelled(&mut portion, 100, 1);
        cancelled(&mut portion, MAX, 100);
        assert_eq!(portion, Portion { trying: true, limit: None, left: STAY, stay: STAY });
    }

    #[test]
    fn more_than_it_allows_does_not_raise_it() {
        let mut portion = Portion::default();
        portion.took_too_long(4);
        portion.took_too_long(100);
        assert_eq!(portion.limit(), 2);
    }

    #[test]
    fn a_small_batch_says_nothing() {
        let mut portion = Portion::default();
        portion.took_too_long(100);
        let before = portion.clone();
        (0..100).for_each(|_| portion.committed(49, MAX));
        assert_eq!(portion, before);
    }
}
