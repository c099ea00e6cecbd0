//! When a bounded run is done. Pure: what is known comes in as arguments.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::positions::ledger::Ledger;
use crate::positions::partition::{AssignedPartition, Phase};
use crate::types::{Offset, TopicPartition};

/// The bounds of a run. All are `None` or false for a run without end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// Stop after exactly this many records.
    pub max_records: Option<u64>,
    /// Stop at the ends that the logs had at the start.
    pub until_end: bool,
    /// Stop after this long without a record, at the end of every partition.
    pub idle_timeout: Option<Duration>,
    /// Stop after this long, even if no other bound is reached.
    pub deadline: Option<Duration>,
}

impl Bounds {
    /// Whether the work is bounded (a deadline alone bounds only the time).
    pub(crate) fn bounded(&self) -> bool {
        self.max_records.is_some() || self.until_end || self.idle_timeout.is_some()
    }
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoppedBy {
    /// `--max-records`.
    MaxRecords,
    /// `--until-end`.
    End,
    /// `--idle-timeout`.
    Idle,
    /// SIGTERM or SIGINT.
    Signal,
    /// `--deadline`.
    Deadline,
    /// `errors.tolerance = "none"`, or a breaker that stays open.
    ErrorPolicy,
}

impl StoppedBy {
    /// The value of `stopped_by` in the summary.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxRecords => "max_records",
            Self::End => "end",
            Self::Idle => "idle",
            Self::Signal => "signal",
            Self::Deadline => "deadline",
            Self::ErrorPolicy => "error_policy",
        }
    }
}

/// The known ends of the logs.
#[derive(Default, Debug)]
pub(crate) struct Ends {
    /// The ends at the start; `None` until Kafka has answered.
    pub goal: Option<HashMap<TopicPartition, Offset>>,
    /// Stored positions of partitions that other members have.
    pub elsewhere: HashMap<TopicPartition, Offset>,
    /// When the watermarks of all assigned partitions were last received.
    pub received: Option<Instant>,
}

impl Ends {
    /// Whether every partition's stored position has reached the end that the log had at the start. A stopped partition
    /// counts as done.
    pub(crate) fn reached(&self, ledger: &Ledger) -> bool {
        self.all(ledger, done)
    }

    /// The same, without the partitions whose breaker is open.
    pub(crate) fn reached_except_held(&self, ledger: &Ledger) -> bool {
        self.all(ledger, |entry, end| entry.held().is_some() || done(entry, end))
    }

    /// Whether all records before the ends that the logs had at the start were taken from the assigned partitions.
    pub(crate) fn taken(&self, ledger: &Ledger) -> bool {
        let taken = |(partition, end): (&TopicPartition, &Offset)| match ledger.get(partition) {
            Some(entry) if entry.is_active() => entry.next() >= *end || entry.held().is_some(),
            Some(entry) => entry.has_stopped(),
            None => true,
        };
        self.goal.as_ref().is_some_and(|goal| goal.iter().all(taken))
    }

    fn all(&self, ledger: &Ledger, done: impl Fn(&AssignedPartition, Offset) -> bool) -> bool {
        let Some(goal) = &self.goal else { return false };
        goal.iter().all(|(partition, end)| match ledger.get(partition) {
            Some(entry) => done(entry, *end),
            None => self.elsewhere.get(partition).is_some_and(|stored| stored >= end),
        })
    }

    /// How many records of assigned partitions are before the ends that the logs had at the start; `None` until those and
    /// the positions are known.
    pub(crate) fn left(&self, ledger: &Ledger) -> Option<u64> {
        if ledger.count() == 0 || ledger.iter().any(|(_, entry)| *entry.phase() == Phase::Resolving) {
            return None;
        }
        let left = |(partition, end): (&TopicPartition, &Offset)| {
            let entry = ledger.get(partition).filter(|entry| entry.is_known() && !entry.has_stopped())?;
            u64::try_from(end.0 - entry.stored().0).ok()
        };
        self.goal.as_ref().map(|goal| goal.iter().filter_map(left).sum())
    }

    /// The topics that the run reads to the end.
    pub(crate) fn topics(&self) -> BTreeSet<String> {
        self.goal.iter().flat_map(HashMap::keys).map(|partition| partition.topic.to_string()).collect()
    }

    /// Whether all assigned partitions are done and only those of other members may not be: their stored positions
    /// should be read.
    pub(crate) fn waits_for_others(&self, ledger: &Ledger) -> bool {
        let Some(goal) = &self.goal else { return false };
        let ours_done = ledger.iter().all(|(partition, entry)| {
            *entry.phase() != Phase::Resolving && goal.get(partition).is_none_or(|end| done(entry, *end))
        });
        ours_done && !self.reached(ledger)
    }
}

