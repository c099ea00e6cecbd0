//! Records that end their session: a trigger that terminates its own backend, a row for which the server crashes. Such a batch
//! would be tried again without end. What was being written when the session ended leads to the record, in a few attempts;
//! it is rejected after it has ended several sessions in a row, each of which had written other rows of its table. Pure.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::place::{Place, first_record, place};
use crate::batch::Batch;
use crate::batch::records::offset32;
use crate::postgres::failure::Failure;

/// So many sessions that ended past the fence are no coincidence: a record may be at fault.
const NO_COINCIDENCE: u32 = 3;
/// The candidates are tried in so many parts.
const PARTS: u32 = 16;
/// A record is rejected after so many sessions in a row, over so long.
const TOO_OFTEN: u32 = 5;
const TOO_LONG: Duration = Duration::from_millis(1_500);
/// Batches that are remembered: parked tables are tried in turn, and others are written meanwhile.
const BATCHES: usize = 64;

/// The records that are being written, by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct InFlight {
    pub records: Range<u32>,
    /// In the same transaction, other rows of the table were written before.
    pub others_pass: bool,
}

/// What is known of a batch whose sessions end.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Candidates {
    /// Some of these end the session.
    records: Range<u32>,
    /// Each of these does, with what it is rejected for.
    fatal: Vec<(u32, Failure)>,
    /// Sessions that have ended.
    pub(crate) sessions: u32,
    /// How the last one ended.
    pub(crate) failure: Failure,
}

impl Candidates {
    /// The ranges in which the records of a run are tried, in their order.
    pub(crate) fn parts(&self, run: &Range<u32>) -> Vec<Range<u32>> {
        let alone = self.fatal.iter().flat_map(|(record, _)| [*record, record + 1]);
        let size = offset32(self.records.len()).div_ceil(PARTS).max(1);
        let parts = self.records.clone().step_by(size as usize).chain([self.records.end]);
        let inside = |cut: &u32| run.start < *cut && *cut < run.end;
        let cuts: BTreeSet<u32> = alone.chain(parts).filter(inside).chain([run.start, run.end]).collect();
        let ends = cuts.iter().skip(1);
        cuts.iter().zip(ends).map(|(start, end)| *start..*end).collect()
    }

    /// Whether these are a single record, the only candidate.
    pub(crate) fn is_the_candidate(&self, records: &Range<u32>) -> bool {
        records.len() == 1 && *records == self.records
    }

    /// Why these records, a single one, are rejected.
    pub(crate) fn fatal(&self, records: &Range<u32>) -> Option<&Failure> {
        let known = self.fatal.iter().find(|(record, _)| *records == (*record..record + 1));
        known.map(|(_, failure)| failure)
    }
}

/// What a batch has met.
#[derive(Debug)]
struct Lost {
    /// Where the batch begins.
    first: Place,
    sessions: u32,
    /// How the last one ended.
    failure: Failure,
    /// The first and the last candidate.
    candidates: Option<(Place, Place)>,
    /// Sessions that ended in a row while the only candidate was written, and since when.
    alone: Option<(u32, Instant)>,
    fatal: Vec<(Place, Failure)>,
}

/// The batches of a writer whose sessions ended, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct LostSessions(Vec<Lost>);

impl LostSessions {
    /// What is known of this batch.
    pub(super) fn candidates(&self, batch: &Batch) -> Option<Candidates> {
        let first = first_record(batch)?;
        let lost = self.0.iter().find(|lost| lost.first == first && lost.sessions >= NO_COINCIDENCE)?;
        let number = |of: &Place| numbers(batch).find(|n| place(batch, *n) == *of);
        let of = |(first, last): &(Place, Place)| Some(number(first)?..number(last)? + 1);
        let records = lost.candidates.as_ref().and_then(of).unwrap_or_else(|| numbers(batch));
        let fatal = lost.fatal.iter().filter_map(|(place, failure)| Some((number(place)?, failure.clone())));
        Some(Candidates {
            records,
            fatal: fatal.collect(),
            sessions: lost.sessions,
            failure: lost.failure.clone(),
        })
    }

