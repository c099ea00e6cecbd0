//! News from the other threads, and what a writer's report means.

use std::time::Instant;

use super::Source;
use crate::batch::Batch;
use crate::events::Event;
use crate::ledger::Stopped;
use crate::writer::transaction::Counts;
use crate::writer::{Report, Size};

impl Source {
    /// News from the other threads.
    pub(super) fn hear(&mut self) {
        while let Ok(event) = self.parts.events.try_recv() {
            self.heard(event);
        }
    }

    pub(super) fn heard(&mut self, event: Event) {
        match event {
            Event::Report(report) => self.reported(*report),
            Event::Replaced { writer, batches, generation } => {
                self.slots[writer].batches = batches;
                self.slots[writer].generation = generation;
                self.resolve_again(writer);
                self.freed(writer);
            }
            Event::Resolved(answers) => self.resolved(answers),
            Event::Watermarks(found) => self.watermarks(found),
            Event::Recreated { topic, why } => {
                let partitions: Vec<_> =
                    self.ledger.iter().filter(|(p, _)| *p.topic == *topic).map(|(p, _)| p.clone()).collect();
                for partition in partitions {
                    self.stop(&partition, Stopped::TopicRecreated(why.clone()));
                }
            }
            Event::SameTopics { at, topics } => {
                self.same_topics(at, &topics);
                self.hand_over_due(Instant::now());
            }
            Event::Goal(goal) => self.ends.goal = Some(goal),
            Event::Stored(positions) => self.ends.elsewhere.extend(positions),
        }
    }

    /// A writer is done with a batch. Of a writer that was replaced only commits count, and only as what was done: the
    /// positions are its successor's, which has read them again.
    pub(super) fn reported(&mut self, report: Report) {
        let (writer, generation) = report.from();
        if self.slots[writer].generation != generation {
            if let Report::Committed { batch, counts, .. } = report {
                self.taken += batch.records().count() as u64;
                self.count(&batch, &counts);
            }
            return;
        }
        match report {
            Report::Committed { batch, counts, refused, .. } => {
                self.committed(writer, &batch, &counts);
                self.slots[writer].portion.committed(batch.records().count(), self.parts.limits.max_rows);
                self.totals.refused.extend(refused);
                if batch.is_probe() {
                    self.probe_passed(writer, &batch);
                }
                self.slots[writer].recycle(batch);
                self.freed(writer);
            }
            Report::Fenced { batch, .. } => {
                self.resolve_again(writer);
                self.slots[writer].recycle(batch);
                self.freed(writer);
            }
            Report::Returned { batch, size, .. } => {
                let slot = &mut self.slots[writer];
                match size {
                    Size::Larger => slot.grow(batch, &self.parts.limits, &self.parts.plans, &mut self.fields),
                    Size::Smaller => {
                        slot.portion.took_too_long(batch.records().count());
                        slot.first.push_front(batch);
                    }
                }
                self.freed(writer);
            }
            Report::Tripped { batch, topics, .. } => {
                self.slots[writer].in_flight = None;
                self.tripped(writer, &batch, &topics);
            }
            Report::Abandoned { .. } => {
                self.slots[writer].in_flight = None;
                self.abandoned = true;
            }
        }
    }

    pub(super) fn committed(&mut self, writer: usize, batch: &Batch, counts: &Counts) {
        self.slots[writer].in_flight = None;
        self.count(batch, counts);
        for span in batch.spans() {
            self.totals.positions.insert(span.partition.clone(), span.next);
            if self.ledger.committed(&span.partition, span.next) {
                self.uncommitted.insert(span.partition.clone(), span.next);
            }
        }
    }

    pub(super) fn count(&mut self, batch: &Batch, counts: &Counts) {
        self.totals.records += batch.records().count() as u64;
        self.totals.rows_written += counts.written.iter().map(|(_, n)| n).sum::<u64>();
        self.totals.rows_deleted += counts.deleted.iter().map(|(_, n)| n).sum::<u64>();
        self.totals.skipped += counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>();
        self.totals.dead_letters += counts.dead_letters.len() as u64;
    }

    /// News that comes while nothing is taken any more.
    pub(super) fn heard_while_draining(&mut self, event: Event) {
        match event {
            Event::Report(_) | Event::Recreated { .. } => self.heard(event),
            Event::SameTopics { at, topics } => self.same_topics(at, &topics),
            Event::Replaced { writer, .. } => self.slots[writer].in_flight = None,
            Event::Resolved(_) | Event::Watermarks(_) | Event::Goal(_) | Event::Stored(_) => {}
        }
    }

    /// The writer can take another batch.
    pub(super) fn freed(&mut self, writer: usize) {
        let slot = &mut self.slots[writer];
        slot.in_flight = None;
        slot.blocked = None;
        self.hand_over_due(Instant::now());
        let slot = &self.slots[writer];
        if slot.paused && !slot.full(&self.parts.limits) {
            self.resume(writer);
        }
    }
}
