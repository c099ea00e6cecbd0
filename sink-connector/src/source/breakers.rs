//! Topics whose breaker is open: their partitions are paused, and the batches that opened it are kept and retried. Other
//! topics continue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{Source, bounds};
use crate::batch::Batch;
use crate::observe::health::Component;
use crate::positions::ledger::{Held, HeldBy};
use crate::types::TopicPartition;

pub(super) struct OpenBreaker {
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
pub(super) type OpenBreakers = HashMap<Arc<str>, OpenBreaker>;

impl Source {
    /// A batch has opened breakers. Its records of those topics are held, the rest is written at once.
    pub(super) fn tripped(&mut self, writer: usize, batch: &Batch, topics: &BTreeMap<Arc<str>, String>) {
        let retry_at = Instant::now() + self.context.breaker_retry;
        for (topic, reason) in topics {
            // A partition that was revoked meanwhile is retried by its new owner.
            let ours = |p: &TopicPartition| p.topic == *topic && self.ledger.get(p).is_some();
            let mut parts = vec![batch.part(ours, &mut self.fields)];
            // Later parts of the same batch must be held with it: without it, the fence would refuse them.
            for later in &mut self.lanes[writer].queued {
                if later.spans().iter().any(|s| s.partition.topic == *topic) {
                    parts.push(later.part(ours, &mut self.fields));
                    *later = later.part(|p| p.topic != *topic, &mut self.fields);
                }
            }
            self.lanes[writer].queued.retain(|later| !later.is_empty());
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            let parts = parts.map(|part| (writer, part.into_probe()));
            let reason: Arc<str> = Arc::from(reason.as_str());
            match self.breakers.get_mut(topic) {
                Some(open) => {
                    open.held.extend(parts);
                    open.probes.remove(&writer);
                    open.retried |= batch.is_probe();
                    (open.reason, open.retry_at) = (reason, retry_at);
                }
                None => {
                    tracing::error!(%topic, "breaker open: {reason}");
                    let held = parts.collect();
                    let open =
                        OpenBreaker { reason, held, probes: BTreeSet::new(), retry_at, retried: false };
                    self.breakers.insert(Arc::clone(topic), open);
                    self.hold_back(topic);
                }
            }
        }
        let rest = batch.part(|p| !topics.contains_key(&p.topic), &mut self.fields);
        if !rest.is_empty() {
            self.lanes[writer].queued.push_front(rest);
        }
        self.publish_breakers();
        self.close_passed();
        self.on_writer_idle(writer);
        self.publish();
    }

    /// Stops fetching a topic, and drops its records that no writer has yet.
    fn hold_back(&mut self, topic: &Arc<str>) {
        let partitions: Vec<TopicPartition> =
            self.ledger.iter().filter(|(p, _)| p.topic == *topic).map(|(p, _)| p.clone()).collect();
        self.last = None;
        self.drop_from_open_batches(&partitions);
        for partition in &partitions {
            if let Some(entry) = self.ledger.get_mut(partition) {
                entry.next = entry.handed;
            }
        }
        self.pause_held();
    }

    /// Marks and pauses all partitions of topics whose breaker is open, newly assigned ones included.
    pub(super) fn pause_held(&mut self) {
        if self.breakers.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        let partitions: Vec<TopicPartition> = self.ledger.iter().map(|(p, _)| p.clone()).collect();
        for partition in partitions {
            let (Some(open), Some(entry)) =
                (self.breakers.get(&partition.topic), self.ledger.get_mut(&partition))
            else {
                continue;
            };
            entry.held = Some(Held { by: HeldBy::Breaker, reason: Arc::clone(&open.reason) });
            entry.dropped = true;
            list.add_partition(&partition.topic, partition.partition.0);
        }
        if let Err(error) = self.context.consumer.pause(&list) {
            tracing::debug!(%error, "cannot pause a topic whose breaker is open");
        }
    }

    /// Hands the held batches of breakers whose retry is due to their writers again.
    pub(super) fn retry_breakers(&mut self, now: Instant) {
        let mut writers = BTreeSet::new();
        for (topic, open) in &mut self.breakers {
            if open.held.is_empty() || !open.probes.is_empty() || now < open.retry_at {
                continue;
            }
            tracing::info!(%topic, "retrying the records of an open breaker");
            for (writer, batch) in std::mem::take(&mut open.held) {
                self.lanes[writer].queued.push_back(batch);
                open.probes.insert(writer);
                writers.insert(writer);
            }
        }
        if !writers.is_empty() {
            self.hand_over_due(now);
        }
    }

    /// A retried batch is committed.
    pub(super) fn probe_passed(&mut self, writer: usize, batch: &Batch) {
        let topics: BTreeSet<Arc<str>> =
            batch.spans().iter().map(|s| Arc::clone(&s.partition.topic)).collect();
        for topic in topics {
            if let Some(open) = self.breakers.get_mut(&topic) {
                open.probes.remove(&writer);
            }
        }
        self.close_passed();
    }

