//! Where every assigned partition stands: stored, handed to a writer, taken from Kafka. Pure.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::types::{Offset, TopicPartition};

/// Why a partition is not consumed until the operator acts. The others go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// Kafka holds a commit of ours, PostgreSQL has no position.
    LostPosition(String),
    /// The stored position belongs to another cluster, group or table.
    ForeignPosition(String),
    /// The topic was deleted and created again.
    TopicRecreated(String),
    /// The target table was dropped and created again.
    TableRecreated(String),
    /// Records up to here have been deleted before they were read.
    BelowLogStart(String),
    /// The log ends before the position.
    BeyondLogEnd(String),
    /// There is no position, and `auto_offset_reset` is `error`.
    NoPosition(String),
}

impl Stopped {
    /// The value of the label `reason`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::LostPosition(_) => "lost_position",
            Self::ForeignPosition(_) => "foreign_position",
            Self::TopicRecreated(_) => "topic_recreated",
            Self::TableRecreated(_) => "table_recreated",
            Self::BelowLogStart(_) => "below_log_start",
            Self::BeyondLogEnd(_) => "beyond_log_end",
            Self::NoPosition(_) => "no_position",
        }
    }

    /// Every value of the label.
    pub const ALL: [&str; 7] = [
        "lost_position",
        "foreign_position",
        "topic_recreated",
        "table_recreated",
        "below_log_start",
        "beyond_log_end",
        "no_position",
    ];
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostPosition(text)
            | Self::ForeignPosition(text)
            | Self::TopicRecreated(text)
            | Self::TableRecreated(text)
            | Self::BelowLogStart(text)
            | Self::BeyondLogEnd(text)
            | Self::NoPosition(text) => f.write_str(text),
        }
    }
}

/// What is being done with a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its position is being read from PostgreSQL; nothing is taken from it.
    Resolving,
    /// Its records are taken.
    Active,
    /// It waits for the operator.
    Stopped(Stopped),
}

/// What keeps a partition from being read, although its position is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldBy {
    /// The breaker of its topic is open.
    Breaker,
    /// Its table cannot be written.
    Table,
}

impl HeldBy {
    /// The value of the label `cause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Table => "table",
        }
    }
}

/// Nothing is taken from a partition that is held.
#[derive(Clone, Debug)]
pub struct Held {
    pub by: HeldBy,
    /// For people.
    pub reason: Arc<str>,
}

/// One assigned partition.
#[derive(Clone, Debug)]
pub struct LedgerEntry {
    /// The writer that has all of its records, so that they stay in order.
    pub writer: usize,
    /// Counts how often its position was (re)read; results of older queries are ignored.
    pub epoch: u64,
    /// What is being done with it.
    pub phase: Phase,
    /// Its position has been read: `stored` means something, and PostgreSQL has a row of it.
    pub known: bool,
    /// The stored position, as far as known.
    pub stored: Offset,
    /// The position after the last batch that was handed to the writer: what the next batch expects.
    pub handed: Offset,
    /// The position after the last record that was taken.
    pub next: Offset,
    /// The end of the log, as far as known.
    pub end: Option<Offset>,
    /// A record was dropped since the last seek: taking goes on only after another.
    pub dropped: bool,
    /// The client's own position can be believed: it was reset after the last change of ours.
    pub settled: bool,
    /// A record was taken since the last idle tick.
    pub busy: bool,
    /// Nothing is taken from it for now, and why.
    pub held: Option<Held>,
}

impl LedgerEntry {
    /// Its position is known, and its log can be read.
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Records between the stored position and the end, if both are known.
    pub fn lag(&self) -> Option<i64> {
        self.end.filter(|_| self.known).map(|end| (end.0 - self.stored.0).max(0))
    }
}

/// All assigned partitions.
#[derive(Default, Debug)]
pub struct Ledger {
    places: HashMap<TopicPartition, LedgerEntry>,
    epochs: u64,
}

impl Ledger {
    /// Enters a newly assigned partition and returns the epoch of the query for its position.
    pub fn assign(&mut self, partition: TopicPartition, writers: usize) -> u64 {
        self.epochs += 1;
        let writer = self.least_busy(writers);
        let place = LedgerEntry {
            writer,
            epoch: self.epochs,
            phase: Phase::Resolving,
            known: false,
            stored: Offset(0),
            handed: Offset(0),
            next: Offset(0),
            end: None,
            dropped: false,
            settled: false,
            busy: false,
            held: None,
        };
        self.places.insert(partition, place);
        self.epochs
    }

    fn least_busy(&self, writers: usize) -> usize {
        let load = |writer: usize| self.places.values().filter(|p| p.writer == writer).count();
        (0..writers).min_by_key(|w| load(*w)).unwrap_or(0)
    }

    /// Forgets a partition that was revoked.
    pub fn revoke(&mut self, partition: &TopicPartition) {
        self.places.remove(partition);
    }

    /// Whatever is known about the position is void: it will be read again. Returns the epoch of the query;
    /// `None` if the partition is not ours or has stopped.
    pub fn resolve_again(&mut self, partition: &TopicPartition) -> Option<u64> {
        let place = self.places.get_mut(partition)?;
        if matches!(place.phase, Phase::Stopped(_)) {
            return None;
        }
        self.epochs += 1;
        place.epoch = self.epochs;
        place.phase = Phase::Resolving;
        Some(place.epoch)
    }

