//! The open breakers as data: the batches that are kept for the next retry, and the records by which the retry grows. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::Batch;

/// Each retry grows by so many windows of the breaker: past a run of rejected records as long as a window, and by the
/// window that shows whether the topic works again.
const WINDOWS: usize = 2;

/// How far the retries of one writer may grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct GrowthLimits {
    /// Records of one retry.
    pub records: usize,
    /// Bytes of all retries since the breaker opened.
    pub bytes: usize,
}

impl GrowthLimits {
    pub(super) fn new(window: usize, bytes: usize) -> Self {
        Self { records: window.saturating_mul(WINDOWS), bytes }
    }
}

/// The records that follow those that a writer could not write.
#[derive(Default, Debug)]
struct Growth {
    /// Those that are not with the held batches yet.
    batch: Batch,
    /// Bytes of those that are.
    bytes: usize,
}

#[derive(Debug)]
struct OpenBreaker {
    /// Why it opened, with a sample record.
    reason: Arc<str>,
    /// The batches to retry, with their writers.
    held: Vec<(usize, Batch)>,
    /// The records by which the next retry grows, by writer.
    growth: BTreeMap<usize, Growth>,
    /// The growth of the next retry is compared with the topic as it is now, since then; answered: it is the same topic.
    check: Option<(Instant, bool)>,
    /// Writers that are retrying one of them now.
    probes: BTreeSet<usize>,
    retry_at: Instant,
    /// The last retry had records that the one before it did not have.
    grew: bool,
    /// It was retried at least once, and the last retry had all records that there were.
    retried: bool,
}

impl OpenBreaker {
    fn has_growth(&self) -> bool {
        self.growth.values().any(|growth| !growth.batch.is_empty())
    }

    fn is_due(&self, now: Instant) -> bool {
        let anything = !self.held.is_empty() || self.has_growth();
        anything && self.probes.is_empty() && now >= self.retry_at
    }
}

/// The topic of a breaker that closes, and the records by which its next retry would have grown, by writer.
pub(super) type Passed = (Arc<str>, Vec<(usize, Batch)>);

/// What is to be done about a retry.
#[derive(Debug)]
pub(super) enum Retry {
    /// Whether this is still the same topic must be asked first.
    Check(Arc<str>),
    /// These batches go to their writers, in this order.
    Send(Arc<str>, BTreeMap<usize, Vec<Batch>>),
}

/// The open breakers, by topic.
#[derive(Default, Debug)]
pub(super) struct OpenBreakers(BTreeMap<Arc<str>, OpenBreaker>);

impl OpenBreakers {
    /// Why the breaker of the topic is open, if it is.
    pub(super) fn reason(&self, topic: &str) -> Option<&Arc<str>> {
        self.0.get(topic).map(|open| &open.reason)
    }

    /// Why one of them is open, if any is.
    pub(super) fn any(&self) -> Option<&Arc<str>> {
        self.0.values().next().map(|open| &open.reason)
    }

