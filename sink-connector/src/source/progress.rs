//! Handing batches over, waiting for writers, telling Kafka, and coming to an end.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use super::bounds::StoppedBy;
use super::commits::Outcome;
use super::{KAFKA_COMMIT, PATIENCE, Source};
use crate::decode::Reason;
use crate::keeper::Request;
use crate::ledger::{Phase, Stopped};
use crate::types::{Offset, TopicPartition};

impl Source {
    /// Gives every batch that is due to its writer, if that is idle.
    pub(super) fn hand_over_due(&mut self, now: Instant) {
        if !self.totals.refused.is_empty() {
            return;
        }
        for writer in 0..self.slots.len() {
            let slot = &mut self.slots[writer];
            if slot.in_flight.is_some() || !slot.due(&self.parts.limits, now) || self.waits_for_answer(writer)
            {
                continue;
            }
            self.hand_over(writer);
        }
    }

    fn hand_over(&mut self, writer: usize) {
        let slot = &mut self.slots[writer];
        let batch = slot.take_next(&mut self.fields);
        slot.in_flight = Some(batch.records().count() as u64);
        for span in batch.spans() {
            self.ledger.handed_over(&span.partition, span.next);
        }
        // The table may have changed: the next batch asks for the plan again.
        self.last = None;
        if slot.batches.send(batch).is_err() {
            tracing::error!(writer, "the writer is gone");
        }
    }

