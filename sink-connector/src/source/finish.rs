//! When a run ends, and how the writers are drained then.

use std::time::{Duration, Instant};

use super::Source;
use super::bounds::{self, StoppedBy};

impl Source {
    /// Why the run ends now, if it does.
    pub(super) fn finished(&mut self) -> Option<StoppedBy> {
        let bounds = self.context.bounds;
        if self.context.shutdown.requested() {
            return Some(StoppedBy::Signal);
        }
        if bounds.max_records.is_some_and(|max| self.totals.records >= max) {
            return Some(StoppedBy::MaxRecords);
        }
        if !self.totals.rejected.is_empty() {
            return Some(StoppedBy::ErrorPolicy);
        }
        if bounds.bounded()
            && let Some(reason) = self.only_held_records_left()
        {
            self.totals.open_breaker = Some(reason);
            return Some(StoppedBy::ErrorPolicy);
        }
        // Before the first assignment, no log has been compared with its stored position.
        if bounds.until_end && self.joined && self.ends.reached(&self.ledger) {
            return Some(StoppedBy::End);
        }
        if bounds.max_records.is_some() && bounds::all_stopped(&self.ledger) {
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
            self.totals.open_breaker = self.open_breaker_while_idle();
            if self.totals.open_breaker.is_some() {
                return Some(StoppedBy::ErrorPolicy);
            }
            return Some(StoppedBy::Deadline);
        }
        None
    }

    /// Whether `--max-records` records are in batches.
    pub(super) fn max_records_taken(&self) -> bool {
        self.context.bounds.max_records.is_some_and(|max| self.taken >= max)
    }

    /// Waits until the writers have finished their batches. After a signal, the open batches are written as well.
    pub(super) fn drain(&mut self, stopped_by: StoppedBy) {
        let deadline = Instant::now() + self.context.drain_timeout;
        if stopped_by == StoppedBy::Deadline {
            // A writer that makes progress finishes its batch; one that waits for a dependency gives it up.
            self.context.shutdown.request();
        }
        loop {
            self.context.heartbeat.beat();
            let mut checking = false;
            if stopped_by == StoppedBy::Signal && !self.abandoned && self.totals.rejected.is_empty() {
                for writer in 0..self.lanes.len() {
                    if self.lanes[writer].in_flight.is_none() && self.lanes[writer].has_records() {
                        if self.waits_for_recreation_check(writer) {
                            checking = true;
                        } else {
                            self.hand_over(writer);
                        }
                    }
                }
            }
            let busy = checking || self.lanes.iter().any(|lane| lane.in_flight.is_some());
            let left = deadline.saturating_duration_since(Instant::now());
            if !busy {
                break;
            }
            if left.is_zero() {
                tracing::warn!(
                    "shutdown timeout reached before all records were written; the next start reads them again"
                );
                break;
            }
            if let Ok(event) = self.context.events.recv_timeout(left.min(Duration::from_millis(100))) {
                self.on_event_while_draining(event);
            }
        }
        self.publish();
        // Closing the consumer waits for the outcome, up to a limit.
        self.commit_to_kafka();
    }
}
