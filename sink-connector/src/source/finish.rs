//! When a run is over, and how it ends.

use std::time::{Duration, Instant};

use super::Source;
use super::bounds::{self, StoppedBy};

impl Source {
    pub(super) fn finished(&mut self) -> Option<StoppedBy> {
        let bounds = self.parts.bounds;
        if self.parts.shutdown.requested() {
            return Some(StoppedBy::Signal);
        }
        if bounds.max_records.is_some_and(|max| self.totals.records >= max) {
            return Some(StoppedBy::MaxRecords);
        }
        if !self.totals.refused.is_empty() {
            return Some(StoppedBy::ErrorPolicy);
        }
        if bounds.bounded()
            && let Some(reason) = self.nothing_but_held()
        {
            self.totals.stays_open = Some(reason);
            return Some(StoppedBy::ErrorPolicy);
        }
        // Stored positions say nothing of the logs before those that are ours have been looked at.
        if bounds.until_end && self.joined && self.ends.reached(&self.ledger) {
            return Some(StoppedBy::End);
        }
        if bounds.max_records.is_some() && bounds::nothing_is_left(&self.ledger) {
            return Some(StoppedBy::End);
        }
        if let Some(idle) = bounds.idle_timeout
            && self.joined
            && self.last_record.elapsed() >= idle
            && bounds::at_the_end(
                &self.ledger,
                &self.ends,
                self.last_record + idle.saturating_sub(Duration::from_secs(3)),
            )
        {
            return Some(StoppedBy::Idle);
        }
        if bounds.deadline.is_some_and(|deadline| self.started.elapsed() >= deadline) {
            self.totals.stays_open = self.held_while_idle();
            if self.totals.stays_open.is_some() {
                return Some(StoppedBy::ErrorPolicy);
            }
            return Some(StoppedBy::Deadline);
        }
        None
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
}