    /// A session has ended past the fence while these records of the batch were written; `None` if that is not known.
    pub(super) fn met(
        &mut self,
        batch: &Batch,
        failure: &Failure,
        in_flight: Option<InFlight>,
        now: Instant,
    ) {
        let Some(first) = first_record(batch) else { return };
        let mut lost = self.remove(&first).unwrap_or(Lost {
            first,
            sessions: 0,
            failure: failure.clone(),
            candidates: None,
            alone: None,
            fatal: Vec::new(),
        });
        lost.sessions += 1;
        lost.failure.clone_from(failure);
        lost.narrow(batch, failure, in_flight, now);
        if self.0.len() == BATCHES {
            self.0.remove(0);
        }
        self.0.push(lost);
    }

    /// The session of an attempt at this batch has not ended: whatever was a candidate has passed, or was not reached.
    pub(super) fn kept(&mut self, batch: &Batch) {
        let first = first_record(batch);
        if let Some(lost) = self.0.iter_mut().find(|lost| Some(&lost.first) == first.as_ref()) {
            (lost.candidates, lost.alone) = (None, None);
        }
    }

    /// The batch is written.
    pub(super) fn written(&mut self, batch: &Batch) {
        first_record(batch).and_then(|first| self.remove(&first));
    }

    fn remove(&mut self, first: &Place) -> Option<Lost> {
        let number = self.0.iter().position(|lost| lost.first == *first)?;
        Some(self.0.remove(number))
    }
}

impl Lost {
    fn narrow(&mut self, batch: &Batch, failure: &Failure, in_flight: Option<InFlight>, now: Instant) {
        let Some(InFlight { records, others_pass }) = in_flight.filter(|of| !of.records.is_empty()) else {
            return;
        };
        let record = place(batch, records.start);
        let candidates = Some((record.clone(), place(batch, records.end - 1)));
        if candidates != self.candidates {
            (self.candidates, self.alone) = (candidates, None);
            return;
        }
        if records.len() > 1 || !others_pass {
            return;
        }
        let (before, since) = self.alone.unwrap_or((0, now));
        let times = before + 1;
        self.alone = Some((times, since));
        if times >= TOO_OFTEN && now.duration_since(since) >= TOO_LONG {
            (self.candidates, self.alone) = (None, None);
            let text = format!(
                "ended its session {times} times, each time after another row of its table had been written in the same \
                 transaction; {}",
                failure.message
            );
            self.fatal.push((record, failure.clone().into_the_records().with_report(text)));
        }
    }
}