    /// Discards the held and queued batches of a writer, whose positions are read again.
    pub(super) fn forget_held(&mut self, writer: usize) {
        let mut records = 0;
        for open in self.breakers.values_mut() {
            let discarded = open.held.extract_if(.., |(of, _)| *of == writer);
            records += discarded.map(|(_, batch)| batch.records().count() as u64).sum::<u64>();
            open.probes.remove(&writer);
        }
        records += self.lanes[writer].queued.drain(..).map(|b| b.records().count() as u64).sum::<u64>();
        self.taken -= records;
    }

    /// Removes the records of these partitions from held and queued batches.
    pub(super) fn drop_held_records(&mut self, partitions: &[TopicPartition]) {
        let concerned = |batch: &Batch| batch.spans().iter().any(|s| partitions.contains(&s.partition));
        let held = self.breakers.values_mut().flat_map(|open| open.held.iter_mut().map(|(_, batch)| batch));
        let queued = self.lanes.iter_mut().flat_map(|lane| lane.queued.iter_mut());
        for batch in held.chain(queued).filter(|batch| concerned(batch)) {
            let kept = batch.part(|p| !partitions.contains(p), &mut self.fields);
            self.taken -= (batch.records().count() - kept.records().count()) as u64;
            *batch = kept;
        }
        for open in self.breakers.values_mut() {
            open.held.retain(|(_, batch)| !batch.is_empty());
        }
        for (writer, lane) in self.lanes.iter_mut().enumerate() {
            let probes = lane.queued.iter().filter(|batch| batch.is_probe() && batch.is_empty()).count();
            lane.queued.retain(|batch| !batch.is_empty());
            if probes > 0 {
                for open in self.breakers.values_mut() {
                    open.probes.remove(&writer);
                }
            }
        }
    }

    /// Closes the breakers without a batch to retry: all are committed, or their partitions were revoked.
    pub(super) fn close_passed(&mut self) {
        let passed: Vec<Arc<str>> = self
            .breakers
            .iter()
            .filter(|(_, open)| open.held.is_empty() && open.probes.is_empty())
            .map(|(topic, _)| Arc::clone(topic))
            .collect();
        for topic in &passed {
            self.breakers.remove(topic);
            self.context.policy.close(topic);
            tracing::info!(%topic, "breaker closed");
            let mut list = TopicPartitionList::new();
            let mut partitions = Vec::new();
            for partition in self.ledger.iter().filter(|(p, _)| p.topic == *topic).map(|(p, _)| p.clone()) {
                list.add_partition(&partition.topic, partition.partition.0);
                partitions.push(partition);
            }
            for partition in &partitions {
                if let Some(entry) = self.ledger.get_mut(partition) {
                    entry.held = None;
                }
            }
            if let Err(error) = self.context.consumer.resume(&list) {
                tracing::debug!(%error, "cannot resume a topic whose breaker is closed");
            }
            for partition in partitions {
                // Partitions of a paused writer stay paused. One whose position is being read is moved when it is known.
                let entry = self.ledger.get(&partition);
                match entry.map(|entry| (entry.is_active(), self.lanes[entry.writer].paused)) {
                    Some((true, false)) => self.refetch(&partition),
                    Some((true, true)) => {
                        let mut list = TopicPartitionList::new();
                        list.add_partition(&partition.topic, partition.partition.0);
                        if let Err(error) = self.context.consumer.pause(&list) {
                            tracing::debug!(%error, "cannot pause a partition");
                        }
                    }
                    Some((false, _)) | None => {}
                }
            }
        }
        if !passed.is_empty() {
            self.publish_breakers();
            self.publish();
        }
    }

    /// Publishes the breakers as metrics and on /readyz. The sink is not ready only if the breaker of every topic is open.
    pub(super) fn publish_breakers(&self) {
        let topics = self.context.plans.topics();
        for topic in &topics {
            let open = i64::from(self.breakers.contains_key(topic.as_str()));
            self.context.metrics.breaker_open.with_label_values(&[topic]).set(open);
        }
        let all = topics.iter().all(|topic| self.breakers.contains_key(topic.as_str()));
        match self.breakers.values().next() {
            Some(open) if all => self.context.health.fail(Component::Breaker, &*open.reason),
            Some(_) | None => self.context.health.recovered(&Component::Breaker),
        }
    }

    /// Why a bounded run cannot go on, if so: a breaker stayed open after a retry, and the other topics are done.
    pub(super) fn only_held_records_left(&self) -> Option<Arc<str>> {
        let failed = |open: &&OpenBreaker| open.retried && open.probes.is_empty();
        let reason = self.breakers.values().find(failed).map(|open| Arc::clone(&open.reason))?;
        let rest = self.max_records_taken()
            || self.context.bounds.until_end && self.ends.reached_except_held(&self.ledger)
            || bounds::at_the_end_except_held(&self.ledger, &self.ends, self.last_record);
        (self.is_idle() && rest).then_some(reason)
    }

    /// Why a breaker is open, if its next retry is all that is left to do: at a deadline, the breaker and not an
    /// unreachable dependency has ended the run then.
    pub(super) fn open_breaker_while_idle(&self) -> Option<Arc<str>> {
        self.breakers.values().next().filter(|_| self.is_idle()).map(|open| Arc::clone(&open.reason))
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.in_flight.is_none() && !lane.has_records())
    }
}
