//! The work of a tick, once a second: what moves without records.

use std::time::Instant;

use super::{Command, Source};
use crate::messages::requests::Request;
use crate::positions::partition::AssignedPartition;
use crate::types::{Offset, TopicPartition};

impl Source {
    /// Fetches dropped records again, stores positions that moved without records, and publishes the status.
    pub(super) fn tick(&mut self) {
        self.query_stopped();
        let enough = self.max_records_taken();
        let interrupted = self.ledger.select(|_, entry| {
            let lane = &self.lanes[entry.writer()];
            entry.is_interrupted() && !enough && !lane.paused && !lane.full(&self.settings.limits)
        });
        for partition in interrupted {
            self.refetch(&partition);
        }
        self.look_for_gaps();
        self.command(Command::ReadCommitOutcomes);
        if self.settings.bounds.until_end && self.ends.waits_for_others(&self.ledger) {
            self.command(Command::Request(Request::ReadAll(self.ends.topics())));
        }
        self.command(Command::Publish);
    }

    /// Looks for partitions whose position can move past transaction markers or compacted records, so that lag reaches 0.
    ///
    /// The client's own position is used only after it was reset since the last assignment or seek. It survives both, and
    /// an old one would skip records.
    fn look_for_gaps(&mut self) {
        let idle = self.ledger.select(|_, entry| {
            entry.is_starved() && !entry.is_interrupted() && !self.lanes[entry.writer()].paused
        });
        let followed = |p: &TopicPartition| self.ledger.get(p).is_some_and(AssignedPartition::is_followed);
        let (followed, others): (Vec<_>, Vec<_>) = idle.into_iter().partition(followed);
        for partition in &others {
            self.seek_next(partition, true);
        }
        if !followed.is_empty() {
            self.command(Command::ReadClientPositions(followed));
        }
        self.ledger.iter_mut().for_each(|(_, entry)| entry.ticked());
    }

    /// These are the client's positions in partitions without records.
    pub(super) fn pass_gaps(&mut self, positions: &[(TopicPartition, Offset)], now: Instant) {
        for (partition, position) in positions {
            let Some(entry) = self.ledger.get_mut(partition) else { continue };
            if entry.is_starved() && entry.is_followed() && *position > entry.next() {
                let batch = if entry.is_growing() {
                    let Some(growth) = self.breakers.growth(&partition.topic, entry.writer()) else {
                        continue;
                    };
                    growth
                } else {
                    let lane = &mut self.lanes[entry.writer()];
                    lane.opened.get_or_insert(now);
                    &mut lane.open
                };
                let span = batch.span(partition, entry.next());
                batch.advance(span, *position);
                entry.passed_gap(*position);
            }
        }
    }
}
