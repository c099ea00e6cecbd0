//! Partitions that come and go, and where each of them is read from.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};

use super::Source;
use super::consumer::{self, Rebalanced, cooperative, list_of};
use crate::health::Component;
use crate::keeper::{Question, Request};
use crate::ledger::Stopped;
use crate::types::{Offset, TopicPartition};

/// How long local operations of librdkafka may take.
const LOCAL: Duration = Duration::from_secs(5);

impl Source {
    pub(super) fn rebalanced(&mut self, rebalanced: Rebalanced) {
        self.joined = true;
        self.last = None;
        match rebalanced {
            Rebalanced::Assigned(partitions) => {
                tracing::info!(partitions = partitions.len(), "assigned");
                self.member();
                let writers = self.slots.len();
                let questions: Vec<_> = partitions
                    .into_iter()
                    .map(|partition| {
                        self.begin_metrics(&partition);
                        let epoch = self.ledger.assign(partition.clone(), writers);
                        Question { partition, epoch, known: false }
                    })
                    .collect();
                if questions.is_empty() {
                    // librdkafka waits for an answer to an empty assignment as well.
                    self.assign(&TopicPartitionList::new());
                }
                self.ask(Request::Resolve(questions));
            }
            Rebalanced::Revoked(partitions) => {
                tracing::info!(partitions = partitions.len(), "revoked");
                for partition in &partitions {
                    self.ledger.revoke(partition);
                    self.beyond.remove(partition);
                    self.uncommitted.remove(partition);
                    self.forget_metrics(partition);
                }
                self.without(&partitions);
                self.ask(Request::Forget(partitions));
            }
        }
        self.publish();
    }

    /// The group works with this member.
    pub(super) fn member(&mut self) {
        if self.outsider.take().is_some() {
            self.parts.health.well(&Component::Group);
        }
    }

    /// A writer's batches did not come through: all of its positions are read again.
    pub(super) fn resolve_again(&mut self, writer: usize) {
        let slot = &mut self.slots[writer];
        self.taken -= slot.in_flight.take().unwrap_or(0) + slot.open.records().count() as u64;
        slot.drop_open();
        self.last = None;
        self.forget_held(writer);
        self.close_passed();
        let partitions = self.ledger.of_writer(writer);
        let questions: Vec<_> = partitions
            .into_iter()
            .filter_map(|partition| {
                let epoch = self.ledger.resolve_again(&partition)?;
                let known = self.ledger.get(&partition).is_some_and(|place| place.known);
                Some(Question { partition, epoch, known })
            })
            .collect();
        self.ask(Request::Resolve(questions));
    }

    /// Positions have come: fetching begins there.
    pub(super) fn resolved(&mut self, answers: Vec<(TopicPartition, u64, Result<Offset, Stopped>)>) {
        self.last = None;
        let mut positions = Vec::new();
        for (partition, epoch, answer) in answers {
            match answer {
                Ok(position) => {
                    if self.ledger.resolved(&partition, epoch, position) {
                        // Lag tools do not see a partition that Kafka was never told of, or one that was reset.
                        self.uncommitted.insert(partition.clone(), position);
                        self.came.remove(&partition.topic);
                        positions.push((partition, position));
                    }
                }
                Err(why) => {
                    if self.ledger.get(&partition).is_some_and(|place| place.epoch == epoch) {
                        self.stop(&partition, why);
                    }
                }
            }
        }
        self.fetch_from(&positions);
        self.publish();
    }

    /// Assigns partitions at their positions, or moves them there when they are assigned already.
    pub(super) fn fetch_from(&mut self, positions: &[(TopicPartition, Offset)]) {
        let consumer = &self.parts.consumer;
        let assigned = consumer.assignment().map(|l| consumer::partitions_of(&l)).unwrap_or_default();
        let (old, new): (Vec<_>, Vec<_>) = positions.iter().partition(|(p, _)| assigned.contains(p));
        let list = |positions: &[&(TopicPartition, Offset)]| list_of(positions.iter().map(|(p, o)| (p, *o)));
        self.unpause(positions);
        match list(&new) {
            Ok(list) => self.assign(&list),
            Err(error) => tracing::error!(%error, "cannot name the partitions to assign"),
        }
        for (partition, position) in old {
            self.seek(partition, *position);
        }
        for writer in 0..self.slots.len() {
            if self.slots[writer].paused {
                // What was assigned just now belongs to a writer that is waiting.
                self.pause(writer);
            }
        }
        self.pause_held();
        *self.parts.watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            self.ledger.iter().map(|(p, _)| p.clone()).collect();
        self.look_now();
    }

    /// Ends pauses from before: they outlive assignments, and the partition's writer may have been freed while its
    /// position was being read.
    pub(super) fn unpause(&self, positions: &[(TopicPartition, Offset)]) {
        let mut list = TopicPartitionList::new();
        for (partition, _) in positions {
            let waits = self.ledger.get(partition).is_some_and(|place| self.slots[place.writer].paused);
            if !waits {
                list.add_partition(&partition.topic, partition.partition.0);
            }
        }
        if let Err(error) = self.parts.consumer.resume(&list) {
            tracing::debug!(%error, "resuming");
        }
    }

    pub(super) fn assign(&self, list: &TopicPartitionList) {
        let consumer = &self.parts.consumer;
        let outcome = if cooperative(consumer) {
            consumer.incremental_assign(list)
        } else {
            // The eager protocol replaces the assignment: what is there stays.
            match consumer.assignment() {
                Ok(mut all) => {
                    for element in list.elements() {
                        if let Err(error) =
                            all.add_partition_offset(element.topic(), element.partition(), element.offset())
                        {
                            tracing::error!(%error, "cannot name a partition to assign");
                        }
                    }
                    consumer.assign(&all)
                }
                Err(error) => Err(error),
            }
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "cannot assign partitions");
        }
    }

    /// Moves an assigned partition; everything fetched before is void.
    pub(super) fn seek(&mut self, partition: &TopicPartition, position: Offset) {
        let sought = list_of([(partition, position)])
            .and_then(|list| self.parts.consumer.seek_partitions(list, LOCAL))
            .and_then(|list| list.elements().first().map_or(Ok(()), TopicPartitionListElem::error));
        let moved = match sought {
            Ok(()) => true,
            // Not being fetched at the moment: assign it anew.
            Err(_) => list_of([(partition, position)])
                .and_then(|list| {
                    self.parts.consumer.incremental_unassign(&list)?;
                    self.parts.consumer.incremental_assign(&list)
                })
                .inspect_err(
                    |error| tracing::error!(%partition, %error, "cannot move to the stored position"),
                )
                .is_ok(),
        };
        if let Some(place) = self.ledger.get_mut(partition) {
            place.dropped = !moved;
            place.settled = false;
        }
    }

    /// Moves a partition on from where it stands: for records that were dropped, or a fetch that has stopped.
    pub(super) fn nudge(&mut self, partition: &TopicPartition) {
        let Some(next) = self.ledger.get(partition).map(|place| place.next) else { return };
        self.seek(partition, next);
    }
}
