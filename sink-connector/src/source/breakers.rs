//! Topics whose breaker is open: their records wait, the refused ones are kept and tried again, the others go on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{Source, bounds};
use crate::batch::Batch;
use crate::health::Component;
use crate::types::TopicPartition;

/// A breaker that is open.
pub(super) struct Open {
    /// Why, with a sample.
    reason: Arc<str>,
    /// The refused batches and their writers: what is tried again.
    held: Vec<(usize, Batch)>,
    /// Writers that are trying one of them at the moment.
    probes: BTreeSet<usize>,
    retry_at: Instant,
    /// It was tried again at least once.
    tried: bool,
}

/// The open breakers, by topic.
pub(super) type OpenBreakers = HashMap<Arc<str>, Open>;

impl Source {
    /// A writer was refused a batch. What it has of the topics at fault is held back, the rest is written at once.
    pub(super) fn tripped(&mut self, writer: usize, batch: &Batch, topics: &BTreeMap<Arc<str>, String>) {
        let retry_at = Instant::now() + self.parts.breaker_retry;
        for (topic, reason) in topics {
            // A partition that was revoked meanwhile is another's to try.
            let ours = |p: &TopicPartition| p.topic == *topic && self.ledger.get(p).is_some();
            let mut parts = vec![batch.part(ours, &mut self.fields)];
            // Portions of the same batch follow it: without it, the fence would refuse them.
            for later in &mut self.slots[writer].first {
                if later.spans().iter().any(|s| s.partition.topic == *topic) {
                    parts.push(later.part(ours, &mut self.fields));
                    *later = later.part(|p| p.topic != *topic, &mut self.fields);
                }
            }
            self.slots[writer].first.retain(|later| !later.is_empty());
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            let parts = parts.map(|part| (writer, part.into_probe()));
            let reason: Arc<str> = Arc::from(reason.as_str());
            match self.breakers.get_mut(topic) {
                Some(open) => {
                    open.held.extend(parts);
                    open.probes.remove(&writer);
                    open.tried |= batch.is_probe();
                    (open.reason, open.retry_at) = (reason, retry_at);
                }
                None => {
                    tracing::error!(%topic, "breaker open: {reason}");
                    let held = parts.collect();
                    let open = Open { reason, held, probes: BTreeSet::new(), retry_at, tried: false };
                    self.breakers.insert(Arc::clone(topic), open);
                    self.hold_back(topic);
                }
            }
        }
        let rest = batch.part(|p| !topics.contains_key(&p.topic), &mut self.fields);
        if !rest.is_empty() {
            self.slots[writer].first.push_front(rest);
        }
        self.note_breakers();
        self.close_passed();
        self.freed(writer);
        self.publish();
    }

    /// Stops fetching a topic, and puts back what no writer has yet.
    fn hold_back(&mut self, topic: &Arc<str>) {
        let partitions: Vec<TopicPartition> =
            self.ledger.iter().filter(|(p, _)| p.topic == *topic).map(|(p, _)| p.clone()).collect();
        self.last = None;
        self.put_back(&partitions);
        for partition in &partitions {
            if let Some(place) = self.ledger.get_mut(partition) {
                place.next = place.handed;
            }
        }
        self.pause_held();
    }

    /// Marks and pauses the partitions of topics whose breaker is open; also those that have come since.
    pub(super) fn pause_held(&mut self) {
        if self.breakers.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        let partitions: Vec<TopicPartition> = self.ledger.iter().map(|(p, _)| p.clone()).collect();
        for partition in partitions {
            let (Some(open), Some(place)) =
                (self.breakers.get(&partition.topic), self.ledger.get_mut(&partition))
            else {
                continue;
            };
            place.held = Some(Arc::clone(&open.reason));
            place.dropped = true;
            list.add_partition(&partition.topic, partition.partition.0);
        }
        if let Err(error) = self.parts.consumer.pause(&list) {
            tracing::debug!(%error, "pausing a topic whose breaker is open");
        }
    }

    /// Gives the held batches of breakers whose time has come to their writers once more.
    pub(super) fn retry_breakers(&mut self, now: Instant) {
        let mut writers = BTreeSet::new();
        for (topic, open) in &mut self.breakers {
            if open.held.is_empty() || !open.probes.is_empty() || now < open.retry_at {
                continue;
            }
            tracing::info!(%topic, "trying the refused records again");
            for (writer, batch) in std::mem::take(&mut open.held) {
                self.slots[writer].first.push_back(batch);
                open.probes.insert(writer);
                writers.insert(writer);
            }
        }
        if !writers.is_empty() {
            self.hand_over_due(now);
        }
    }

    /// A batch that was tried again is committed.
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

    /// What a writer had, or was to get, is void: its positions are read again.
    pub(super) fn forget_held(&mut self, writer: usize) {
        let mut records = 0;
        for open in self.breakers.values_mut() {
            let void = open.held.extract_if(.., |(of, _)| *of == writer);
            records += void.map(|(_, batch)| batch.records().count() as u64).sum::<u64>();
            open.probes.remove(&writer);
        }
        records += self.slots[writer].first.drain(..).map(|b| b.records().count() as u64).sum::<u64>();
        self.taken -= records;
    }

