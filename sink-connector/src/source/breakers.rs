//! Topics whose breaker is open: their partitions are paused, and the batches that opened it are kept and retried. Other
//! topics continue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::{Command, Source, bounds};
use crate::batch::Batch;
use crate::positions::partition::HeldBy;
use crate::types::{Offset, TopicPartition};

#[derive(Debug)]
struct OpenBreaker {
    /// Why it opened, with a sample record.
    reason: Arc<str>,
    /// The batches to retry, with their writers.
    held: Vec<(usize, Batch)>,
    /// Writers that are retrying one of them now.
    probes: BTreeSet<usize>,
    retry_at: Instant,
    /// It was retried at least once.
    retried: bool,
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

    /// A writer's batch has opened the breaker, or failed to close it. True if it was closed before.
    fn trip(
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
            probes: BTreeSet::new(),
            retry_at,
            retried: false,
        });
        open.probes.remove(&writer);
        open.retried |= was_probe;
        (open.reason, open.retry_at) = (reason, retry_at);
        opens
    }

    /// Keeps a batch of an open breaker's topic for the next retry.
    fn hold(&mut self, topic: &str, writer: usize, batch: Batch) {
        if let Some(open) = self.0.get_mut(topic) {
            open.held.push((writer, batch));
        }
    }

    /// The batches of those breakers that are to be retried now, with their writers.
    fn take_due(&mut self, now: Instant) -> Vec<(usize, Batch)> {
        let mut due = Vec::new();
        for (topic, open) in &mut self.0 {
            if open.held.is_empty() || !open.probes.is_empty() || now < open.retry_at {
                continue;
            }
            tracing::info!(%topic, "retrying the records of an open breaker");
            open.probes.extend(open.held.iter().map(|(writer, _)| *writer));
            due.append(&mut open.held);
        }
        due
    }

    /// The writer is not retrying anything of this topic any more.
    fn probe_ended(&mut self, topic: &str, writer: usize) {
        if let Some(open) = self.0.get_mut(topic) {
            open.probes.remove(&writer);
        }
    }

    /// The writer is not retrying anything any more.
    fn probes_ended(&mut self, writer: usize) {
        for open in self.0.values_mut() {
            open.probes.remove(&writer);
        }
    }

    /// Discards what is held for a writer; returns the number of records.
    fn forget(&mut self, writer: usize) -> u64 {
        let mut records = 0;
        for open in self.0.values_mut() {
            let discarded = open.held.extract_if(.., |(of, _)| *of == writer);
            records += discarded.map(|(_, batch)| batch.records().count() as u64).sum::<u64>();
            open.probes.remove(&writer);
        }
        records
    }

    fn held_batches(&mut self) -> impl Iterator<Item = &mut Batch> {
        self.0.values_mut().flat_map(|open| open.held.iter_mut().map(|(_, batch)| batch))
    }

    fn remove_empty(&mut self) {
        for open in self.0.values_mut() {
            open.held.retain(|(_, batch)| !batch.is_empty());
        }
    }

    /// Removes the breakers without a batch to retry, and returns their topics.
    fn take_passed(&mut self) -> Vec<Arc<str>> {
        let passed = |open: &OpenBreaker| open.held.is_empty() && open.probes.is_empty();
        self.0.extract_if(.., |_, open| passed(open)).map(|(topic, _)| topic).collect()
    }

    /// Why a breaker stayed open after a retry, if one did.
    fn failed_retry(&self) -> Option<&Arc<str>> {
        let failed = |open: &&OpenBreaker| open.retried && open.probes.is_empty();
        self.0.values().find(failed).map(|open| &open.reason)
    }
}

impl Source {
    /// A batch has opened breakers. Its records of those topics are held, the rest is written at once.
    pub(super) fn tripped(
        &mut self,
        writer: usize,
        batch: &Batch,
        topics: &BTreeMap<Arc<str>, String>,
        now: Instant,
    ) {
        let retry_at = now + self.settings.breaker_retry;
        for (topic, reason) in topics {
            let parts = self.take_parts(writer, batch, topic);
            let opens =
                self.breakers.trip(topic, Arc::from(reason.as_str()), retry_at, writer, batch.is_probe());
            for part in parts {
                self.breakers.hold(topic, writer, part);
            }
            if opens {
                tracing::error!(%topic, "breaker open: {reason}");
                self.hold_back(topic);
            }
        }
        let rest = batch.part(|p| !topics.contains_key(&p.topic), &mut self.fields);
        if !rest.is_empty() {
            self.lanes[writer].queued.push_front(rest);
        }
        self.command(Command::PublishBreakers);
        self.close_passed();
        self.on_writer_idle(writer, now);
        self.command(Command::Publish);
    }

    /// The records of a topic in this batch and in those that follow it, which have to be held with it: without it, the
    /// fence would refuse them.
    fn take_parts(&mut self, writer: usize, batch: &Batch, topic: &Arc<str>) -> Vec<Batch> {
        let of_topic = |p: &TopicPartition| p.topic == *topic;
        let mut parts = vec![batch.part(of_topic, &mut self.fields)];
        for later in &mut self.lanes[writer].queued {
            if later.spans().iter().any(|s| s.partition.topic == *topic) {
                parts.push(later.part(of_topic, &mut self.fields));
                *later = later.part(|p| p.topic != *topic, &mut self.fields);
            }
        }
        self.lanes[writer].queued.retain(|later| !later.is_empty());
        parts.retain(|part| !part.is_empty());
        parts.into_iter().map(Batch::into_probe).collect()
    }

