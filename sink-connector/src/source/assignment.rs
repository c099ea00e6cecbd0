//! Assignment and revocation of partitions, and the position from which each is fetched.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};

use super::Source;
use crate::kafka::consumer::{self, Rebalanced, cooperative, list_of};
use crate::messages::requests::{PositionQuery, Request};
use crate::observe::health::Component;
use crate::positions::ledger::Stopped;
use crate::types::{Offset, TopicPartition};

/// Timeout of a local operation of librdkafka.
const LOCAL: Duration = Duration::from_secs(5);

impl Source {
    /// Partitions were assigned or revoked.
    pub(super) fn on_rebalance(&mut self, rebalanced: Rebalanced) {
        self.joined = true;
        self.last = None;
        match rebalanced {
            Rebalanced::Assigned(partitions) => {
                tracing::info!(partitions = partitions.len(), "assigned");
                self.group_recovered();
                let writers = self.lanes.len();
                let queries: Vec<_> = partitions
                    .into_iter()
                    .map(|partition| {
                        self.begin_metrics(&partition);
                        let epoch = self.ledger.assign(partition.clone(), writers);
                        PositionQuery { partition, epoch, known: false }
                    })
                    .collect();
                if queries.is_empty() {
                    // librdkafka waits for an answer to an empty assignment as well.
                    self.assign(&TopicPartitionList::new());
                }
                self.request(Request::Resolve(queries));
            }
            Rebalanced::Revoked(partitions) => {
                tracing::info!(partitions = partitions.len(), "revoked");
                for partition in &partitions {
                    self.ledger.revoke(partition);
                    self.beyond_log_end.remove(partition);
                    self.uncommitted.remove(partition);
                    self.forget_metrics(partition);
                }
                self.drop_records(&partitions);
                self.request(Request::Forget(partitions));
            }
        }
        self.publish();
    }

    /// The group has accepted this member.
    pub(super) fn group_recovered(&mut self) {
        if self.group_refusal.take().is_some() {
            self.context.health.recovered(&Component::Group);
        }
    }

    /// Discards the batches of a writer that was fenced or replaced, and reads its positions again.
    pub(super) fn resolve_again(&mut self, writer: usize) {
        let lane = &mut self.lanes[writer];
        self.taken -= lane.in_flight.take().unwrap_or(0) + lane.open.records().count() as u64;
        lane.drop_open();
        self.last = None;
        self.forget_held(writer);
        self.forget_parked(writer);
        self.close_passed();
        let partitions = self.ledger.of_writer(writer);
        let queries: Vec<_> = partitions
            .into_iter()
            .filter_map(|partition| {
                let epoch = self.ledger.resolve_again(&partition)?;
                let known = self.ledger.get(&partition).is_some_and(|entry| entry.known);
                Some(PositionQuery { partition, epoch, known })
            })
            .collect();
        self.request(Request::Resolve(queries));
    }

    /// Positions were read from PostgreSQL: fetching begins there.
    pub(super) fn on_positions(&mut self, answers: Vec<(TopicPartition, u64, Result<Offset, Stopped>)>) {
        self.last = None;
        let mut positions = Vec::new();
        for (partition, epoch, answer) in answers {
            match answer {
                Ok(position) => {
                    if self.ledger.resolved(&partition, epoch, position) {
                        // Lag tools need a group offset for partitions that had none, or whose position was reset.
                        self.uncommitted.insert(partition.clone(), position);
                        self.last_record_of.remove(&partition.topic);
                        positions.push((partition, position));
                    }
                }
                Err(why) => {
                    if self.ledger.get(&partition).is_some_and(|entry| entry.epoch == epoch) {
                        self.stop(&partition, why);
                    }
                }
            }
        }
        self.fetch_from(&positions);
        self.publish();
    }

    /// Assigns partitions at their positions, or moves them there if they are assigned already.
    pub(super) fn fetch_from(&mut self, positions: &[(TopicPartition, Offset)]) {
        let consumer = &self.context.consumer;
        let assigned = consumer.assignment().map(|l| consumer::partitions_of(&l)).unwrap_or_default();
        let (old, new): (Vec<_>, Vec<_>) = positions.iter().partition(|(p, _)| assigned.contains(p));
        let list = |positions: &[&(TopicPartition, Offset)]| list_of(positions.iter().map(|(p, o)| (p, *o)));
        self.unpause(positions);
        match list(&new) {
            Ok(list) => self.assign(&list),
            Err(error) => tracing::error!(%error, "cannot list the partitions to assign"),
        }
        for (partition, position) in old {
            self.seek(partition, *position);
        }
        for writer in 0..self.lanes.len() {
            if self.lanes[writer].paused {
                // The new partitions of a paused writer must be paused as well.
                self.pause(writer);
            }
        }
        self.pause_held();
        *self.context.watched.lock() = self.ledger.iter().map(|(p, _)| p.clone()).collect();
        self.refresh_log_ends();
    }

    /// Ends earlier pauses: they survive assignments, and the writer may have become idle while the position was read.
    pub(super) fn unpause(&self, positions: &[(TopicPartition, Offset)]) {
        let mut list = TopicPartitionList::new();
        for (partition, _) in positions {
            let paused = self.ledger.get(partition).is_some_and(|entry| self.lanes[entry.writer].paused);
            if !paused {
                list.add_partition(&partition.topic, partition.partition.0);
            }
        }
        if let Err(error) = self.context.consumer.resume(&list) {
            tracing::debug!(%error, "cannot resume partitions");
        }
    }

    /// Adds partitions to the assignment.
    pub(super) fn assign(&self, list: &TopicPartitionList) {
        let consumer = &self.context.consumer;
        let outcome = if cooperative(consumer) {
            consumer.incremental_assign(list)
        } else {
            // The eager protocol replaces the assignment: the current partitions must be in the new one.
            match consumer.assignment() {
                Ok(mut all) => {
                    for element in list.elements() {
                        if let Err(error) =
                            all.add_partition_offset(element.topic(), element.partition(), element.offset())
                        {
                            tracing::error!(%error, "cannot add a partition to the assignment");
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

    /// Moves an assigned partition to a position, and discards its fetched records.
    pub(super) fn seek(&mut self, partition: &TopicPartition, position: Offset) {
        let sought = list_of([(partition, position)])
            .and_then(|list| self.context.consumer.seek_partitions(list, LOCAL))
            .and_then(|list| list.elements().first().map_or(Ok(()), TopicPartitionListElem::error));
        let moved = match sought {
            Ok(()) => true,
            // It is not being fetched at the moment: assign it again.
            Err(_) => list_of([(partition, position)])
                .and_then(|list| {
                    self.context.consumer.incremental_unassign(&list)?;
                    self.context.consumer.incremental_assign(&list)
                })
                .inspect_err(
                    |error| tracing::error!(%partition, %error, "cannot move to the stored position"),
                )
                .is_ok(),
        };
        if let Some(entry) = self.ledger.get_mut(partition) {
            entry.dropped = !moved;
            entry.settled = false;
        }
    }

    /// Fetches a partition again from the next record to take: after records were dropped, or the fetch has stopped.
    pub(super) fn refetch(&mut self, partition: &TopicPartition) {
        let Some(next) = self.ledger.get(partition).map(|entry| entry.next) else { return };
        self.seek(partition, next);
    }
}