fn numbers(batch: &Batch) -> Range<u32> {
    0..offset32(batch.records().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::example;
    use crate::decode::Cells;
    use crate::kafka::record::Incoming;
    use crate::types::{Offset, TopicPartition};

    /// A batch of so many records from this offset on.
    fn batch(first: i64, records: i64) -> Batch {
        let (plan, mut batch) = (example::plan(false), Batch::default());
        let span = batch.span(&TopicPartition::new("t", 0), Offset(first));
        for offset in first..first + records {
            let key = format!("{{\"id\":{offset}}}");
            let incoming =
                Incoming { offset, timestamp: None, payload: None, key: Some(key.as_bytes()), headers: None };
            batch.push(span, &plan, &incoming, &mut Cells::default());
        }
        batch
    }

    /// Attempts at a batch, one a second, each of which ends its session.
    struct Attempted {
        batch: Batch,
        lost: LostSessions,
        now: Instant,
    }

    impl Attempted {
        fn new(first: i64, records: i64) -> Self {
            Self { batch: batch(first, records), lost: LostSessions::default(), now: Instant::now() }
        }

        fn candidates(&self) -> Option<Candidates> {
            self.lost.candidates(&self.batch)
        }

        fn met(&mut self, records: Option<Range<u32>>, others_pass: bool) {
            let in_flight = records.map(|records| InFlight { records, others_pass });
            self.now += Duration::from_secs(1);
            self.lost.met(&self.batch, &Failure::transient("closed"), in_flight, self.now);
        }

        /// Attempts until the record with this number is known to be fatal; `None` if 100 are not enough.
        fn found(&mut self, fatal: u32) -> Option<u32> {
            (1..=100).find(|_| {
                let records = self.candidates().map(|candidates| {
                    let parts = candidates.parts(&(0..numbers(&self.batch).end));
                    parts.into_iter().find(|part| part.contains(&fatal)).expect("the parts are all records")
                });
                self.met(records, true);
                self.candidates().is_some_and(|candidates| candidates.fatal(&(fatal..fatal + 1)).is_some())
            })
        }
    }

    #[test]
    fn a_record_is_found_in_few_attempts_however_many_there_are() {
        for (records, fatal, attempts) in [(1, 0, 9), (16, 15, 9), (1_000, 999, 11), (20_000, 12_345, 12)] {
            let mut attempted = Attempted::new(7, records);
            assert_eq!(attempted.found(fatal), Some(attempts), "{records}");
            // Another one.
            if records > 1 {
                assert!(attempted.found(fatal - 1).is_some());
                let candidates = attempted.candidates().unwrap();
                assert!(candidates.fatal(&(fatal..fatal + 1)).is_some());
                assert!(candidates.fatal(&(fatal - 1..fatal + 1)).is_none());
            }
        }
    }

    #[test]
    fn the_parts_are_all_records_of_the_run_once_and_fatal_ones_stand_alone() {
        let failure = Failure::transient("closed");
        let fatal = vec![(5, failure.clone()), (40, failure.clone())];
        let candidates = Candidates { records: 10..42, fatal, sessions: 3, failure };
        for run in [0..100, 11..13, 41..42, 5..6, 60..100] {
            let parts = candidates.parts(&run);
            assert_eq!(parts.iter().flat_map(Clone::clone).collect::<Vec<_>>(), run.collect::<Vec<_>>());
            let alone = |part: &&Range<u32>| part.contains(&5) || part.contains(&40);
            assert!(parts.iter().filter(alone).all(|part| part.len() == 1), "{parts:?}");
        }
        assert_eq!(candidates.parts(&(0..12)), [0..5, 5..6, 6..10, 10..12]);
    }

    #[test]
    fn nothing_is_a_candidate_before_three_sessions_nor_after_one_that_was_kept() {
        let mut attempted = Attempted::new(0, 10);
        for _ in 1..NO_COINCIDENCE {
            attempted.met(None, false);
            assert_eq!(attempted.candidates(), None);
        }
        attempted.met(None, false);
        attempted.met(Some(3..4), true);
        assert!(attempted.candidates().unwrap().is_the_candidate(&(3..4)));
        attempted.lost.kept(&attempted.batch);
        assert_eq!(attempted.candidates().unwrap().records, 0..10);
        attempted.lost.written(&attempted.batch);
        assert_eq!(attempted.candidates(), None);
    }

    #[test]
    fn a_record_is_not_rejected_unless_others_pass_each_time_for_long_enough() {
        let mut attempted = Attempted::new(0, 10);
        let known =
            |attempted: &Attempted| attempted.candidates().is_some_and(|of| of.fatal(&(3..4)).is_some());
        for _ in 0..20 {
            attempted.met(Some(3..4), false);
        }
        assert!(!known(&attempted));
        // Another record ends the session in between.
        for _ in 0..20 {
            (0..TOO_OFTEN - 1).for_each(|_| attempted.met(Some(3..4), true));
            attempted.met(Some(4..5), true);
        }
        assert!(!known(&attempted));
        for _ in 0..20 {
            attempted.met(Some(3..4), true);
            attempted.now -= Duration::from_secs(1);
        }
        assert!(!known(&attempted), "all of them within a second");
    }

    #[test]
    fn a_batch_that_comes_back_larger_keeps_what_is_known_of_its_records() {
        let mut attempted = Attempted::new(5, 4);
        (0..5).for_each(|_| attempted.met(Some(2..3), true));
        attempted.batch = batch(5, 40);
        assert!(attempted.candidates().unwrap().is_the_candidate(&(2..3)));
        attempted.batch = batch(6, 40);
        assert_eq!(attempted.candidates(), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut lost = LostSessions::default();
        for first in 0..1_000 {
            lost.met(&batch(first, 1), &Failure::transient("closed"), None, Instant::now());
        }
        assert_eq!(lost.0.len(), BATCHES);
    }
}
