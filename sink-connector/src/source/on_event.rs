//! The source's reactions to events of the other threads, reports of writers among them.

use std::time::Instant;

use super::Source;
use crate::batch::Batch;
use crate::messages::events::Event;
use crate::messages::report::BatchCounts;
use crate::messages::report::{Report, Size};
use crate::positions::ledger::Stopped;

impl Source {
    /// Handles the events that are queued.
    pub(super) fn handle_events(&mut self) {
        while let Ok(event) = self.context.events.try_recv() {
            self.on_event(event);
        }
    }

    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Report(report) => self.on_report(*report),
            Event::Replaced { writer, batches, generation, took_too_long } => {
                let lane = &mut self.lanes[writer];
                lane.batches = batches;
                lane.generation = generation;
                if let Some(records) = lane.in_flight.filter(|_| took_too_long) {
                    lane.adaptive_limit.took_too_long(usize::try_from(records).unwrap_or(usize::MAX));
                }
                self.resolve_again(writer);
                self.on_writer_idle(writer);
            }
            Event::Resolved(answers) => self.on_positions(answers),
            Event::Watermarks(found) => self.on_watermarks(found),
            Event::Recreated { topic, why } => {
                let partitions: Vec<_> =
                    self.ledger.iter().filter(|(p, _)| *p.topic == *topic).map(|(p, _)| p.clone()).collect();
                for partition in partitions {
                    self.stop(&partition, Stopped::TopicRecreated(why.clone()));
                }
            }
            Event::SameTopics { at, topics } => {
                self.on_same_topics(at, &topics);
                self.hand_over_due(Instant::now());
            }
            Event::Goal(goal) => self.ends.goal = Some(goal),
            Event::Stored(positions) => self.ends.elsewhere.extend(positions),
        }
    }

    /// A writer has finished with a batch. A commit of a writer that was replaced adds to the totals only: its successor
    /// has read the positions again.
    pub(super) fn on_report(&mut self, report: Report) {
        let (writer, generation) = report.sender();
        if self.lanes[writer].generation != generation {
            if let Report::Committed { batch, counts, .. } = report {
                self.taken += batch.records().count() as u64;
                self.count(&batch, &counts);
            }
            return;
        }
        match report {
            Report::Committed { batch, counts, rejected, .. } => {
                self.committed(writer, &batch, &counts);
                self.lanes[writer]
                    .adaptive_limit
                    .committed(batch.records().count(), self.context.limits.max_rows);
                self.totals.rejected.extend(rejected);
                if batch.is_probe() {
                    self.probe_passed(writer, &batch);
                }
                if !self.parked.is_empty() {
                    self.table_written(writer, &batch);
                }
                self.lanes[writer].recycle(batch);
                self.on_writer_idle(writer);
            }
            Report::Fenced { batch, .. } => {
                self.resolve_again(writer);
                self.lanes[writer].recycle(batch);
                self.on_writer_idle(writer);
            }
            Report::Returned { batch, size, .. } => {
                let lane = &mut self.lanes[writer];
                match size {
                    Size::Larger => {
                        lane.grow(batch, &self.context.limits, &self.context.plans, &mut self.fields);
                    }
                    Size::Smaller => {
                        lane.adaptive_limit.took_too_long(batch.records().count());
                        lane.queued.push_front(batch);
                    }
                }
                self.on_writer_idle(writer);
            }
            Report::Divided { batch, .. } => {
                self.divide_by_table(writer, &batch);
                self.on_writer_idle(writer);
            }
            Report::Parked { batch, trouble, .. } => self.park(writer, &batch, trouble),
            Report::Tripped { batch, topics, .. } => {
                self.lanes[writer].in_flight = None;
                self.tripped(writer, &batch, &topics);
            }
            Report::Abandoned { .. } => {
                self.lanes[writer].in_flight = None;
                self.abandoned = true;
            }
        }
    }

    pub(super) fn committed(&mut self, writer: usize, batch: &Batch, counts: &BatchCounts) {
        self.lanes[writer].in_flight = None;
        self.count(batch, counts);
        for span in batch.spans() {
            self.totals.positions.insert(span.partition.clone(), span.next);
            if self.ledger.committed(&span.partition, span.next) {
                self.uncommitted.insert(span.partition.clone(), span.next);
            }
        }
    }

    pub(super) fn count(&mut self, batch: &Batch, counts: &BatchCounts) {
        self.totals.records += batch.records().count() as u64;
        self.totals.rows_written += counts.written.iter().map(|(_, n)| n).sum::<u64>();
        self.totals.rows_deleted += counts.deleted.iter().map(|(_, n)| n).sum::<u64>();
        self.totals.skipped += counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>();
        self.totals.dead_letters += counts.dead_letters.len() as u64;
    }

    /// The reaction to an event while the writers are drained and no more records are taken.
    pub(super) fn on_event_while_draining(&mut self, event: Event) {
        match event {
            Event::Report(_) | Event::Recreated { .. } => self.on_event(event),
            Event::SameTopics { at, topics } => self.on_same_topics(at, &topics),
            Event::Replaced { writer, .. } => self.lanes[writer].in_flight = None,
            Event::Resolved(_) | Event::Watermarks(_) | Event::Goal(_) | Event::Stored(_) => {}
        }
    }

    /// The writer is idle: it can take another batch.
    pub(super) fn on_writer_idle(&mut self, writer: usize) {
        let lane = &mut self.lanes[writer];
        lane.in_flight = None;
        lane.blocked = None;
        self.hand_over_due(Instant::now());
        let lane = &self.lanes[writer];
        if lane.paused && !lane.full(&self.context.limits) {
            self.resume(writer);
        }
    }
}
