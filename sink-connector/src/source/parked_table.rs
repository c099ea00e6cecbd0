//! A table that cannot be written for now: what is held of it, when it is tried again, and for how long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::batch::retry_limits::{Needs, RetryLimits};
use crate::messages::report::TableTrouble;

/// The wait before a parked table is tried again, at first. Doubled each time.
const RETRY_MIN: Duration = Duration::from_millis(250);
/// … and at most, so that the end of the cause is noticed.
const RETRY_MAX: Duration = Duration::from_secs(3);

/// What is being done for a parked table of one writer.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its partitions are paused until the retry.
    Waiting,
    /// Its batches are with the writer again.
    Retrying,
    /// Its records are fetched again: with more of them it may show whether a record is at fault.
    Fetching,
}

/// A table that a writer could not write.
#[derive(Debug)]
pub(super) struct ParkedTable {
    /// What is tried again, in order: what was in hand and in the queue. None if its records are fetched again.
    pub batches: Vec<Batch>,
    pub stage: Stage,
    pub retry_at: Instant,
    wait: Duration,
    /// What the longest retry may take.
    limits: RetryLimits,
    /// What the last attempt lacked.
    needs: Needs,
    /// Why it is parked, for people.
    pub reason: Arc<str>,
    /// Until then, retries are short: the writer's other tables get as much time as the longest retry took.
    short_until: Instant,
}

/// The parked tables of all writers, by the number of the writer and the label of the table.
#[derive(Default, Debug)]
pub(super) struct ParkedTables(pub BTreeMap<(usize, Arc<str>), ParkedTable>);

impl ParkedTables {
    /// Whether no table is parked.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All batches that wait for a retry.
    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.0.values().flat_map(|parked| &parked.batches)
    }
}

impl ParkedTable {
    /// The table of `batch`, which could not be written, after `took`. `known`: it was parked before.
    pub(super) fn after(
        known: Option<Self>,
        batch: &Batch,
        trouble: &TableTrouble,
        took: Duration,
        now: Instant,
    ) -> Self {
        let needs = trouble.needs;
        let Some(mut parked) = known else {
            return Self {
                batches: Vec::new(),
                stage: Stage::Waiting,
                retry_at: now + RETRY_MIN,
                wait: RETRY_MIN,
                limits: RetryLimits::FIRST.after_failure(needs, batch.records().count()),
                needs,
                reason: Arc::from(trouble.reason.as_str()),
                short_until: now,
            };
        };
        let short = batch.retry().is_none_or(|limits| limits.is_below(parked.limits.statement_timeout));
        // A retry that gets little time shows less than one that got all of it.
        if needs != Needs::Time || matches!(parked.needs, Needs::Lock | Needs::MoreRecords) {
            parked.reason = Arc::from(trouble.reason.as_str());
        }
        parked.needs = needs;
        if needs != Needs::Time {
            parked.limits = parked.limits.after_failure(needs, batch.records().count());
        } else if !short {
            parked.limits = parked.limits.after_failure(needs, batch.records().count());
            parked.short_until = now + took;
        }
        parked.wait = (parked.wait * 2).min(RETRY_MAX);
        Self { stage: Stage::Waiting, retry_at: now + parked.wait, ..parked }
    }

    /// The limits of a retry.
    pub(super) fn limits_at(&self, now: Instant) -> RetryLimits {
        if now < self.short_until { self.limits.shortest() } else { self.limits }
    }
}
