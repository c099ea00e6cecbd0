//! The error policy, applied to each batch before its commit.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::batch::Batch;
use crate::config::{Errors, Tolerance};
use crate::rejects::breaker::{BreakerLimits, Breakers, History, Run};
use crate::rejects::dead_letters::DeadLetter;
use crate::types::{Offset, TopicPartition};

/// A rejected record that the error policy does not tolerate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    pub partition: TopicPartition,
    pub offset: Offset,
    pub reason: String,
}

/// The decision on a batch that could be committed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Commit it with its dead letters.
    #[default]
    Commit,
    /// Commit what is before these records, the first rejected one of each partition, and stop.
    Stop(Vec<RejectedRecord>),
    /// Commit nothing: the breakers of these topics are open, with their reasons.
    Trip(BTreeMap<Arc<str>, String>),
}

/// The policy, shared by all writers.
#[derive(Debug)]
pub(crate) struct Policy {
    tolerance: Tolerance,
    state: Mutex<PolicyState>,
}

#[derive(Debug)]
struct PolicyState {
    breakers: Breakers,
    remembered: HashSet<TopicPartition>,
}

impl Policy {
    pub(crate) fn new(errors: &Errors) -> Self {
        let limits =
            BreakerLimits { ratio: errors.breaker_ratio, window: errors.breaker_window_records as u64 };
        let state = PolicyState { breakers: Breakers::new(limits), remembered: HashSet::new() };
        Self { tolerance: errors.tolerance, state: Mutex::new(state) }
    }

    /// Decides on a writer's batch with these dead letters.
    pub(crate) fn decide(&self, writer: usize, batch: &Batch, dead_letters: &[DeadLetter<'_>]) -> Decision {
        if self.tolerance == Tolerance::None {
            let firsts = firsts(batch, dead_letters);
            return if firsts.is_empty() { Decision::Commit } else { Decision::Stop(firsts) };
        }
        let mut tripped = BTreeMap::new();
        let mut state = self.lock();
        for (topic, outcomes) in outcomes(batch, dead_letters) {
            if !state.breakers.decide(writer, &topic, outcomes, batch.is_probe()) {
                let reason = sample(batch, dead_letters, &topic, state.breakers.limits());
                tripped.insert(topic, reason);
            }
        }
        if tripped.is_empty() {
            return Decision::Commit;
        }
        state.breakers.dropped(writer);
        Decision::Trip(tripped)
    }

    /// The batch of the last decision is committed.
    pub(crate) fn committed(&self, writer: usize) {
        self.lock().breakers.committed(writer);
    }

    /// The batch of the last decision is not committed.
    pub(crate) fn dropped(&self, writer: usize) {
        self.lock().breakers.dropped(writer);
    }

    pub(crate) fn close(&self, topic: &str) {
        self.lock().breakers.close(topic);
    }

    /// The breakers' window, in records.
    pub(crate) fn window(&self) -> i64 {
        i64::try_from(self.lock().breakers.limits().window).unwrap_or(i64::MAX)
    }

    /// Whether the stored dead letters of `partition` have not been read yet.
    pub(crate) fn wants_history(&self, partition: &TopicPartition) -> bool {
        self.tolerance == Tolerance::All && !self.lock().remembered.contains(partition)
    }

    /// Adds the stored outcomes of previous processes.
    pub(crate) fn remember(&self, histories: BTreeMap<TopicPartition, History>) {
        let mut by_topic: BTreeMap<Arc<str>, Vec<History>> = BTreeMap::new();
        let mut state = self.lock();
        for (partition, history) in histories {
            by_topic.entry(Arc::clone(&partition.topic)).or_default().push(history);
            state.remembered.insert(partition);
        }
        for (topic, histories) in by_topic {
            state.breakers.remember(&topic, &histories);
        }
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, PolicyState> {
        self.state.lock()
    }
}

/// The outcomes of a batch's records by topic, in their order.
fn outcomes(batch: &Batch, dead_letters: &[DeadLetter<'_>]) -> BTreeMap<Arc<str>, Vec<Run>> {
    let mut outcomes: BTreeMap<Arc<str>, Vec<Run>> = BTreeMap::new();
    if dead_letters.is_empty() {
        for span in batch.spans().iter().filter(|span| span.records > 0) {
            outcomes.entry(Arc::clone(&span.partition.topic)).or_default().push((false, span.records));
        }
        return outcomes;
    }
    let mut rejected = vec![false; batch.records().count()];
    for dead_letter in dead_letters {
        rejected[dead_letter.record as usize] = true;
    }
    for (record, rejected) in batch.records().iter().zip(rejected) {
        let topic = &batch.spans()[usize::from(record.span)].partition.topic;
        let runs = match outcomes.get_mut(topic) {
            Some(runs) => runs,
            None => outcomes.entry(Arc::clone(topic)).or_default(),
        };
        match runs.last_mut() {
            Some(last) if last.0 == rejected => last.1 += 1,
            _ => runs.push((rejected, 1)),
        }
    }
    outcomes
}

/// The first rejected record of each partition.
fn firsts(batch: &Batch, dead_letters: &[DeadLetter<'_>]) -> Vec<RejectedRecord> {
    let mut firsts: BTreeMap<&TopicPartition, (i64, &DeadLetter<'_>)> = BTreeMap::new();
    for dead_letter in dead_letters {
        let record = batch.records().get(dead_letter.record);
        let partition = &batch.spans()[usize::from(record.span)].partition;
        let first = firsts.entry(partition).or_insert((record.offset, dead_letter));
        if record.offset < first.0 {
            *first = (record.offset, dead_letter);
        }
    }
    let rejected_record = |(partition, (offset, dead_letter)): (&TopicPartition, (i64, &DeadLetter<'_>))| {
        RejectedRecord { partition: partition.clone(), offset: Offset(offset), reason: dead_letter.summary() }
    };
    firsts.into_iter().map(rejected_record).collect()
}

/// The reason of an open breaker, with one rejected record as an example.
fn sample(batch: &Batch, dead_letters: &[DeadLetter<'_>], topic: &Arc<str>, limits: BreakerLimits) -> String {
    let of_topic = |dead_letter: &&DeadLetter<'_>| {
        let record = batch.records().get(dead_letter.record);
        batch.spans()[usize::from(record.span)].partition.topic == *topic
    };
    let mut dead_letters = dead_letters.iter().filter(of_topic);
    let Some(first) = dead_letters.next() else { return format!("{topic}: too many records are rejected") };
    let record = batch.records().get(first.record);
    let partition = &batch.spans()[usize::from(record.span)].partition;
    format!(
        "more than {} % of the last {} records of {topic} are rejected, so nothing more of it is read or dead-lettered; \
         for one, {partition} at offset {}: {}. Fix the table, the configuration or the producer; the same records are \
         tried again, together with those that follow",
        limits.ratio * 100.0,
        limits.window,
        record.offset,
        first.summary(),
    )
}
