//! When a bounded run is done. Pure: what is known comes in as arguments.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::ledger::{Ledger, Phase, Place};
use crate::types::{Offset, TopicPartition};

/// What bounds a run; nothing of it for a run without end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Stop after exactly this many records.
    pub max_records: Option<u64>,
    /// Stop at the ends that the logs had at the start.
    pub until_end: bool,
    /// Stop after so long without a record, at the end of every partition.
    pub idle_timeout: Option<Duration>,
    /// Give up after so long.
    pub deadline: Option<Duration>,
}

impl Bounds {
    /// Whether there is any bound on the work (a deadline alone bounds only the time).
    pub fn bounded(&self) -> bool {
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

/// What is known about the ends of the logs.
#[derive(Default, Debug)]
pub struct Ends {
    /// The ends at the start; `None` until Kafka has told.
    pub goal: Option<HashMap<TopicPartition, Offset>>,
    /// Stored positions of partitions that others have.
    pub elsewhere: HashMap<TopicPartition, Offset>,
    /// When the watermarks of all our partitions were last told.
    pub told: Option<Instant>,
}

impl Ends {
    /// Every partition's stored position has reached the end that it had at the start. One that has stopped counts:
    /// it gets no further.
    pub fn reached(&self, ledger: &Ledger) -> bool {
        self.all(ledger, done)
    }

    /// The same, but for partitions whose breaker is open.
    pub fn reached_but_for_held(&self, ledger: &Ledger) -> bool {
        self.all(ledger, |place, end| place.held.is_some() || done(place, end))
    }

    fn all(&self, ledger: &Ledger, done: impl Fn(&Place, Offset) -> bool) -> bool {
        let Some(goal) = &self.goal else { return false };
        goal.iter().all(|(partition, end)| match ledger.get(partition) {
            Some(place) => done(place, *end),
            None => self.elsewhere.get(partition).is_some_and(|stored| stored >= end),
        })
    }

    /// The topics whose ends are waited for.
    pub fn topics(&self) -> BTreeSet<String> {
        self.goal.iter().flat_map(HashMap::keys).map(|partition| partition.topic.to_string()).collect()
    }

    /// Every partition of ours has reached its goal, and others have some that may not have: their stored positions
    /// should be read.
    pub fn waits_for_others(&self, ledger: &Ledger) -> bool {
        let Some(goal) = &self.goal else { return false };
        let ours_done = ledger.iter().all(|(partition, place)| {
            place.phase != Phase::Resolving && goal.get(partition).is_none_or(|end| done(place, *end))
        });
        ours_done && !self.reached(ledger)
    }
}

/// A partition of ours has come to `end`, or gets no further. A position beyond it is believed only when the log is
/// known to go that far by now: otherwise it may be about to stop.
fn done(place: &Place, end: Offset) -> bool {
    match place.phase {
        Phase::Resolving => false,
        Phase::Active => {
            place.stored == end || place.stored > end && place.end.is_some_and(|now| now >= place.stored)
        }
        Phase::Stopped(_) => true,
    }
}

/// Whether we have partitions, and all of them have stopped: no further record will come.
pub fn nothing_is_left(ledger: &Ledger) -> bool {
    ledger.count() > 0 && ledger.iter().all(|(_, place)| matches!(place.phase, Phase::Stopped(_)))
}

/// Whether every partition of ours is at its end, as told after `since`, with everything stored, or waits for an open
/// breaker.
pub fn at_the_end_but_for_held(ledger: &Ledger, ends: &Ends, since: Instant) -> bool {
    ends.told.is_some_and(|told| told >= since)
        && ledger.iter().all(|(_, place)| match place.phase {
            Phase::Resolving => false,
            Phase::Active => place.held.is_some() || is_at_end(place),
            Phase::Stopped(_) => true,
        })
}

fn is_at_end(place: &Place) -> bool {
    place.stored == place.next && place.end == Some(place.stored)
}

/// Whether every partition of ours is at its end, as told after `since`, with everything stored.
pub fn at_the_end(ledger: &Ledger, ends: &Ends, since: Instant) -> bool {
    ends.told.is_some_and(|told| told >= since)
        && ledger.iter().all(|(_, place)| match place.phase {
            Phase::Resolving => false,
            Phase::Active => is_at_end(place),
            Phase::Stopped(_) => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Stopped;

    fn active(ledger: &mut Ledger, partition: i32, stored: i64) -> TopicPartition {
        let tp = TopicPartition::new("t", partition);
        let epoch = ledger.assign(tp.clone(), 1);
        assert!(ledger.resolved(&tp, epoch, Offset(stored)));
        tp
    }

    #[test]
    fn the_end_counts_partitions_of_other_members_by_their_stored_position() {
        let mut ledger = Ledger::default();
        let ours = active(&mut ledger, 0, 10);
        let theirs = TopicPartition::new("t", 1);
        let mut ends = Ends { goal: None, ..Ends::default() };
        assert!(!ends.reached(&ledger), "nothing is known yet");
        ends.goal = Some(HashMap::from([(ours, Offset(10)), (theirs.clone(), Offset(5))]));
        assert!(!ends.reached(&ledger));
        assert!(ends.waits_for_others(&ledger));
        ends.elsewhere.insert(theirs, Offset(5));
        assert!(ends.reached(&ledger));
    }

    #[test]
    fn a_stopped_partition_is_not_waited_for() {
        let mut ledger = Ledger::default();
        let (goes_on, stops) = (active(&mut ledger, 0, 10), active(&mut ledger, 1, 3));
        let goal = HashMap::from([(goes_on.clone(), Offset(10)), (stops.clone(), Offset(5))]);
        let ends = Ends { goal: Some(goal), ..Ends::default() };
        assert!(!ends.reached(&ledger));
        ledger.stop(&stops, Stopped::LostPosition(String::new()));
        assert!(ends.reached(&ledger));
        assert!(!nothing_is_left(&ledger), "the other may get more");
        ledger.stop(&goes_on, Stopped::LostPosition(String::new()));
        assert!(nothing_is_left(&ledger));
        assert!(!nothing_is_left(&Ledger::default()), "nothing has been assigned yet");
    }

    #[test]
    fn a_position_beyond_the_end_is_at_it_only_if_the_log_has_grown() {
        let mut ledger = Ledger::default();
        let ours = active(&mut ledger, 0, 10);
        let ends = Ends { goal: Some(HashMap::from([(ours.clone(), Offset(7))])), ..Ends::default() };
        ledger.ends_at(&ours, Offset(7));
        assert!(!ends.reached(&ledger));
        ledger.ends_at(&ours, Offset(12));
        assert!(ends.reached(&ledger));
    }

    #[test]
    fn a_partition_whose_end_is_unknown_is_not_at_it() {
        let mut ledger = Ledger::default();
        let ours = active(&mut ledger, 0, 10);
        let now = Instant::now();
        let ends = Ends { told: Some(now), ..Ends::default() };
        assert!(!at_the_end(&ledger, &ends, now));
        ledger.ends_at(&ours, Offset(11));
        assert!(!at_the_end(&ledger, &ends, now));
        ledger.ends_at(&ours, Offset(10));
        assert!(at_the_end(&ledger, &ends, now));
    }
}
