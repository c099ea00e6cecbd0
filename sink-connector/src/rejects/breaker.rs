//! The breaker of a topic: opens when too large a share of its records is rejected. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Consecutive records with the same outcome: whether they were rejected, and their number.
pub(crate) type Run = (bool, u64);

#[derive(Clone, Copy, Debug)]
pub(crate) struct BreakerLimits {
    /// The breaker opens above this share of rejected records, 0 to 1; 1 never opens.
    pub ratio: f64,
    /// Number of records.
    pub window: u64,
}

impl BreakerLimits {
    fn exceeded(&self, rejected: u64, of: u64) -> bool {
        rejected as f64 > self.ratio * of as f64
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    runs: VecDeque<Run>,
    records: u64,
    rejected: u64,
}

impl Window {
    /// Adds a run, as if record by record. True if the share was too large after any of them. Only a full window can
    /// exceed it.
    pub(crate) fn push(&mut self, (rejected, count): Run, limits: &BreakerLimits) -> bool {
        // Equal outcomes move the share in one direction, so it is largest when the window has just become full, or at
        // the end.
        let filling = count.min(limits.window - self.records);
        self.append((rejected, filling));
        let mut exceeded = filling > 0 && self.exceeded(limits);
        if count > filling {
            self.append((rejected, count - filling));
            self.shorten(limits.window);
            exceeded |= self.exceeded(limits);
        }
        exceeded
    }

    /// Adds older outcomes, as far as there is room.
    pub(crate) fn push_older(&mut self, (rejected, count): Run, limits: &BreakerLimits) {
        let count = count.min(limits.window - self.records);
        if count > 0 {
            self.runs.push_front((rejected, count));
            self.records += count;
            self.rejected += if rejected { count } else { 0 };
        }
    }

    fn exceeded(&self, limits: &BreakerLimits) -> bool {
        self.records == limits.window && limits.exceeded(self.rejected, self.records)
    }

    /// Adds runs, whatever the share becomes on the way.
    fn extend<'a>(&mut self, runs: impl IntoIterator<Item = &'a Run>, limits: &BreakerLimits) {
        for run in runs {
            self.append(*run);
            self.shorten(limits.window);
        }
    }

    fn append(&mut self, (rejected, count): Run) {
        if count == 0 {
            return;
        }
        match self.runs.back_mut() {
            Some(last) if last.0 == rejected => last.1 += count,
            _ => self.runs.push_back((rejected, count)),
        }
        self.records += count;
        self.rejected += if rejected { count } else { 0 };
    }

    fn shorten(&mut self, window: u64) {
        while self.records > window {
            let (rejected, count) = self.runs.front_mut().expect("a window with records has runs");
            let dropped = (*count).min(self.records - window);
            *count -= dropped;
            self.records -= dropped;
            self.rejected -= if *rejected { dropped } else { 0 };
            if *count == 0 {
                self.runs.pop_front();
            }
        }
    }
}

/// The stored outcomes of a partition's last records, read when a process begins.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub position: i64,
    /// Offsets of its dead letters, those just below the position.
    pub dead_letters: Vec<i64>,
}

/// The outcomes of about `window` last records of a topic. Written records come first: the order between partitions is not
/// stored, and a failing topic fails at its end.
#[must_use]
pub(crate) fn remembered(histories: &[History], window: u64) -> [Run; 2] {
    let available: Vec<u64> = histories.iter().map(|h| u64::try_from(h.position).unwrap_or(0)).collect();
    // Each partition gives the same number of records, or all it has.
    let (mut left, mut share) = (window, 0);
    let mut sorted = available.clone();
    sorted.sort_unstable();
    for (place, have) in sorted.iter().enumerate() {
        let sharers = (sorted.len() - place) as u64;
        share = left.div_ceil(sharers);
        left -= share.min(*have);
    }
    let (mut records, mut rejected) = (0, 0);
    for (history, have) in histories.iter().zip(available) {
        let taken = share.min(have);
        let from = history.position - i64::try_from(taken).unwrap_or(i64::MAX);
        records += taken;
        rejected +=
            history.dead_letters.iter().filter(|o| (from..history.position).contains(o)).count() as u64;
    }
    let records = records.min(window);
    let rejected = rejected.min(records);
    [(false, records - rejected), (true, rejected)]
}

#[derive(Debug, Default)]
struct Breaker {
    window: Window,
    open: bool,
    /// What was committed since it opened: of other writers, and of probes.
    since_open: Window,
    /// Outcomes that a writer is about to commit.
    in_hand: BTreeMap<usize, Vec<Run>>,
}

