//! What rejected records do to the sink, decided for each batch before anything of it is committed.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::batch::Batch;
use crate::breaker::{Breakers, History, Limits, Run};
use crate::config::{Errors, Tolerance};
use crate::dead_letters::DeadLetter;
use crate::types::{Offset, TopicPartition};

/// A rejected record that was not to become a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its partition.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: Offset,
    /// Why it was rejected, for people.
    pub reason: String,
}

/// What is to be done with a batch that could be committed.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Commit it with its dead letters.
    #[default]
    Commit,
    /// Nothing is tolerated: commit what is before these records, the first of each partition, and stop.
    Stop(Vec<Refusal>),
    /// Commit nothing: the breakers of these topics are open, for such a reason.
    Trip(BTreeMap<Arc<str>, String>),
}

/// The policy, shared by all writers.
#[derive(Debug)]
pub struct Policy {
    tolerance: Tolerance,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    breakers: Breakers,
    remembered: HashSet<TopicPartition>,
}

impl Policy {
    /// As configured.
    pub fn new(errors: &Errors) -> Self {
        let limits = Limits { ratio: errors.breaker_ratio, window: errors.breaker_window_records as u64 };
        let state = State { breakers: Breakers::new(limits), remembered: HashSet::new() };
        Self { tolerance: errors.tolerance, state: Mutex::new(state) }
    }

    /// Judges a batch of a writer that would have these dead letters.
    pub fn judge(&self, writer: usize, batch: &Batch, letters: &[DeadLetter<'_>]) -> Verdict {
        if self.tolerance == Tolerance::None {
            let firsts = firsts(batch, letters);
            return if firsts.is_empty() { Verdict::Commit } else { Verdict::Stop(firsts) };
        }
        let mut tripped = BTreeMap::new();
        let mut state = self.lock();
        for (topic, outcomes) in outcomes(batch, letters) {
            if !state.breakers.judge(writer, &topic, outcomes, batch.is_probe()) {
                let reason = sample(batch, letters, &topic, state.breakers.limits());
                tripped.insert(topic, reason);
            }
        }
        if tripped.is_empty() {
            return Verdict::Commit;
        }
        state.breakers.dropped(writer);
        Verdict::Trip(tripped)
    }

    /// The batch that was judged last is committed.
    pub fn committed(&self, writer: usize) {
        self.lock().breakers.committed(writer);
    }

    /// The batch that was judged last is not committed.
    pub fn dropped(&self, writer: usize) {
        self.lock().breakers.dropped(writer);
    }

    /// The breaker of `topic` is closed.
    pub fn close(&self, topic: &str) {
        self.lock().breakers.close(topic);
    }

    /// Records whose outcomes the breakers look at.
    pub fn window(&self) -> i64 {
        i64::try_from(self.lock().breakers.limits().window).unwrap_or(i64::MAX)
    }

    /// Whether the stored dead letters of `partition` have yet to be looked at.
    pub fn wants_history(&self, partition: &TopicPartition) -> bool {
        self.tolerance == Tolerance::All && !self.lock().remembered.contains(partition)
    }

    /// What was stored of partitions before this process had them.
    pub fn remember(&self, histories: BTreeMap<TopicPartition, History>) {
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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The outcomes of a batch's records by topic, in their order.
fn outcomes(batch: &Batch, letters: &[DeadLetter<'_>]) -> BTreeMap<Arc<str>, Vec<Run>> {
    let mut outcomes: BTreeMap<Arc<str>, Vec<Run>> = BTreeMap::new();
    if letters.is_empty() {
        for span in batch.spans().iter().filter(|span| span.records > 0) {
            outcomes.entry(Arc::clone(&span.partition.topic)).or_default().push((false, span.records));
        }
        return outcomes;
    }
    let mut rejected = vec![false; batch.records().count()];
    for letter in letters {
        rejected[letter.record as usize] = true;
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
fn firsts(batch: &Batch, letters: &[DeadLetter<'_>]) -> Vec<Refusal> {
    let mut firsts: BTreeMap<&TopicPartition, (i64, &DeadLetter<'_>)> = BTreeMap::new();
    for letter in letters {
        let record = batch.records().get(letter.record);
        let partition = &batch.spans()[usize::from(record.span)].partition;
        let first = firsts.entry(partition).or_insert((record.offset, letter));
        if record.offset < first.0 {
            *first = (record.offset, letter);
        }
    }
    let refusal = |(partition, (offset, letter)): (&TopicPartition, (i64, &DeadLetter<'_>))| Refusal {
        partition: partition.clone(),
        offset: Offset(offset),
        reason: letter.rejection.to_string(),
    };
    firsts.into_iter().map(refusal).collect()
}

/// Why a breaker has opened, with one of its records.
fn sample(batch: &Batch, letters: &[DeadLetter<'_>], topic: &Arc<str>, limits: Limits) -> String {
    let of_topic = |letter: &&DeadLetter<'_>| {
        let record = batch.records().get(letter.record);
        batch.spans()[usize::from(record.span)].partition.topic == *topic
    };
    let mut letters = letters.iter().filter(of_topic);
    let Some(first) = letters.next() else { return format!("{topic}: too many records are rejected") };
    let record = batch.records().get(first.record);
    let partition = &batch.spans()[usize::from(record.span)].partition;
    format!(
        "more than {} % of the last {} records of {topic} are rejected, so nothing more of it is read or dead-lettered; \
         for one, {partition} at offset {}: {}. Mend the table, the configuration or the producer; the same records are \
         tried again",
        limits.ratio * 100.0,
        limits.window,
        record.offset,
        first.rejection,
    )
}
