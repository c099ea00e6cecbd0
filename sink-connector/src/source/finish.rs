//! When a run ends, and how the writers are drained then.

use std::time::{Duration, Instant};

use super::bounds::{self, StoppedBy};
use super::{Command, Next, Source, WAIT};

/// How old the ends of the logs may be for a run to end because it is idle. They are read every second.
const ENDS_AGE: Duration = Duration::from_secs(3);

/// The end of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draining {
    stopped_by: StoppedBy,
    /// Then it ends, whether or not the writers have finished.
    until: Instant,
}

impl Source {
    /// Why the run ends now, if it does.
    pub(super) fn finished(&mut self, now: Instant) -> Option<StoppedBy> {
        let bounds = self.settings.bounds;
        if self.shutdown_requested {
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
            && now.saturating_duration_since(self.last_record) >= idle
            // Ends from before an outage of Kafka do not show what has arrived since.
            && bounds::at_the_end(&self.ledger, &self.ends, now.checked_sub(ENDS_AGE).unwrap_or(self.started))
        {
            return Some(StoppedBy::Idle);
        }
        if bounds.deadline.is_some_and(|deadline| now.saturating_duration_since(self.started) >= deadline) {
            self.totals.open_breaker = self.open_breaker_while_idle();
            if self.totals.open_breaker.is_some() {
                return Some(StoppedBy::ErrorPolicy);
            }
            return Some(StoppedBy::Deadline);
        }
        None
    }

    /// Whether `--max-records` records are in batches, or may be committed by a writer that was replaced.
    pub(super) fn max_records_taken(&self) -> bool {
        let unreported = || self.unreported.values().sum::<u64>();
        self.settings.bounds.max_records.is_some_and(|max| self.taken + unreported() >= max)
    }

    /// The run ends: no more records are taken, and the writers finish their batches.
    pub(super) fn begin_draining(&mut self, stopped_by: StoppedBy, now: Instant) {
        if stopped_by == StoppedBy::Deadline {
            // A writer that makes progress finishes its batch; one that waits for a dependency gives it up.
            self.command(Command::RequestShutdown);
        }
        self.draining = Some(Draining { stopped_by, until: now + self.settings.drain_timeout });
    }

    /// Waits until the writers have finished their batches. After a signal, the open batches are written as well.
    pub(super) fn drain(&mut self, now: Instant) -> Next {
        let Some(Draining { stopped_by, until }) = self.draining else { return Next::Wait(WAIT) };
        let mut checking = false;
        if stopped_by == StoppedBy::Signal && !self.abandoned && self.totals.rejected.is_empty() {
            for writer in 0..self.lanes.len() {
                if self.lanes[writer].in_flight.is_none() && self.lanes[writer].has_records() {
                    if self.waits_for_recreation_check(writer, now) {
                        checking = true;
                    } else {
                        self.hand_over(writer, now);
                    }
                }
            }
        }
        let busy = checking || self.lanes.iter().any(|lane| lane.in_flight.is_some());
        let left = until.saturating_duration_since(now);
        if busy && !left.is_zero() {
            return Next::Wait(left.min(WAIT));
        }
        if busy {
            tracing::warn!(
                "shutdown timeout reached before all records were written; the next start reads them again"
            );
        }
        self.command(Command::Publish);
        // Closing the consumer waits for the outcome, up to a limit.
        self.commit_to_kafka();
        Next::End(stopped_by)
    }
}