    /// A writer is busy and its next batch is full, or it is not known yet whether its batch may be written: waits for
    /// news, without polling. True when it has waited.
    pub(super) fn waits_for_writer(&mut self, now: Instant) -> bool {
        let limits = self.parts.limits;
        let mut first: Option<Instant> = None;
        for writer in 0..self.slots.len() {
            let slot = &self.slots[writer];
            let waits = match slot.in_flight {
                _ if slot.paused => false,
                Some(_) => slot.full(&limits),
                None => slot.due(&limits, now) && self.waits_for_answer(writer),
            };
            if !waits {
                continue;
            }
            let slot = &mut self.slots[writer];
            let blocked = *slot.blocked.get_or_insert(now);
            if now - blocked >= PATIENCE {
                self.pause(writer);
                continue;
            }
            first = Some(first.map_or(blocked, |first| first.min(blocked)));
        }
        let Some(first) = first else { return false };
        let wait = (first + PATIENCE).saturating_duration_since(now).min(Duration::from_millis(100));
        match self.parts.events.recv_timeout(wait) {
            Ok(event) => self.heard(event),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                tracing::error!("nobody is left to send news");
            }
        }
        true
    }

    /// Stops fetching for a writer that does not get on. Polling goes on, and so does membership of the group.
    pub(super) fn pause(&mut self, writer: usize) {
        self.slots[writer].paused = true;
        let mut list = TopicPartitionList::new();
        for partition in self.ledger.of_writer(writer) {
            list.add_partition(&partition.topic, partition.partition.0);
            if let Some(place) = self.ledger.get_mut(&partition) {
                place.dropped = true;
            }
        }
        if let Err(error) = self.parts.consumer.pause(&list) {
            tracing::debug!(%error, "pausing");
        }
    }

    /// Goes on fetching where taking stopped.
    pub(super) fn resume(&mut self, writer: usize) {
        self.slots[writer].paused = false;
        let partitions: Vec<(TopicPartition, Offset)> = self
            .ledger
            .of_writer(writer)
            .into_iter()
            .filter_map(|p| {
                self.ledger
                    .get(&p)
                    .filter(|place| place.is_active() && place.held.is_none())
                    .map(|place| place.next)
                    .map(|n| (p, n))
            })
            .collect();
        let mut list = TopicPartitionList::new();
        for (partition, _) in &partitions {
            list.add_partition(&partition.topic, partition.partition.0);
        }
        if let Err(error) = self.parts.consumer.resume(&list) {
            tracing::debug!(%error, "resuming");
        }
        for (partition, next) in partitions {
            self.seek(&partition, next);
        }
    }

    /// Moves a partition on from where it stands: for records that were dropped, or a fetch that has stopped.
    pub(super) fn nudge(&mut self, partition: &TopicPartition) {
        let Some(next) = self.ledger.get(partition).map(|place| place.next) else { return };
        self.seek(partition, next);
    }

    /// Once a second: records that were dropped, positions that move without records, the status.
    pub(super) fn tick(&mut self) {
        let enough = self.enough();
        let dropped: Vec<TopicPartition> = self
            .ledger
            .iter()
            .filter(|(_, place)| place.dropped && place.is_active() && place.held.is_none() && !enough)
            .filter(|(_, place)| {
                !self.slots[place.writer].paused && !self.slots[place.writer].full(&self.parts.limits)
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in dropped {
            self.nudge(&partition);
        }
        self.pass_gaps();
        self.hear_of_commits();
        let told = self.parts.metrics.kafka_commits.with_label_values(&["ok"]).get();
        if self.outsider.is_some_and(|before| told > before) {
            self.member();
        }
        if self.parts.bounds.until_end && self.ends.waits_for_others(&self.ledger) {
            self.ask(Request::ReadAll(self.ends.topics()));
        }
        self.publish();
    }

    /// Stores positions that went past transaction markers or compacted records, so that lag comes down to 0.
    ///
    /// The client's own position is believed only once it was reset after the last assignment or seek: it outlives
    /// both, and one from before would skip records.
    fn pass_gaps(&mut self) {
        let idle: Vec<TopicPartition> = self
            .ledger
            .iter()
            .filter(|(_, p)| p.phase == Phase::Active && !p.busy && !p.dropped && p.stored == p.next)
            .filter(|(_, p)| p.lag().is_some_and(|lag| lag > 0) && !self.slots[p.writer].paused)
            .map(|(partition, _)| partition.clone())
            .collect();
        let positions = if idle.is_empty() { None } else { self.parts.consumer.position().ok() };
        for partition in &idle {
            let settled = self.ledger.get(partition).is_some_and(|place| place.settled);
            if !settled {
                self.nudge(partition);
                if let Some(place) = self.ledger.get_mut(partition) {
                    place.settled = !place.dropped;
                }
                continue;
            }
            let position = positions
                .as_ref()
                .and_then(|list| list.find_partition(&partition.topic, partition.partition.0))
                .map(|element| element.offset());
            let Some(place) = self.ledger.get_mut(partition) else { continue };
            if let Some(KafkaOffset::Offset(position)) = position
                && position > place.next.0
            {
                let slot = &mut self.slots[place.writer];
                let span = slot.open.span(partition, place.handed);
                slot.open.advance(span, Offset(position));
                slot.opened.get_or_insert_with(Instant::now);
                place.next = Offset(position);
            }
        }
        for partition in self.ledger.iter().map(|(p, _)| p.clone()).collect::<Vec<_>>() {
            if let Some(place) = self.ledger.get_mut(&partition) {
                place.busy = false;
            }
        }
    }

    /// Tells Kafka the stored positions, now and then: always after PostgreSQL, and only for those who look.
    pub(super) fn tell_kafka(&mut self, now: Instant) {
        if self.uncommitted.is_empty() || now < self.next_kafka_commit {
            return;
        }
        self.next_kafka_commit = now + KAFKA_COMMIT;
        self.commit_to_kafka();
    }

    /// Counts what became of commits. A position that Kafka did not take, in the middle of a rebalance, say, is told
    /// again: of a partition without new records it would never hear another.
    fn hear_of_commits(&mut self) {
        for Outcome { result, untold } in self.commits.outcomes() {
            let outcome = match result {
                Ok(()) => "ok",
                Err(error) => {
                    tracing::debug!(%error, "Kafka refused a commit; the positions in PostgreSQL are what counts");
                    "failed"
                }
            };
            self.parts.metrics.kafka_commits.with_label_values(&[outcome]).inc();
            for partition in untold {
                if let Some(place) = self.ledger.get(&partition).filter(|place| place.phase == Phase::Active)
                {
                    self.uncommitted.entry(partition).or_insert(place.stored);
                }
            }
        }
    }

    fn commit_to_kafka(&mut self) {
        if self.uncommitted.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in std::mem::take(&mut self.uncommitted) {
            let mut element = list.add_partition(&partition.topic, partition.partition.0);
            element.set_metadata(&self.parts.commit_metadata);
            if let Err(error) = element.set_offset(KafkaOffset::Offset(next.0)) {
                tracing::error!(%partition, %error, "cannot name a position to Kafka");
            }
        }
        if let Err(error) = self.commits.send(&list) {
            self.parts.metrics.kafka_commits.with_label_values(&["failed"]).inc();
            tracing::debug!(%error, "Kafka was not told the positions; those in PostgreSQL are what counts");
        }
    }

    /// All the records that a bounded run wants are in batches.
    pub(super) fn enough(&self) -> bool {
        self.parts.bounds.max_records.is_some_and(|max| self.taken >= max)
    }

    /// Lets the writers finish what they have, and after a signal what is open as well.
    pub(super) fn drain(&mut self, stopped_by: StoppedBy) {
        let deadline = Instant::now() + self.parts.drain_timeout;
        if stopped_by == StoppedBy::Deadline {
            // A writer that gets on finishes its batch; one that waits for what is away gives it up.
            self.parts.shutdown.request();
        }
        loop {
            self.heartbeat();
            let mut asks = false;
            if stopped_by == StoppedBy::Signal && !self.abandoned && self.totals.refused.is_empty() {
                for writer in 0..self.slots.len() {
                    if self.slots[writer].in_flight.is_none() && self.slots[writer].waits() {
                        if self.waits_for_answer(writer) {
                            asks = true;
                        } else {
                            self.hand_over(writer);
                        }
                    }
                }
            }
            let busy = asks || self.slots.iter().any(|slot| slot.in_flight.is_some());
            let left = deadline.saturating_duration_since(Instant::now());
            if !busy {
                break;
            }
            if left.is_zero() {
                tracing::warn!(
                    "not everything could be written before the shutdown timeout; it is read again"
                );
                break;
            }
            if let Ok(event) = self.parts.events.recv_timeout(left.min(Duration::from_millis(100))) {
                self.heard_while_draining(event);
            }
        }
        self.publish();
        // Closing the consumer waits for the answer, but not for ever.
        self.commit_to_kafka();
    }

    /// Publishes where every partition stands, as metrics and for /status.
    pub(super) fn publish(&self) {
        let metrics = &self.parts.metrics;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.partitions_assigned.set(count(self.ledger.count()));
        let mut stopped = [0_i64; Stopped::ALL.len()];
        let (mut waiting, mut resolving, mut held) = (0, 0, 0);
        for (partition, place) in self.ledger.iter() {
            match &place.phase {
                Phase::Resolving => resolving += 1,
                Phase::Active if place.held.is_some() => held += 1,
                Phase::Active => waiting += i64::from(self.slots[place.writer].paused),
                Phase::Stopped(why) => {
                    for (name, n) in Stopped::ALL.iter().zip(&mut stopped) {
                        *n += i64::from(why.as_str() == *name);
                    }
                }
            }
            if place.known && place.phase != Phase::Resolving {
                // Of one instant: alerts add them up to where the partition ends.
                let number = partition.partition.to_string();
                let labels = [&*partition.topic, number.as_str()];
                metrics.position.with_label_values(&labels).set(place.stored.0);
                if let Some(lag) = place.lag() {
                    metrics.lag_records.with_label_values(&labels).set(lag);
                }
            }
        }
        metrics.partitions_paused.with_label_values(&["writer"]).set(waiting);
        metrics.partitions_paused.with_label_values(&["position"]).set(resolving);
        metrics.partitions_paused.with_label_values(&["breaker"]).set(held);
        for (name, n) in Stopped::ALL.iter().zip(stopped) {
            metrics.partitions_stopped.with_label_values(&[name]).set(n);
        }
        let paused: Vec<bool> = self.slots.iter().map(|slot| slot.paused).collect();
        self.parts.board.publish(&self.ledger, &paused);
    }

    /// What is counted of a partition that is ours from now on begins at 0: the first of anything would be no increase.
    pub(super) fn begin_metrics(&self, partition: &TopicPartition) {
        let metrics = &self.parts.metrics;
        let topic = &*partition.topic;
        let _begun = metrics.records_consumed.with_label_values(&[topic, &partition.partition.to_string()]);
        let _begun = metrics.bytes_consumed.with_label_values(&[topic]);
        let _begun = metrics.breaker_open.with_label_values(&[topic]);
        for reason in Reason::ALL {
            let _begun = metrics.dead_letters.with_label_values(&[topic, reason.as_str()]);
        }
    }

    /// A partition that is not ours any more has no position and no lag here.
    pub(super) fn forget_metrics(&self, partition: &TopicPartition) {
        let number = partition.partition.to_string();
        let labels = [&*partition.topic, number.as_str()];
        for gauge in [&self.parts.metrics.lag_records, &self.parts.metrics.position] {
            if let Err(error) = gauge.remove_label_values(&labels) {
                tracing::trace!(%error, "nothing was known of it");
            }
        }
    }
}