    /// The position that was read: taking may begin. False when it is the result of an older query.
    pub fn resolved(&mut self, partition: &TopicPartition, epoch: u64, position: Offset) -> bool {
        let Some(place) = self.places.get_mut(partition) else { return false };
        if place.epoch != epoch || place.phase != Phase::Resolving {
            return false;
        }
        (place.stored, place.handed, place.next) = (position, position, position);
        place.known = true;
        place.phase = Phase::Active;
        place.dropped = false;
        place.settled = false;
        true
    }

    /// Stops a partition. False when it is not ours or has stopped already.
    pub fn stop(&mut self, partition: &TopicPartition, why: Stopped) -> bool {
        match self.places.get_mut(partition) {
            Some(place) if !matches!(place.phase, Phase::Stopped(_)) => {
                place.phase = Phase::Stopped(why);
                true
            }
            _ => false,
        }
    }

    /// Notes that a batch was handed over that moves the partition to `next`. One that comes back, whole or in parts, is
    /// handed over again, and does not change what follows it.
    pub fn handed_over(&mut self, partition: &TopicPartition, next: Offset) {
        if let Some(place) = self.places.get_mut(partition) {
            place.handed = place.handed.max(next);
        }
    }

    /// Notes that `next` is stored. True when that is this assignment's own progress, which may be committed to Kafka.
    pub fn committed(&mut self, partition: &TopicPartition, next: Offset) -> bool {
        match self.places.get_mut(partition) {
            Some(place) if place.phase == Phase::Active && next > place.stored && next <= place.handed => {
                place.stored = next;
                true
            }
            _ => false,
        }
    }

    /// Notes where the log ends.
    pub fn ends_at(&mut self, partition: &TopicPartition, end: Offset) {
        if let Some(place) = self.places.get_mut(partition) {
            place.end = Some(end);
        }
    }

    pub fn get(&self, partition: &TopicPartition) -> Option<&LedgerEntry> {
        self.places.get(partition)
    }

    /// One partition, to change it.
    pub fn get_mut(&mut self, partition: &TopicPartition) -> Option<&mut LedgerEntry> {
        self.places.get_mut(partition)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &LedgerEntry)> {
        self.places.iter()
    }

    /// Partitions of a writer that are not stopped.
    pub fn of_writer(&self, writer: usize) -> Vec<TopicPartition> {
        let mine = |place: &LedgerEntry| place.writer == writer && !matches!(place.phase, Phase::Stopped(_));
        self.places.iter().filter(|(_, p)| mine(p)).map(|(tp, _)| tp.clone()).collect()
    }

    /// Stopped partitions and why, in order.
    pub fn stopped(&self) -> Vec<(TopicPartition, Stopped)> {
        let mut stopped: Vec<_> = self
            .places
            .iter()
            .filter_map(|(partition, place)| match &place.phase {
                Phase::Stopped(why) => Some((partition.clone(), why.clone())),
                Phase::Resolving | Phase::Active => None,
            })
            .collect();
        stopped.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        stopped
    }

    /// How many partitions there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// All records that were taken are stored.
    pub fn all_stored(&self) -> bool {
        self.places.values().all(|p| p.phase != Phase::Active || p.stored == p.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn partitions_are_spread_over_the_writers() {
        let mut ledger = Ledger::default();
        for partition in 0..4 {
            ledger.assign(tp(partition), 2);
        }
        assert_eq!((ledger.of_writer(0).len(), ledger.of_writer(1).len()), (2, 2));
    }

    #[test]
    fn the_result_of_an_older_query_is_ignored() {
        let mut ledger = Ledger::default();
        let first = ledger.assign(tp(0), 1);
        let second = ledger.resolve_again(&tp(0)).unwrap();
        assert!(!ledger.resolved(&tp(0), first, Offset(5)));
        assert!(ledger.resolved(&tp(0), second, Offset(7)));
        assert_eq!(ledger.get(&tp(0)).unwrap().next, Offset(7));
    }

    #[test]
    fn a_commit_from_before_a_reread_is_not_progress() {
        let mut ledger = Ledger::default();
        let epoch = ledger.assign(tp(0), 1);
        ledger.resolved(&tp(0), epoch, Offset(10));
        ledger.handed_over(&tp(0), Offset(20));
        let again = ledger.resolve_again(&tp(0)).unwrap();
        assert!(!ledger.committed(&tp(0), Offset(20)));
        ledger.resolved(&tp(0), again, Offset(15));
        assert!(!ledger.committed(&tp(0), Offset(20)), "handed is back at 15");
    }

    #[test]
    fn a_part_of_what_was_handed_over_does_not_change_what_follows() {
        let mut ledger = Ledger::default();
        let epoch = ledger.assign(tp(0), 1);
        ledger.resolved(&tp(0), epoch, Offset(10));
        ledger.handed_over(&tp(0), Offset(20));
        ledger.handed_over(&tp(0), Offset(15));
        assert!(ledger.committed(&tp(0), Offset(15)));
        assert_eq!(ledger.get(&tp(0)).unwrap().handed, Offset(20));
        let again = ledger.resolve_again(&tp(0)).unwrap();
        ledger.resolved(&tp(0), again, Offset(15));
        assert_eq!(ledger.get(&tp(0)).unwrap().handed, Offset(15));
    }

    #[test]
    fn a_stopped_partition_stays_stopped() {
        let mut ledger = Ledger::default();
        let epoch = ledger.assign(tp(0), 1);
        assert!(ledger.stop(&tp(0), Stopped::LostPosition("gone".into())));
        assert!(!ledger.stop(&tp(0), Stopped::LostPosition("gone".into())));
        assert!(!ledger.resolved(&tp(0), epoch, Offset(0)));
        assert_eq!(ledger.resolve_again(&tp(0)), None);
    }
}
