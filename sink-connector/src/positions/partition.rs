//! One assigned partition: its positions, and whether its records are taken. Pure.
//!
//! Its state changes only through the methods here, each of which is named for what has happened.

use std::sync::Arc;

use crate::positions::held::{Held, HeldBy};
use crate::positions::stopped::Stopped;
use crate::types::Offset;

/// What is being done with a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Its position is being read from PostgreSQL; nothing is taken from it.
    Resolving,
    /// Its records are taken.
    Active,
    /// It waits for the operator.
    Stopped(Stopped),
}

/// What the Kafka client delivers of an active partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Delivery {
    /// The records from the next one to take. The client's own position may be one from before.
    Begun,
    /// The same, and the client's own position follows them.
    Followed,
    /// Records after one that was dropped: nothing is taken until the client has been moved back.
    Interrupted,
}

/// One assigned partition.
#[derive(Clone, Debug)]
pub(crate) struct AssignedPartition {
    writer: usize,
    epoch: u64,
    phase: Phase,
    delivery: Delivery,
    /// Nothing is taken from it for now, and why.
    held: Option<Held>,
    /// A record was taken since the last tick.
    busy: bool,
    /// A position has been read: PostgreSQL has a row of it.
    known: bool,
    stored: Offset,
    /// The position after the last batch that was handed to the writer.
    handed: Offset,
    next: Offset,
    end: Option<Offset>,
}

impl AssignedPartition {
    /// A partition that was assigned, and whose position is being read.
    pub(crate) fn assigned(writer: usize, epoch: u64) -> Self {
        Self {
            writer,
            epoch,
            phase: Phase::Resolving,
            delivery: Delivery::Begun,
            held: None,
            busy: false,
            known: false,
            stored: Offset(0),
            handed: Offset(0),
            next: Offset(0),
            end: None,
        }
    }

    /// Whatever is known about the position is void: it is read again by the query with this epoch. False if the
    /// partition has stopped.
    pub(crate) fn resolve_again(&mut self, epoch: u64) -> bool {
        if self.has_stopped() {
            return false;
        }
        self.epoch = epoch;
        self.phase = Phase::Resolving;
        true
    }

    /// The cause of its stop may be over, without an act of the operator here: its position is read again by the query with
    /// this epoch. It stays stopped until there is an answer. False if the cause cannot end so.
    pub(crate) fn is_queried_again(&mut self, epoch: u64) -> bool {
        let queried = self.may_recover();
        if queried {
            self.epoch = epoch;
        }
        queried
    }

    /// It has stopped, and goes on if the table that its position belongs to is back.
    pub(crate) fn may_recover(&self) -> bool {
        matches!(self.phase, Phase::Stopped(Stopped::TableRecreated(..)))
    }

    /// The position was read, and taking may begin there. False if it answers an older query.
    pub(crate) fn resolved(&mut self, epoch: u64, position: Offset) -> bool {
        if self.epoch != epoch || self.phase != Phase::Resolving && !self.may_recover() {
            return false;
        }
        (self.stored, self.handed, self.next) = (position, position, position);
        self.known = true;
        self.phase = Phase::Active;
        self.delivery = Delivery::Begun;
        true
    }

    /// It stops. False if it has stopped already.
    pub(crate) fn stop(&mut self, why: Stopped) -> bool {
        let stops = !self.has_stopped();
        if stops {
            if let Some(position) = why.position() {
                (self.stored, self.handed, self.next) = (position, position, position);
                self.known = true;
            } else if !why.is_in_this_log() {
                // Neither a position nor a lag in the log that is there now.
                self.known = false;
            }
            self.phase = Phase::Stopped(why);
        }
        stops
    }

    /// Whether a record with this offset is taken.
    pub(crate) fn takes(&self, offset: Offset) -> bool {
        self.phase == Phase::Active
            && offset >= self.next
            && self.delivery != Delivery::Interrupted
            && !self.is_held_back()
    }

    /// The record with this offset was taken.
    pub(crate) fn taken(&mut self, offset: Offset) {
        self.next = Offset(offset.0 + 1);
        self.busy = true;
        self.delivery = Delivery::Followed;
    }

    /// A record that comes next was dropped, or will not be delivered.
    pub(crate) fn interrupted(&mut self) {
        self.delivery = Delivery::Interrupted;
    }

    /// The client was asked to deliver from the next record on; `moved`: whether it does.
    pub(crate) fn moved(&mut self, moved: bool) {
        self.delivery = if moved { Delivery::Begun } else { Delivery::Interrupted };
    }

    /// The client was moved while nothing was delivered: from now on, its own position is that of what follows.
    pub(crate) fn moved_while_idle(&mut self, moved: bool) {
        self.delivery = if moved { Delivery::Followed } else { Delivery::Interrupted };
    }