    /// Stops fetching a topic, and drops its records that no writer has yet.
    fn hold_back(&mut self, topic: &Arc<str>) {
        let partitions = self.ledger.of_topic(topic);
        self.last = None;
        self.drop_from_open_batches(&partitions);
        for partition in &partitions {
            let kept = self.kept(partition);
            if let Some(entry) = self.ledger.get_mut(partition) {
                entry.gave_back(kept);
            }
        }
        self.pause_held();
    }

    /// The position after the records of a partition that are held, parked or queued, if there are any.
    pub(super) fn kept(&self, partition: &TopicPartition) -> Option<Offset> {
        let held = self.breakers.0.values().flat_map(|open| open.held.iter().map(|(_, batch)| batch));
        let queued = self.lanes.iter().flat_map(|lane| &lane.queued);
        let spans = held.chain(queued).chain(self.parked.batches()).flat_map(Batch::spans);
        spans.filter(|span| span.partition == *partition).map(|span| span.next).max()
    }

    /// Marks and pauses all partitions of topics whose breaker is open, newly assigned ones included.
    pub(super) fn pause_held(&mut self) {
        let mut paused = Vec::new();
        for (partition, entry) in self.ledger.iter_mut() {
            if let Some(reason) = self.breakers.reason(&partition.topic) {
                entry.hold(HeldBy::Breaker, Arc::clone(reason));
                paused.push(partition.clone());
            }
        }
        if !paused.is_empty() {
            paused.sort_unstable();
            self.command(Command::Pause(paused));
        }
    }

    /// Hands the held batches of breakers whose retry is due to their writers again.
    pub(super) fn retry_breakers(&mut self, now: Instant) {
        for (writer, batch) in self.breakers.take_due(now) {
            self.lanes[writer].queued.push_back(batch);
        }
    }

    /// A retried batch is committed.
    pub(super) fn probe_passed(&mut self, writer: usize, batch: &Batch) {
        for span in batch.spans() {
            self.breakers.probe_ended(&span.partition.topic, writer);
        }
        self.close_passed();
    }

    /// Nothing is left of a retried batch: its partitions were revoked or stopped.
    pub(super) fn probe_void(&mut self, writer: usize) {
        self.breakers.probes_ended(writer);
        self.close_passed();
    }

    /// Discards the held and queued batches of a writer, whose positions are read again.
    pub(super) fn forget_held(&mut self, writer: usize) {
        let queued = self.lanes[writer].queued.drain(..).map(|b| b.records().count() as u64).sum::<u64>();
        self.taken -= queued + self.breakers.forget(writer);
    }

    /// Removes the records of these partitions from held and queued batches.
    pub(super) fn drop_held_records(&mut self, partitions: &[TopicPartition]) {
        let concerned = |batch: &Batch| batch.spans().iter().any(|s| partitions.contains(&s.partition));
        let queued = self.lanes.iter_mut().flat_map(|lane| lane.queued.iter_mut());
        for batch in self.breakers.held_batches().chain(queued).filter(|batch| concerned(batch)) {
            let kept = batch.part(|p| !partitions.contains(p), &mut self.fields);
            self.taken -= (batch.records().count() - kept.records().count()) as u64;
            *batch = kept;
        }
        self.breakers.remove_empty();
        for (writer, lane) in self.lanes.iter_mut().enumerate() {
            if lane.queued.iter().any(|batch| batch.is_probe() && batch.is_empty()) {
                self.breakers.probes_ended(writer);
            }
            lane.queued.retain(|batch| !batch.is_empty());
        }
    }

    /// Closes the breakers without a batch to retry: all are committed, or their partitions were revoked.
    pub(super) fn close_passed(&mut self) {
        let passed = self.breakers.take_passed();
        for topic in &passed {
            tracing::info!(%topic, "breaker closed");
            self.command(Command::CloseBreaker(Arc::clone(topic)));
            let mut flowing = Vec::new();
            for partition in self.ledger.of_topic(topic) {
                let Some(entry) = self.ledger.get_mut(&partition) else { continue };
                entry.release(HeldBy::Breaker);
                // Partitions of a paused writer stay paused. One whose position is being read is moved when it is known.
                if entry.is_active() && entry.held().is_none() && !self.lanes[entry.writer()].paused {
                    flowing.push(partition);
                }
            }
            self.command(Command::Resume(flowing.clone()));
            for partition in &flowing {
                self.refetch(partition);
            }
        }
        if !passed.is_empty() {
            self.command(Command::PublishBreakers);
            self.command(Command::Publish);
        }
    }

    /// Why a bounded run cannot go on, if so: a breaker stayed open after a retry, and the other topics are done.
    pub(super) fn only_held_records_left(&self) -> Option<Arc<str>> {
        let reason = self.breakers.failed_retry()?;
        let rest = self.max_records_taken()
            || self.settings.bounds.until_end && self.ends.reached_except_held(&self.ledger)
            || bounds::at_the_end_except_held(&self.ledger, &self.ends, self.last_record);
        (self.is_idle() && self.unreported.is_empty() && rest).then(|| Arc::clone(reason))
    }

    /// Why a breaker is open, if its next retry is all that is left to do: at a deadline, the breaker and not an
    /// unreachable dependency has ended the run then.
    pub(super) fn open_breaker_while_idle(&self) -> Option<Arc<str>> {
        self.breakers.any().filter(|_| self.is_idle()).cloned()
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.in_flight.is_none() && !lane.has_records())
    }
}
