//! The source's reactions to events of the other threads, reports of writers among them.

use std::time::Instant;

use super::{Command, Source};
use crate::batch::Batch;
use crate::messages::events::Event;
use crate::messages::report::BatchCounts;
use crate::messages::report::{Report, Size};
use crate::positions::stopped::Stopped;

impl Source {
    /// An event of another thread.
    pub(super) fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Report(report) => self.on_report(*report, now),
            Event::Replaced { writer, generation, took_too_long, .. } => {
                let lane = &mut self.lanes[writer];
                let replaced = std::mem::replace(&mut lane.generation, generation);
                self.unreported.extend(lane.in_flight.map(|records| ((writer, replaced), records)));
                if let Some(records) = lane.in_flight.filter(|_| took_too_long) {
                    lane.adaptive_limit.took_too_long(usize::try_from(records).unwrap_or(usize::MAX));
                }
                self.resolve_again(writer);
                self.on_writer_idle(writer, now);
            }
            Event::Topics(topics) => self.command(Command::Subscribe(topics)),
            Event::Resolved(answers) => self.on_positions(answers),
            Event::Watermarks(found) => self.on_watermarks(found, now),
            Event::Recreated { topic, why } => {
                for partition in self.ledger.of_topic(&topic) {
                    self.stop(&partition, Stopped::TopicRecreated(why.clone()));
                }
            }
            Event::SameTopics { at, topics } => {
                self.on_same_topics(at, &topics);
                self.hand_over_due(now);
            }
            Event::Goal(goal) => self.ends.goal = Some(goal),
            Event::Stored(positions) => self.ends.elsewhere.extend(positions),
        }
    }

    /// A writer has finished with a batch. A commit of a writer that was replaced adds to the totals only: its successor
    /// has read the positions again.
    fn on_report(&mut self, report: Report, now: Instant) {
        let (writer, generation) = report.sender();
        if self.lanes[writer].generation != generation {
            self.unreported.remove(&(writer, generation));
            if let Report::Committed { batch, counts, .. } = report {
                self.taken += batch.records().count() as u64;
                self.count(&batch, &counts);
            }
            return;
        }
        match report {
            Report::Committed { batch, counts, rejected, .. } => {
                self.committed(writer, &batch, &counts);
                self.lanes[writer].committed(batch.records().count(), &self.settings.limits, now);
                self.totals.rejected.extend(rejected);
                if batch.is_probe() {
                    self.probe_passed(writer, &batch);
                }
                if !self.parked.is_empty() {
                    self.table_written(writer, &batch, now);
                }
                self.lanes[writer].recycle(batch);
                self.on_writer_idle(writer, now);
            }
            Report::Fenced { batch, .. } => {
                self.resolve_again(writer);
                self.lanes[writer].recycle(batch);
                self.on_writer_idle(writer, now);
            }
            Report::Divided { batch, .. } => self.divided(writer, batch, now),
            Report::Parked { batch, trouble, .. } => self.on_parked(writer, batch, &trouble, now),
            Report::Returned { batch, size, .. } => self.returned(writer, batch, size, now),
            Report::Tripped { batch, topics, .. } => {
                let batch = self.without_void(writer, batch);
                self.lanes[writer].in_flight = None;
                self.tripped(writer, &batch, &topics, now);
            }
            Report::Abandoned { .. } => {
                self.lanes[writer].in_flight = None;
                self.abandoned = true;
            }
        }
    }

    /// A batch comes back that must be written in another size.
    fn returned(&mut self, writer: usize, batch: Batch, size: Size, now: Instant) {
        let was_probe = batch.is_probe();
        let batch = self.without_void(writer, batch);
        let lane = &mut self.lanes[writer];
        if batch.is_empty() {
            if was_probe {
                self.probe_void(writer);
            }
        } else if size == Size::Larger {
            lane.grow(batch, &self.settings.limits, &self.settings.plans, &mut self.fields);
        } else {
            lane.shrink(batch, &mut self.fields);
        }
        self.on_writer_idle(writer, now);
    }

    /// A batch that comes back, without the partitions that were revoked or stopped meanwhile. One that is assigned again
    /// is read again: from its stored position, which a record of that batch may be behind.
    pub(super) fn without_void(&mut self, writer: usize, batch: Batch) -> Batch {
        let void = std::mem::take(&mut self.lanes[writer].void_in_flight);
        if batch.spans().iter().all(|span| !void.contains(&span.partition)) {
            return batch;
        }
        let kept = batch.part(|partition| !void.contains(partition), &mut self.fields);
        self.taken -= (batch.records().count() - kept.records().count()) as u64;
        kept
    }

    fn committed(&mut self, writer: usize, batch: &Batch, counts: &BatchCounts) {
        self.lanes[writer].in_flight = None;
        self.count(batch, counts);
        for span in batch.spans() {
            self.totals.positions.insert(span.partition.clone(), span.next);
            let entry = self.ledger.get_mut(&span.partition);
            if entry.is_some_and(|entry| entry.committed(span.next)) {
                self.kafka_commits.stored(&span.partition, span.next);
            }
        }
    }

    fn count(&mut self, batch: &Batch, counts: &BatchCounts) {
        self.totals.records += batch.records().count() as u64;
        self.totals.rows_written += counts.written.iter().map(|(_, n)| n).sum::<u64>();
        self.totals.rows_deleted += counts.deleted.iter().map(|(_, n)| n).sum::<u64>();
        self.totals.skipped += counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>();
        self.totals.dead_letters += counts.dead_letters.len() as u64;
    }

    /// The reaction to an event while the writers are drained and no more records are taken.
    pub(super) fn on_event_while_draining(&mut self, event: Event, now: Instant) {
        match event {
            Event::Report(_) | Event::Recreated { .. } | Event::Replaced { .. } => self.on_event(event, now),
            Event::SameTopics { at, topics } => self.on_same_topics(at, &topics),
            Event::Topics(_)
            | Event::Resolved(_)
            | Event::Watermarks(_)
            | Event::Goal(_)
            | Event::Stored(_) => {}
        }
    }

    /// The writer is idle: it can take another batch.
    pub(super) fn on_writer_idle(&mut self, writer: usize, now: Instant) {
        let lane = &mut self.lanes[writer];
        lane.in_flight = None;
        lane.blocked = None;
        self.hand_over_due(now);
        let lane = &self.lanes[writer];
        if lane.paused && !lane.full(&self.settings.limits) {
            self.resume(writer);
        }
    }
}