    /// The client has passed offsets without records: the next one to take is at `position`.
    pub(crate) fn passed_gap(&mut self, position: Offset) {
        assert!(position > self.next, "a gap is before the client's position");
        self.next = position;
    }

    /// The breaker of its topic is open, or its table is parked: nothing more is taken.
    pub(crate) fn hold(&mut self, by: HeldBy, reason: Arc<str>) {
        self.held = Some(Held::new(by, reason));
        self.delivery = Delivery::Interrupted;
    }

    /// Its records are taken for the next retry of its breaker. False if something else holds it, or they are already.
    pub(crate) fn grow(&mut self) -> bool {
        let active = self.is_active();
        let breaker = self.held.as_mut().filter(|held| active && held.by == HeldBy::Breaker);
        breaker.is_some_and(Held::grow)
    }

    /// No more of its records are taken for the next retry. False if none were.
    pub(crate) fn stop_growing(&mut self) -> bool {
        let stops = self.held.as_mut().is_some_and(Held::stop_growing);
        if stops {
            self.delivery = Delivery::Interrupted;
        }
        stops
    }

    /// The records in its open batch were dropped. `kept` is the position after those that still wait for a writer, if
    /// there are any.
    pub(crate) fn gave_back(&mut self, kept: Option<Offset>) {
        self.next = kept.map_or(self.handed, |kept| kept.max(self.handed));
    }

    /// All that was taken and is not stored was dropped, what the writer had included. `kept` as in [`Self::gave_back`].
    pub(crate) fn gave_back_all(&mut self, kept: Option<Offset>) {
        self.handed = self.stored;
        self.gave_back(kept);
    }

    /// This does not hold it any more. False if it did not.
    pub(crate) fn release(&mut self, by: HeldBy) -> bool {
        self.held.take_if(|held| held.by == by).is_some()
    }

    /// A batch was handed over that moves it to `next`. One that comes back, whole or in parts, is handed over again, and
    /// does not change what follows it.
    pub(crate) fn handed_over(&mut self, next: Offset) {
        // Otherwise records would be taken again that a batch has already.
        debug_assert!(
            next <= self.next,
            "only what was taken is handed over: {next}, but {} is next",
            self.next
        );
        self.handed = self.handed.max(next);
    }

    /// `next` is stored. True when that is this assignment's own progress, which may be committed to Kafka.
    pub(crate) fn committed(&mut self, next: Offset) -> bool {
        let progress = self.is_active() && next > self.stored && next <= self.handed;
        if progress {
            self.stored = next;
        }
        progress
    }

    /// Its log ends here.
    pub(crate) fn ends_at(&mut self, end: Offset) {
        self.end = Some(end);
    }

    /// A tick is over.
    pub(crate) fn ticked(&mut self) {
        self.busy = false;
    }

    /// The writer that has all of its records, so that they stay in order.
    pub(crate) fn writer(&self) -> usize {
        self.writer
    }

    /// Of the last query for its position.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What is being done with it.
    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Its position is known, and its log can be read.
    pub(crate) fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// It waits for the operator.
    pub(crate) fn has_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped(_))
    }

    /// Why nothing is taken from it, while its topic's breaker is open or its table is parked.
    pub(crate) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Its records are taken for the next retry of its breaker.
    pub(crate) fn is_growing(&self) -> bool {
        self.held.as_ref().is_some_and(Held::is_growing)
    }

    /// Something holds it, and nothing is taken from it.
    pub(crate) fn is_held_back(&self) -> bool {
        self.held.is_some() && !self.is_growing()
    }

    /// Its position has been read since it was assigned.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// The stored position, as far as known.
    pub(crate) fn stored(&self) -> Offset {
        self.stored
    }

    /// The position after the last record that was taken. A batch that begins here expects it to be stored: the batches
    /// before it end there.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// The end of the log, as far as known.
    pub(crate) fn end(&self) -> Option<Offset> {
        self.end
    }

    /// Records between the stored position and the end, if both are known.
    pub(crate) fn lag(&self) -> Option<i64> {
        self.end.filter(|_| self.known).map(|end| (end.0 - self.stored.0).max(0))
    }

    /// Everything that was taken is stored, and nothing was taken since the last tick.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.busy && self.stored == self.next
    }

    /// It is quiet although its log has more, and nothing holds it back: there are offsets without records, or the client
    /// has stopped fetching.
    pub(crate) fn is_starved(&self) -> bool {
        let quiet = if self.is_growing() { !self.busy } else { self.is_quiet() };
        self.is_active() && !self.is_held_back() && quiet && self.end.is_some_and(|end| end > self.next)
    }

    /// Records after the next one were dropped, and it is not held: the client must be moved back.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_active() && !self.is_held_back() && self.delivery == Delivery::Interrupted
    }

    /// The client's own position is where the next record would come from.
    pub(crate) fn is_followed(&self) -> bool {
        self.delivery == Delivery::Followed
    }
}

#[cfg(test)]
mod tests;
