//! How a batch is written: the cheapest way first, a more careful one after each refusal.

use crate::batch::Batch;

/// How a batch is written. The later ones cost more and find out more about single records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Strategy {
    /// All rows at once.
    Whole,
    /// In runs in which no record hides another that the server would refuse. It checks rows, so merging records or
    /// deleting beside others would change its answer.
    Runs,
    /// In runs, each inside a savepoint, halved where the server refuses.
    Bisect,
    /// As in bisect; in addition, a record may be rejected for an error that looks like configuration.
    Confirm,
    /// For a single record that takes too long: as in bisect, with a limit on the time of each statement. It may be rejected
    /// if other rows of its table take less.
    Timed,
}

impl Strategy {
    /// The cheapest that is correct for this batch.
    pub(crate) fn cheapest(batch: &Batch) -> Self {
        if batch.hides_refusals() { Self::Runs } else { Self::Whole }
    }
}