#[derive(Debug)]
pub(crate) struct Breakers {
    limits: BreakerLimits,
    topics: HashMap<Arc<str>, Breaker>,
}

impl Breakers {
    /// All breakers closed, without history.
    pub(crate) fn new(limits: BreakerLimits) -> Self {
        Self { limits, topics: HashMap::new() }
    }

    pub(crate) fn limits(&self) -> BreakerLimits {
        self.limits
    }

    /// Decides on the outcomes of a writer's batch for one topic. False opens the breaker, and the batch must not be
    /// committed. Uncommitted outcomes of other writers count as well.
    ///
    /// A batch that was refused before is a probe. It has grown by the records that follow, so its last records show
    /// whether the topic is broken still: only the window at its end counts, and what was before the breaker opened does
    /// not.
    pub(crate) fn decide(
        &mut self,
        writer: usize,
        topic: &Arc<str>,
        outcomes: Vec<Run>,
        probe: bool,
    ) -> bool {
        let limits = self.limits;
        let breaker = self.topics.entry(Arc::clone(topic)).or_default();
        breaker.in_hand.remove(&writer);
        let opens = if probe {
            let mut window = if breaker.open { breaker.since_open.clone() } else { Window::default() };
            window.extend(breaker.in_hand.values().flatten().chain(&outcomes), &limits);
            // However few there are.
            limits.exceeded(window.rejected, window.records)
        } else if breaker.open {
            outcomes.iter().any(|(rejected, _)| *rejected)
        } else {
            let mut window = breaker.window.clone();
            for run in breaker.in_hand.values().flatten() {
                window.push(*run, &limits);
            }
            outcomes.iter().any(|run| window.push(*run, &limits))
        };
        if !opens {
            breaker.in_hand.insert(writer, outcomes);
        } else if !std::mem::replace(&mut breaker.open, true) {
            breaker.since_open = Window::default();
        }
        !opens
    }

    /// The writer's outcomes are committed. The first of them after the breaker has opened begin a new window.
    pub(crate) fn committed(&mut self, writer: usize) {
        let limits = self.limits;
        for breaker in self.topics.values_mut() {
            let Some(outcomes) = breaker.in_hand.remove(&writer) else { continue };
            if breaker.open {
                breaker.since_open.extend(&outcomes, &limits);
                breaker.window = breaker.since_open.clone();
            } else {
                breaker.window.extend(&outcomes, &limits);
            }
        }
    }

    /// The writer's outcomes are not committed.
    pub(crate) fn dropped(&mut self, writer: usize) {
        for breaker in self.topics.values_mut() {
            breaker.in_hand.remove(&writer);
        }
    }

    /// Closes the breaker: the rejected records are committed, or another member has their partitions.
    pub(crate) fn close(&mut self, topic: &str) {
        if let Some(breaker) = self.topics.get_mut(topic) {
            breaker.open = false;
        }
    }

