//! Topics whose breaker is open: the batches that opened it are kept and retried, and nothing else of the topic is written.
//! Each retry grows by the records that follow, which show whether the topic still is broken. Other topics continue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lane::joined;
use super::open_breakers::{GrowthLimits, Retry};
use super::{Command, Source, bounds};
use crate::batch::Batch;
use crate::positions::held::HeldBy;
use crate::positions::partition::AssignedPartition;
use crate::types::{Offset, TopicPartition};

/// The longest wait for the answer whether a topic is still the same before a retry that has grown.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

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
        topics.keys().for_each(|topic| self.grow(topic));
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
        let queued = self.lanes.iter().flat_map(|lane| &lane.queued);
        let spans = self.breakers.batches().chain(queued).chain(self.parked.batches()).flat_map(Batch::spans);
        spans.filter(|span| span.partition == *partition).map(|span| span.next).max()
    }

    /// Marks and pauses all partitions of topics whose breaker is open, newly assigned ones included, but for those whose
    /// records are read for the next retry.
    pub(super) fn pause_held(&mut self) {
        let mut paused = Vec::new();
        for (partition, entry) in self.ledger.iter_mut() {
            if let Some(reason) = self.breakers.reason(&partition.topic)
                && !entry.is_growing()
            {
                entry.hold(HeldBy::Breaker, Arc::clone(reason));
                paused.push(partition.clone());
            }
        }
        if !paused.is_empty() {
            paused.sort_unstable();
            self.command(Command::Pause(paused));
        }
    }

    pub(super) fn growth_limits(&self) -> GrowthLimits {
        GrowthLimits::new(self.settings.breaker_window, self.settings.limits.max_bytes)
    }

    /// Reads the records that follow those that are held: the next retry grows by them.
    fn grow(&mut self, topic: &str) {
        let limits = self.growth_limits();
        let mut growing = Vec::new();
        for partition in self.ledger.of_topic(topic) {
            let Some(entry) = self.ledger.get_mut(&partition) else { continue };
            let begins = self.breakers.may_grow(topic, entry.writer(), limits) && entry.grow();
            // Those of a paused writer are fetched when it is resumed.
            if begins && !self.lanes[entry.writer()].paused {
                growing.push(partition);
            }
        }
        if !growing.is_empty() {
            self.command(Command::Resume(growing.clone()));
            growing.iter().for_each(|partition| self.refetch(partition));
        }
    }

    /// The next retry of these partitions does not grow any more.
    pub(super) fn stop_growing(&mut self, partitions: Vec<TopicPartition>) {
        let mut stopped = partitions;
        stopped
            .retain(|partition| self.ledger.get_mut(partition).is_some_and(AssignedPartition::stop_growing));
        if !stopped.is_empty() {
            self.last = None;
            self.command(Command::Pause(stopped));
        }
    }

    /// Hands the held batches of breakers whose retry is due to their writers again.
    pub(super) fn retry_breakers(&mut self, now: Instant) {
        for retry in self.breakers.due(now, ANSWER_TIMEOUT) {
            match retry {
                Retry::Check(topic) => {
                    self.stop_growing(self.ledger.of_topic(&topic));
                    self.command(Command::CompareTopics(vec![topic]));
                }
                Retry::Send(topic, batches) => {
                    tracing::info!(%topic, "retrying the records of an open breaker");
                    self.stop_growing(self.ledger.of_topic(&topic));
                    for (writer, batches) in batches {
                        self.send_probe(writer, batches);
                    }
                }
            }
        }
    }

    /// Queues the batches of a retry, as one if they follow each other: its last records decide on it.
    fn send_probe(&mut self, writer: usize, batches: Vec<Batch>) {
        let mut probe = Batch::default();
        for batch in batches {
            if probe.is_empty() {
                probe = batch;
            } else if let Some(grown) = joined(&probe, &batch, &self.settings.plans, &mut self.fields) {
                probe = grown;
            } else {
                self.lanes[writer].queued.push_back(std::mem::replace(&mut probe, batch));
            }
        }
        self.lanes[writer].queued.push_back(probe);
    }

    /// A retried batch is committed.
    pub(super) fn probe_passed(&mut self, writer: usize, batch: &Batch) {
        for span in batch.spans() {
            self.breakers.probe_ended(&span.partition.topic, writer);
        }
        self.close_passed();
        // It is open still where another writer's records are held.
        self.breakers.topics().iter().for_each(|topic| self.grow(topic));
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
        self.stop_growing(self.ledger.of_writer(writer));
    }

    /// Removes the records of these partitions from held and queued batches.
    pub(super) fn drop_held_records(&mut self, partitions: &[TopicPartition]) {
        let concerned = |batch: &Batch| batch.spans().iter().any(|s| partitions.contains(&s.partition));
        let queued = self.lanes.iter_mut().flat_map(|lane| lane.queued.iter_mut());
        for batch in self.breakers.batches_mut().chain(queued).filter(|batch| concerned(batch)) {
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
        let any = !passed.is_empty();
        for (topic, growth) in passed {
            tracing::info!(%topic, "breaker closed");
            for (writer, batch) in growth {
                self.lanes[writer].queued.push_back(batch);
            }
            let mut flowing = Vec::new();
            for partition in self.ledger.of_topic(&topic) {
                let Some(entry) = self.ledger.get_mut(&partition) else { continue };
                entry.release(HeldBy::Breaker);
                // Partitions of a paused writer stay paused. One whose position is being read is moved when it is known.
                if entry.is_active() && entry.held().is_none() && !self.lanes[entry.writer()].paused {
                    flowing.push(partition);
                }
            }
            self.command(Command::CloseBreaker(topic));
            self.command(Command::Resume(flowing.clone()));
            for partition in &flowing {
                self.refetch(partition);
            }
        }
        if any {
            self.command(Command::PublishBreakers);
            self.command(Command::Publish);
        }
    }

    /// Why a bounded run cannot go on, if so: a breaker stayed open after a retry with all records that may follow, and the
    /// other topics are done.
    pub(super) fn only_held_records_left(&self) -> Option<Arc<str>> {
        let reason = self.breakers.failed_retry()?;
        let rest = self.max_records_taken()
            || self.settings.bounds.until_end && self.ends.reached_except_held(&self.ledger)
            || bounds::at_the_end_except_held(&self.ledger, &self.ends, self.last_record);
        let all_read =
            self.ledger.iter().all(|(_, entry)| !entry.is_growing() || entry.end() == Some(entry.next()));
        let done = rest && (all_read || self.max_records_taken());
        (self.is_idle() && self.unreported.is_empty() && done).then(|| Arc::clone(reason))
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
