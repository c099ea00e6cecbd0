//! What the next step depends on, beside the outcome of the last: the batch, and the state of the process.

use std::time::Duration;

use crate::batch::Batch;
use crate::batch::retry_limits::RetryLimits;
use crate::writer::strategy::Strategy;

/// What the decisions need to know about the batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::writer) struct BatchFacts {
    /// Records in it.
    pub records: usize,
    /// The cheapest strategy that is correct for it.
    pub cheapest: Strategy,
    /// How many tables its records are for.
    pub tables: usize,
    /// An open breaker held it back, and it is tried again.
    pub probe: bool,
    /// Its table could not be written, or shared a batch with such a table.
    pub retry: Option<Retry>,
}

/// How the batch of such a table is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::writer) enum Retry {
    /// Within a part of the time that a transaction may take: other tables wait.
    Short,
    /// Within all of it: shorter retries took too long.
    Full,
}

impl BatchFacts {
    /// `deadline`: the longest that a transaction may take.
    pub(in crate::writer) fn of(batch: &Batch, deadline: Duration) -> Self {
        let retry = |limits: RetryLimits| if limits.is_below(deadline) { Retry::Short } else { Retry::Full };
        Self {
            records: batch.records().count(),
            cheapest: Strategy::cheapest(batch),
            tables: batch.count_tables(),
            probe: batch.is_probe(),
            retry: batch.retry().map(retry),
        }
    }
}

/// The state of the process, read when an event is handled.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::writer) struct Signals {
    /// Another writer has replaced this one.
    pub abandoned: bool,
    /// The sink is stopping.
    pub shutdown: bool,
    /// The last transaction came further than the fence.
    pub past_the_fence: bool,
    /// The last transaction was ended because it was past its deadline.
    pub overdue: bool,
    /// How long the last attempt took.
    pub took: Duration,
    /// The sink writes more than one table.
    pub several_tables: bool,
}