    /// Adds the outcomes of previous processes.
    pub(crate) fn remember(&mut self, topic: &Arc<str>, histories: &[History]) {
        let limits = self.limits;
        let breaker = self.topics.entry(Arc::clone(topic)).or_default();
        let [written, rejected] = remembered(histories, limits.window);
        breaker.window.push_older(rejected, &limits);
        breaker.window.push_older(written, &limits);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits { ratio: 0.5, window: 10 };

    fn breakers() -> (Breakers, Arc<str>) {
        (Breakers::new(LIMITS), Arc::from("t"))
    }

    /// Decides and commits.
    fn commit(breakers: &mut Breakers, topic: &Arc<str>, outcomes: &[Run]) -> bool {
        let through = breakers.decide(0, topic, outcomes.to_vec(), false);
        breakers.committed(0);
        through
    }

    #[test]
    fn a_window_that_is_not_full_is_never_exceeded() {
        let (mut breakers, topic) = breakers();
        assert!(commit(&mut breakers, &topic, &[(true, 9)]));
        assert!(!commit(&mut breakers, &topic, &[(false, 1)]), "9 of 10");
    }

    #[test]
    fn a_share_that_is_not_larger_is_tolerated() {
        let (mut breakers, topic) = breakers();
        assert!(commit(&mut breakers, &topic, &[(false, 100), (true, 5), (false, 5), (true, 5)]));
        assert!(!commit(&mut breakers, &topic, &[(true, 1)]));
    }

    #[test]
    fn a_refused_batch_leaves_no_trace_and_an_open_breaker_refuses_every_rejection() {
        let (mut breakers, topic) = breakers();
        assert!(!commit(&mut breakers, &topic, &[(false, 10), (true, 6), (false, 100)]));
        assert!(!commit(&mut breakers, &topic, &[(false, 100), (true, 1)]));
        assert!(commit(&mut breakers, &topic, &[(false, 1)]));
        breakers.close(&topic);
        assert!(commit(&mut breakers, &topic, &[(true, 1)]));
    }

    #[test]
    fn a_probe_is_decided_by_itself() {
        let (mut breakers, topic) = breakers();
        assert!(!commit(&mut breakers, &topic, &[(true, 10)]));
        assert!(!breakers.decide(0, &topic, vec![(true, 2), (false, 1)], true));
        assert!(breakers.decide(0, &topic, vec![(true, 1), (false, 2)], true));
    }

    #[test]
    fn a_probe_is_decided_by_the_window_at_its_end() {
        let (mut breakers, topic) = breakers();
        assert!(!commit(&mut breakers, &topic, &[(true, 30)]));
        assert!(!breakers.decide(0, &topic, vec![(true, 30), (false, 4)], true), "6 of the last 10");
        assert!(breakers.decide(0, &topic, vec![(true, 30), (false, 5)], true), "5 of the last 10");
        assert!(
            !breakers.decide(0, &topic, vec![(true, 30), (false, 100), (true, 6)], true),
            "broken at its end"
        );
        breakers.dropped(0);
        breakers.close(&topic);
        assert!(commit(&mut breakers, &topic, &[(true, 9)]), "nothing of a refused batch is remembered");
    }

    #[test]
    fn what_other_writers_have_written_since_it_opened_counts_for_a_probe() {
        let (mut breakers, topic) = breakers();
        assert!(!commit(&mut breakers, &topic, &[(true, 10)]));
        assert!(!breakers.decide(0, &topic, vec![(true, 5)], true));
        assert!(breakers.decide(1, &topic, vec![(false, 10)], true));
        breakers.committed(1);
        assert!(!breakers.decide(0, &topic, vec![(true, 6)], true), "6 of the last 10 of both");
        assert!(breakers.decide(0, &topic, vec![(true, 5)], true), "5 of the last 10 of both");
        breakers.committed(0);
        breakers.close(&topic);
        assert!(!commit(&mut breakers, &topic, &[(true, 1)]), "the window goes on");
    }

    #[test]
    fn two_writers_together_do_not_exceed_it() {
        let (mut breakers, topic) = breakers();
        assert!(commit(&mut breakers, &topic, &[(false, 10)]));
        assert!(breakers.decide(0, &topic, vec![(true, 4)], false));
        assert!(!breakers.decide(1, &topic, vec![(true, 2)], false));
        breakers.dropped(0);
        breakers.close(&topic);
        assert!(breakers.decide(1, &topic, vec![(true, 2)], false));
    }

    #[test]
    fn topics_do_not_know_of_each_other() {
        let (mut breakers, topic) = breakers();
        assert!(!commit(&mut breakers, &topic, &[(true, 10)]));
        assert!(commit(&mut breakers, &Arc::from("u"), &[(true, 9)]));
    }

    #[test]
    fn a_process_remembers_the_dead_letters_before_it() {
        let (mut breakers, topic) = breakers();
        let broken = History { position: 1_000, dead_letters: (995..1_000).collect() };
        assert_eq!(remembered(std::slice::from_ref(&broken), 10), [(false, 5), (true, 5)]);
        breakers.remember(&topic, &[broken]);
        assert!(!commit(&mut breakers, &topic, &[(true, 1)]), "the written ones were before");
    }

    #[test]
    fn partitions_share_the_window_as_far_as_they_have_records() {
        let small = History { position: 2, dead_letters: vec![1] };
        let large = History { position: 100, dead_letters: vec![50, 91, 92, 99] };
        assert_eq!(remembered(&[small.clone(), large], 10), [(false, 7), (true, 3)]);
        assert_eq!(remembered(&[small], 10), [(false, 1), (true, 1)]);
        assert_eq!(remembered(&[], 10), [(false, 0), (true, 0)]);
    }

    proptest! {
        #[test]
        fn runs_are_decided_as_their_records_one_by_one(
            runs in proptest::collection::vec((any::<bool>(), 0_u64..25), 0..12)
        ) {
            let (mut whole, mut single) = (Window::default(), Window::default());
            for run in runs {
                // A window that is exceeded already is not what a closed breaker has.
                let before = whole.exceeded(&LIMITS);
                let mut exceeded = false;
                for _ in 0..run.1 {
                    exceeded |= single.push((run.0, 1), &LIMITS);
                }
                prop_assert!(before || whole.push(run, &LIMITS) == exceeded);
                if before {
                    whole.push(run, &LIMITS);
                }
                prop_assert_eq!((whole.records, whole.rejected), (single.records, single.rejected));
            }
        }
    }
}