    /// Takes partitions out of the batches that are held back or wait for their writer.
    pub(super) fn without_held(&mut self, partitions: &[TopicPartition]) {
        let concerned = |batch: &Batch| batch.spans().iter().any(|s| partitions.contains(&s.partition));
        let held = self.breakers.values_mut().flat_map(|open| open.held.iter_mut().map(|(_, batch)| batch));
        let first = self.slots.iter_mut().flat_map(|slot| slot.first.iter_mut());
        for batch in held.chain(first).filter(|batch| concerned(batch)) {
            let kept = batch.part(|p| !partitions.contains(p), &mut self.fields);
            self.taken -= (batch.records().count() - kept.records().count()) as u64;
            *batch = kept;
        }
        for open in self.breakers.values_mut() {
            open.held.retain(|(_, batch)| !batch.is_empty());
        }
        for (writer, slot) in self.slots.iter_mut().enumerate() {
            let probes = slot.first.iter().filter(|batch| batch.is_probe() && batch.is_empty()).count();
            slot.first.retain(|batch| !batch.is_empty());
            if probes > 0 {
                for open in self.breakers.values_mut() {
                    open.probes.remove(&writer);
                }
            }
        }
    }

    /// Closes the breakers of which nothing is refused any more: it went through, or is not ours.
    pub(super) fn close_passed(&mut self) {
        let passed: Vec<Arc<str>> = self
            .breakers
            .iter()
            .filter(|(_, open)| open.held.is_empty() && open.probes.is_empty())
            .map(|(topic, _)| Arc::clone(topic))
            .collect();
        for topic in &passed {
            self.breakers.remove(topic);
            self.parts.policy.close(topic);
            tracing::info!(%topic, "breaker closed");
            let mut list = TopicPartitionList::new();
            let mut partitions = Vec::new();
            for partition in self.ledger.iter().filter(|(p, _)| p.topic == *topic).map(|(p, _)| p.clone()) {
                list.add_partition(&partition.topic, partition.partition.0);
                partitions.push(partition);
            }
            for partition in &partitions {
                if let Some(place) = self.ledger.get_mut(partition) {
                    place.held = None;
                }
            }
            if let Err(error) = self.parts.consumer.resume(&list) {
                tracing::debug!(%error, "resuming a topic whose breaker is closed");
            }
            for partition in partitions {
                // A writer's pause is ended by that writer, and a position that is being read moves it anyway.
                let place = self.ledger.get(&partition);
                match place.map(|place| (place.is_active(), self.slots[place.writer].paused)) {
                    Some((true, false)) => self.nudge(&partition),
                    Some((true, true)) => {
                        let mut list = TopicPartitionList::new();
                        list.add_partition(&partition.topic, partition.partition.0);
                        if let Err(error) = self.parts.consumer.pause(&list) {
                            tracing::debug!(%error, "pausing");
                        }
                    }
                    Some((false, _)) | None => {}
                }
            }
        }
        if !passed.is_empty() {
            self.note_breakers();
            self.publish();
        }
    }

    /// In metrics and on /readyz, which is for the sink as a whole: one topic that works, and it is ready.
    pub(super) fn note_breakers(&self) {
        let topics = self.parts.plans.topics();
        for topic in &topics {
            let open = i64::from(self.breakers.contains_key(topic.as_str()));
            self.parts.metrics.breaker_open.with_label_values(&[topic]).set(open);
        }
        let all = topics.iter().all(|topic| self.breakers.contains_key(topic.as_str()));
        match self.breakers.values().next() {
            Some(open) if all => self.parts.health.fail(Component::Breaker, &*open.reason),
            Some(_) | None => self.parts.health.well(&Component::Breaker),
        }
    }

    /// Why nothing more comes of a bounded run: a breaker stayed open when it was tried again, and of the other topics
    /// the run has all that it wants.
    pub(super) fn nothing_but_held(&self) -> Option<Arc<str>> {
        let tried = |open: &&Open| open.tried && open.probes.is_empty();
        let reason = self.breakers.values().find(tried).map(|open| Arc::clone(&open.reason))?;
        let rest = self.enough()
            || self.parts.bounds.until_end && self.ends.reached_but_for_held(&self.ledger)
            || bounds::at_the_end_but_for_held(&self.ledger, &self.ends, self.last_record);
        (self.is_idle() && rest).then_some(reason)
    }

    /// Why a breaker is open, when nothing is waited for but the next try: at a deadline it is the breaker that ends the
    /// run then, and not a dependency that is away.
    pub(super) fn held_while_idle(&self) -> Option<Arc<str>> {
        self.breakers.values().next().filter(|_| self.is_idle()).map(|open| Arc::clone(&open.reason))
    }

    fn is_idle(&self) -> bool {
        self.slots.iter().all(|slot| slot.in_flight.is_none() && !slot.waits())
    }
}