    /// The topics whose breaker is open.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        self.0.keys().cloned().collect()
    }

    /// A writer's batch has opened the breaker, or failed to close it. True if it was closed before.
    pub(super) fn trip(
        &mut self,
        topic: &Arc<str>,
        reason: Arc<str>,
        retry_at: Instant,
        writer: usize,
        was_probe: bool,
    ) -> bool {
        let opens = !self.0.contains_key(topic);
        let open = self.0.entry(Arc::clone(topic)).or_insert_with(|| OpenBreaker {
            reason: Arc::clone(&reason),
            held: Vec::new(),
            growth: BTreeMap::new(),
            check: None,
            probes: BTreeSet::new(),
            retry_at,
            grew: false,
            retried: false,
        });
        open.probes.remove(&writer);
        open.retried |= was_probe && !open.grew;
        (open.reason, open.retry_at) = (reason, retry_at);
        opens
    }

    /// Keeps a batch of an open breaker's topic for the next retry.
    pub(super) fn hold(&mut self, topic: &str, writer: usize, batch: Batch) {
        if let Some(open) = self.0.get_mut(topic) {
            open.held.push((writer, batch));
        }
    }

    /// Whether the next retry of this writer may grow: none is under way, and there is room.
    pub(super) fn may_grow(&self, topic: &str, writer: usize, limits: GrowthLimits) -> bool {
        let Some(open) = self.0.get(topic) else { return false };
        let room = open.growth.get(&writer).is_none_or(|growth| {
            growth.batch.records().count() < limits.records
                && growth.bytes + growth.batch.records().bytes() < limits.bytes
        });
        room && open.check.is_none() && !open.probes.contains(&writer)
    }

    /// The batch that takes the records by which the next retry of this writer grows.
    pub(super) fn growth(&mut self, topic: &str, writer: usize) -> Option<&mut Batch> {
        let open = self.0.get_mut(topic)?;
        open.retried = false;
        Some(&mut open.growth.entry(writer).or_default().batch)
    }

    /// What is due of those breakers that are to be retried now.
    pub(super) fn due(&mut self, now: Instant, answer_timeout: Duration) -> Vec<Retry> {
        let mut due = Vec::new();
        for (topic, open) in self.0.iter_mut().filter(|(_, open)| open.is_due(now)) {
            open.grew = open.has_growth();
            match open.check {
                None if open.grew => {
                    open.check = Some((now, false));
                    due.push(Retry::Check(Arc::clone(topic)));
                }
                Some((asked, false)) if now.saturating_duration_since(asked) < answer_timeout => {}
                _ => due.push(Retry::Send(Arc::clone(topic), open.take())),
            }
        }
        due
    }

    /// These topics were unchanged at `at`.
    pub(super) fn on_same_topics(&mut self, at: Instant, same: &[Arc<str>]) {
        for (topic, open) in &mut self.0 {
            if let Some((asked, answered)) = &mut open.check {
                *answered |= at >= *asked && same.contains(topic);
            }
        }
    }

    /// The writer is not retrying anything of this topic any more.
    pub(super) fn probe_ended(&mut self, topic: &str, writer: usize) {
        if let Some(open) = self.0.get_mut(topic) {
            open.probes.remove(&writer);
            open.growth.remove(&writer);
        }
    }

    /// The writer is not retrying anything any more.
    pub(super) fn probes_ended(&mut self, writer: usize) {
        for open in self.0.values_mut() {
            open.probes.remove(&writer);
        }
    }

    /// Discards what is held for a writer; returns the number of records.
    pub(super) fn forget(&mut self, writer: usize) -> u64 {
        let mut records = 0;
        for open in self.0.values_mut() {
            let discarded = open.held.extract_if(.., |(of, _)| *of == writer).map(|(_, batch)| batch);
            let growth = open.growth.remove(&writer).map(|growth| growth.batch);
            records += discarded.chain(growth).map(|batch| batch.records().count() as u64).sum::<u64>();
            open.probes.remove(&writer);
        }
        records
    }

    /// All batches that are kept.
    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.0.values().flat_map(|open| {
            let growth = open.growth.values().map(|growth| &growth.batch);
            open.held.iter().map(|(_, batch)| batch).chain(growth)
        })
    }

    /// All batches that are kept, to be changed.
    pub(super) fn batches_mut(&mut self) -> impl Iterator<Item = &mut Batch> {
        self.0.values_mut().flat_map(|open| {
            let growth = open.growth.values_mut().map(|growth| &mut growth.batch);
            open.held.iter_mut().map(|(_, batch)| batch).chain(growth)
        })
    }

    pub(super) fn remove_empty(&mut self) {
        for open in self.0.values_mut() {
            open.held.retain(|(_, batch)| !batch.is_empty());
        }
    }

    /// Removes the breakers without a batch to retry. Their topics, and the records that follow, by writer.
    pub(super) fn take_passed(&mut self) -> Vec<Passed> {
        let passed = |open: &OpenBreaker| open.held.is_empty() && open.probes.is_empty();
        let removed = self.0.extract_if(.., |_, open| passed(open));
        let left = |open: OpenBreaker| open.growth.into_iter().map(|(writer, growth)| (writer, growth.batch));
        removed
            .map(|(topic, open)| (topic, left(open).filter(|(_, batch)| !batch.is_empty()).collect()))
            .collect()
    }

    /// Why a breaker stayed open after a retry that had all there was, if one did.
    pub(super) fn failed_retry(&self) -> Option<&Arc<str>> {
        let failed = |open: &&OpenBreaker| open.retried && open.probes.is_empty();
        self.0.values().find(failed).map(|open| &open.reason)
    }
}

impl OpenBreaker {
    /// Takes what a retry consists of, by writer: what is held, and the records that follow.
    fn take(&mut self) -> BTreeMap<usize, Vec<Batch>> {
        self.check = None;
        let mut batches: BTreeMap<usize, Vec<Batch>> = BTreeMap::new();
        for (writer, batch) in self.held.drain(..) {
            batches.entry(writer).or_default().push(batch);
        }
        for (writer, growth) in &mut self.growth {
            growth.bytes += growth.batch.records().bytes();
            let batch = std::mem::take(&mut growth.batch);
            if !batch.is_empty() {
                batches.entry(*writer).or_default().push(batch.into_probe());
            }
        }
        self.probes.extend(batches.keys());
        batches
    }
}