/// Whether an assigned partition has reached `end` or has stopped. A position beyond `end` counts only if the log is
/// known to have grown that far; otherwise the partition may be about to stop.
fn done(entry: &AssignedPartition, end: Offset) -> bool {
    match entry.phase() {
        Phase::Resolving => false,
        Phase::Active => {
            entry.stored() == end
                || entry.stored() > end && entry.end().is_some_and(|now| now >= entry.stored())
        }
        Phase::Stopped(_) => true,
    }
}

/// Whether there are assigned partitions and all of them have stopped.
pub(crate) fn all_stopped(ledger: &Ledger) -> bool {
    ledger.count() > 0 && ledger.iter().all(|(_, entry)| entry.has_stopped())
}

/// Whether every assigned partition is at its end with everything stored, or its breaker is open. The watermarks must
/// have been received after `since`.
pub(crate) fn at_the_end_except_held(ledger: &Ledger, ends: &Ends, since: Instant) -> bool {
    every_active(ledger, ends, since, |entry| entry.held().is_some() || is_at_end(entry))
}

/// Whether every assigned partition is at its end with everything stored. The watermarks must have been received after
/// `since`.
pub(crate) fn at_the_end(ledger: &Ledger, ends: &Ends, since: Instant) -> bool {
    every_active(ledger, ends, since, is_at_end)
}

/// Whether all positions are known, and `done` holds for all partitions that have not stopped, with watermarks that were
/// received after `since`.
fn every_active(
    ledger: &Ledger,
    ends: &Ends,
    since: Instant,
    done: impl Fn(&AssignedPartition) -> bool,
) -> bool {
    ends.received.is_some_and(|received| received >= since)
        && ledger.iter().all(|(_, entry)| match entry.phase() {
            Phase::Resolving => false,
            Phase::Active => done(entry),
            Phase::Stopped(_) => true,
        })
}

fn is_at_end(entry: &AssignedPartition) -> bool {
    entry.stored() == entry.next() && entry.end() == Some(entry.stored())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::positions::stopped::Stopped;

    fn active(ledger: &mut Ledger, partition: i32, stored: i64) -> TopicPartition {
        let tp = TopicPartition::new("t", partition);
        let epoch = ledger.assign(tp.clone(), 1);
        assert!(ledger.get_mut(&tp).unwrap().resolved(epoch, Offset(stored)));
        tp
    }

    #[test]
    fn the_end_counts_partitions_of_other_members_by_their_stored_position() {
        let mut ledger = Ledger::default();
        let ours = active(&mut ledger, 0, 10);
        let theirs = TopicPartition::new("t", 1);
        let mut ends = Ends { goal: None, ..Ends::default() };
        assert!(!ends.reached(&ledger), "the ends are not known yet");
        ends.goal = Some(HashMap::from([(ours, Offset(10)), (theirs.clone(), Offset(5))]));
        assert!(!ends.reached(&ledger));
        assert!(ends.waits_for_others(&ledger));
        ends.elsewhere.insert(theirs, Offset(5));
        assert!(ends.reached(&ledger));
    }

    #[test]
    fn a_stopped_partition_counts_as_done() {
        let mut ledger = Ledger::default();
        let (active_one, stops) = (active(&mut ledger, 0, 10), active(&mut ledger, 1, 3));
        let goal = HashMap::from([(active_one.clone(), Offset(10)), (stops.clone(), Offset(5))]);
        let ends = Ends { goal: Some(goal), ..Ends::default() };
        assert!(!ends.reached(&ledger));
        assert!(ledger.get_mut(&stops).unwrap().stop(Stopped::LostPosition(String::new())));
        assert!(ends.reached(&ledger));
        assert!(!all_stopped(&ledger), "the other partition is still active");
        assert!(ledger.get_mut(&active_one).unwrap().stop(Stopped::LostPosition(String::new())));
        assert!(all_stopped(&ledger));
        assert!(!all_stopped(&Ledger::default()), "nothing has been assigned yet");
    }

    #[test]
    fn a_position_beyond_the_end_counts_only_if_the_log_has_grown() {
        let mut ledger = Ledger::default();
        let ours = active(&mut ledger, 0, 10);
        let ends = Ends { goal: Some(HashMap::from([(ours.clone(), Offset(7))])), ..Ends::default() };
        ledger.get_mut(&ours).unwrap().ends_at(Offset(7));
        assert!(!ends.reached(&ledger));
        ledger.get_mut(&ours).unwrap().ends_at(Offset(12));
        assert!(ends.reached(&ledger));
    }

    #[test]
    fn a_partition_whose_end_is_unknown_is_not_at_its_end() {
        let mut ledger = Ledger::default();
        let ours = active(&mut ledger, 0, 10);
        let now = Instant::now();
        let ends = Ends { received: Some(now), ..Ends::default() };
        assert!(!at_the_end(&ledger, &ends, now));
        ledger.get_mut(&ours).unwrap().ends_at(Offset(11));
        assert!(!at_the_end(&ledger, &ends, now));
        ledger.get_mut(&ours).unwrap().ends_at(Offset(10));
        assert!(at_the_end(&ledger, &ends, now));
    }
}
