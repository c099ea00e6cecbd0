//! Handing batches to their writers, and waiting for busy writers.

use std::time::{Duration, Instant};

use super::{Command, Next, Source, WAIT};

/// How long the source waits for a busy writer without polling. After that it pauses the writer's partitions and polls
/// again. Pausing drops prefetched records, so it is for outages, not for flow control.
const PAUSE_AFTER: Duration = Duration::from_secs(1);

impl Source {
    /// Hands every batch that is due to its writer, if the writer is idle.
    pub(super) fn hand_over_due(&mut self, now: Instant) {
        if !self.totals.rejected.is_empty() {
            return;
        }
        for writer in 0..self.lanes.len() {
            let lane = &self.lanes[writer];
            if lane.in_flight.is_some() {
                continue;
            }
            if lane.due(&self.settings.limits, now) || self.nothing_follows(writer, now) {
                if !self.waits_for_recreation_check(writer, now) {
                    self.hand_over(writer, now);
                }
            } else if lane.paused {
                // The records that filled its batch may have been dropped since.
                self.resume(writer);
            }
        }
    }

    /// Whether the open batch of a writer has records, and a bounded run takes no more: lingering would only postpone its end.
    fn nothing_follows(&self, writer: usize, now: Instant) -> bool {
        let bounds = &self.settings.bounds;
        let idle =
            bounds.idle_timeout.is_some_and(|idle| now.saturating_duration_since(self.last_record) >= idle);
        !self.lanes[writer].open.is_empty()
            && (idle || self.max_records_taken() || bounds.until_end && self.ends.taken(&self.ledger))
    }

    pub(super) fn hand_over(&mut self, writer: usize, now: Instant) {
        let lane = &mut self.lanes[writer];
        let batch = lane.take_next(&mut self.fields, now);
        lane.in_flight = Some(batch.records().count() as u64);
        lane.void_in_flight.clear();
        for span in batch.spans() {
            if let Some(entry) = self.ledger.get_mut(&span.partition) {
                entry.handed_over(span.next);
            }
        }
        // The table may have changed: the next batch looks the plan up again.
        self.last = None;
        self.command(Command::Send(writer, Box::new(batch)));
    }

    /// If a writer is busy and its next batch is full, or a batch that is due must wait for its recreation check: how long
    /// to wait for an event without polling.
    pub(super) fn wait_for_writers(&mut self, now: Instant) -> Option<Next> {
        let limits = self.settings.limits;
        let mut blocked_since: Option<Instant> = None;
        for writer in 0..self.lanes.len() {
            let lane = &self.lanes[writer];
            let waits = match lane.in_flight {
                _ if lane.paused => false,
                Some(_) => lane.full(&limits),
                None => lane.due(&limits, now) && self.waits_for_recreation_check(writer, now),
            };
            if !waits {
                continue;
            }
            let lane = &mut self.lanes[writer];
            let blocked = *lane.blocked.get_or_insert(now);
            if now - blocked >= PAUSE_AFTER {
                self.pause(writer);
                continue;
            }
            blocked_since = Some(blocked_since.map_or(blocked, |since| since.min(blocked)));
        }
        let pause_at = blocked_since? + PAUSE_AFTER;
        Some(Next::Wait(pause_at.saturating_duration_since(now).min(WAIT)))
    }

    /// Stops fetching for a writer that makes no progress. Polling continues, so the group membership stays.
    pub(super) fn pause(&mut self, writer: usize) {
        self.lanes[writer].paused = true;
        let partitions = self.ledger.of_writer(writer);
        for partition in &partitions {
            if let Some(entry) = self.ledger.get_mut(partition) {
                entry.interrupted();
            }
        }
        self.command(Command::Pause(partitions));
    }

    /// Fetches again, from the next record to take.
    pub(super) fn resume(&mut self, writer: usize) {
        self.lanes[writer].paused = false;
        let partitions = self
            .ledger
            .select(|_, entry| entry.writer() == writer && entry.is_active() && !entry.is_held_back());
        self.command(Command::Resume(partitions.clone()));
        for partition in &partitions {
            self.refetch(partition);
        }
    }
}
