//! Assignment and revocation of partitions, and the position from which each is fetched.

use super::{Command, Move, Source};
use crate::kafka::consumer::Rebalanced;
use crate::messages::requests::{PositionQuery, Request};
use crate::positions::partition::AssignedPartition;
use crate::positions::stopped::Stopped;
use crate::types::{Offset, TopicPartition};

impl Source {
    /// Partitions were assigned or revoked.
    pub(super) fn on_rebalance(&mut self, rebalanced: Rebalanced) {
        self.joined = true;
        self.last = None;
        match rebalanced {
            Rebalanced::Assigned(partitions) => self.assigned(partitions),
            Rebalanced::Revoked(partitions) => self.revoked(partitions),
        }
        self.command(Command::Publish);
    }

    fn assigned(&mut self, partitions: Vec<TopicPartition>) {
        tracing::info!(partitions = partitions.len(), "assigned");
        self.accepted_by_group();
        if partitions.is_empty() {
            // librdkafka waits for an answer to an empty assignment as well.
            self.command(Command::Fetch(Vec::new()));
        }
        let writers = self.lanes.len();
        let mut queries = Vec::with_capacity(partitions.len());
        for partition in partitions {
            self.command(Command::BeginMetrics(partition.clone()));
            let epoch = self.ledger.assign(partition.clone(), writers);
            queries.push(PositionQuery { partition, epoch, known: false });
        }
        self.command(Command::Request(Request::Resolve(queries)));
    }

    fn revoked(&mut self, partitions: Vec<TopicPartition>) {
        tracing::info!(partitions = partitions.len(), "revoked");
        for partition in &partitions {
            if let Some(entry) = self.ledger.revoke(partition) {
                self.totals.note_position(partition, &entry);
            }
            self.beyond_log_ends.forget(partition);
            self.kafka_commits.forget(partition);
            self.command(Command::EndMetrics(partition.clone()));
        }
        self.drop_records(&partitions);
        self.command(Command::Request(Request::Forget(partitions)));
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
        let mut queries = Vec::new();
        for partition in self.ledger.of_writer(writer) {
            if let Some(epoch) = self.ledger.resolve_again(&partition) {
                let known = self.ledger.get(&partition).is_some_and(AssignedPartition::is_known);
                queries.push(PositionQuery { partition, epoch, known });
            }
        }
        self.command(Command::Request(Request::Resolve(queries)));
    }

    /// Positions were read from PostgreSQL: fetching begins there.
    pub(super) fn on_positions(&mut self, answers: Vec<(TopicPartition, u64, Result<Offset, Stopped>)>) {
        self.last = None;
        let mut positions = Vec::new();
        for (partition, epoch, answer) in answers {
            let Some(entry) = self.ledger.get_mut(&partition) else { continue };
            match answer {
                Ok(position) => {
                    let had_stopped = entry.has_stopped();
                    if entry.resolved(epoch, position) {
                        if had_stopped {
                            tracing::info!(%partition, %position, "goes on: its table is back");
                            self.command(Command::EndMetrics(partition.clone()));
                        }
                        // Lag tools need a group offset for partitions that had none, or whose position was reset.
                        self.kafka_commits.stored(&partition, position);
                        self.pauses.begin(&partition.topic);
                        positions.push((partition, position));
                    }
                }
                Err(why) => {
                    if entry.epoch() == epoch {
                        self.stop(&partition, why);
                    }
                }
            }
        }
        self.fetch_from(positions);
        self.command(Command::Publish);
    }

    /// Fetches partitions from their positions.
    fn fetch_from(&mut self, positions: Vec<(TopicPartition, Offset)>) {
        // Earlier pauses survive assignments, and the writer may have become idle while the position was read.
        let paused = |partition: &TopicPartition| {
            self.ledger.get(partition).is_some_and(|entry| self.lanes[entry.writer()].paused)
        };
        let flowing: Vec<_> = positions.iter().map(|(p, _)| p).filter(|p| !paused(p)).cloned().collect();
        self.command(Command::Resume(flowing));
        self.command(Command::Fetch(positions));
        for writer in 0..self.lanes.len() {
            if self.lanes[writer].paused {
                // The new partitions of a paused writer must be paused as well.
                self.pause(writer);
            }
        }
        self.pause_held();
        self.command(Command::Watch(self.ledger.select(|_, _| true)));
        self.command(Command::ReadLogEnds);
    }

    /// Fetches a partition again from the next record to take: after records were dropped, or the fetch has stopped.
    pub(super) fn refetch(&mut self, partition: &TopicPartition) {
        self.seek_next(partition, false);
    }

    /// Moves the client to the next record to take. Until that has succeeded, nothing is taken.
    pub(super) fn seek_next(&mut self, partition: &TopicPartition, while_idle: bool) {
        let Some(entry) = self.ledger.get_mut(partition) else { return };
        entry.interrupted();
        let to = Move { partition: partition.clone(), position: entry.next(), while_idle };
        self.command(Command::Seek(to));
    }

    /// The client was moved, or could not be.
    pub(super) fn on_moved(&mut self, to: &Move, succeeded: bool) {
        let Some(entry) = self.ledger.get_mut(&to.partition) else { return };
        if self.lanes[entry.writer()].paused {
            // It is moved again when the writer's partitions are resumed.
            entry.interrupted();
        } else if entry.next() != to.position {
            // Another move follows.
        } else if to.while_idle {
            entry.moved_while_idle(succeeded);
        } else {
            entry.moved(succeeded);
        }
    }
}
