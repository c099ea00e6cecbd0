//! Errors that a function raises with a code of the surroundings', such as a deadlock, and memory that is not enough. They are
//! retried as if the surroundings were at fault, until they have come too often: then a record may be. Pure.

use std::time::{Duration, Instant};

use super::place::Place;
use crate::postgres::failure::Failure;
use crate::postgres::sqlstate::Class;

/// So many times in a row, over so long, is too often.
const TOO_OFTEN: u32 = 5;
const TOO_LONG: Duration = Duration::from_secs(3);

/// Batches that are remembered: parked tables are tried in turn, and others are written meanwhile.
const BATCHES: usize = 64;

/// What a batch has met in a row.
#[derive(Debug)]
struct Met {
    /// Where the batch begins.
    place: Place,
    sqlstate: String,
    times: u32,
    since: Instant,
    too_often: bool,
}

/// The raised errors that a writer's batches have met last, one of each batch, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct RaisedErrors(Vec<Met>);

impl RaisedErrors {
    /// The SQLSTATE that the batch which begins here has met too often.
    pub(super) fn persistent(&self, place: Option<&Place>) -> Option<&str> {
        let met = self.0.iter().find(|met| met.too_often && Some(&met.place) == place);
        met.map(|met| met.sqlstate.as_str())
    }

    /// The batch that begins here has met this failure after the fence. Returns it as one that a record may have caused, if it
    /// has come too often.
    pub(super) fn met(&mut self, place: &Place, failure: Failure, now: Instant) -> Failure {
        let before = self.remove(place);
        let Some(sqlstate) = failure.sqlstate.clone().filter(|_| is_one(&failure)) else { return failure };
        let mut met = before.filter(|before| before.sqlstate == sqlstate).unwrap_or_else(|| Met {
            place: place.clone(),
            sqlstate,
            times: 0,
            since: now,
            too_often: false,
        });
        met.times += 1;
        met.too_often |= met.times >= TOO_OFTEN && now.duration_since(met.since) >= TOO_LONG;
        let failure = if met.too_often { failure.into_configuration() } else { failure };
        if self.0.len() == BATCHES {
            self.0.remove(0);
        }
        self.0.push(met);
        failure
    }

    /// The batch that begins here is written.
    pub(super) fn written(&mut self, place: Option<&Place>) {
        place.map(|place| self.remove(place));
    }

    fn remove(&mut self, place: &Place) -> Option<Met> {
        let number = self.0.iter().position(|met| met.place == *place)?;
        Some(self.0.remove(number))
    }
}

/// Whether it would be retried without end, although a record may cause it.
fn is_one(failure: &Failure) -> bool {
    failure.may_stay() && failure.clone().met_again().class == Class::Transient
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::failure::ServerReport;
    use crate::types::TopicPartition;

    fn failure(sqlstate: &str, routine: &str) -> Failure {
        let server = ServerReport {
            text: String::new(),
            routine: Some(routine.to_owned()),
            in_function: true,
            fatal: false,
        };
        Failure {
            sqlstate: Some(sqlstate.to_owned()),
            server: Some(Box::new(server)),
            ..Failure::transient("no")
        }
    }

    fn place(offset: i64) -> Place {
        (TopicPartition::new("t", 0), offset)
    }

    use Class::{Configuration, Transient};

    /// The class of each of these failures, a second apart.
    fn classes(failures: &[(i64, &str, &str)]) -> Vec<Class> {
        let (mut errors, mut now) = (RaisedErrors::default(), Instant::now());
        let class = |(offset, sqlstate, routine): &(i64, &str, &str)| {
            now += Duration::from_secs(1);
            errors.met(&place(*offset), failure(sqlstate, routine), now).class
        };
        failures.iter().map(class).collect()
    }

    #[test]
    fn what_a_function_raises_five_times_for_a_batch_may_be_a_records_fault() {
        let raised = (7, "40001", "exec_stmt_raise");
        assert_eq!(
            classes(&[raised; 6]),
            [Transient, Transient, Transient, Transient, Configuration, Configuration]
        );
    }

    #[test]
    fn what_the_server_raises_never_is() {
        assert_eq!(classes(&[(7, "40P01", "DeadLockReport"); 9]), [Transient; 9]);
    }

    #[test]
    fn memory_that_is_never_enough_for_a_record_may_be_its_fault() {
        let exhausted = (7, "53200", "LockAcquireExtended");
        assert_eq!(classes(&[exhausted; 5]), [Transient, Transient, Transient, Transient, Configuration]);
        assert_eq!(classes(&[(7, "53100", "mdextend"); 9]), [Transient; 9]);
    }

    #[test]
    fn another_code_is_counted_from_one() {
        let raised = (7, "40001", "exec_stmt_raise");
        for other in [(7, "53100", "exec_stmt_raise"), (7, "40P01", "DeadLockReport")] {
            let all = [raised, raised, raised, raised, other, raised, raised, raised, raised];
            assert_eq!(classes(&all), [Transient; 9], "{other:?}");
        }
    }

    #[test]
    fn batches_count_for_themselves() {
        let of = |offset| (offset, "40001", "exec_stmt_raise");
        let all: Vec<_> = (0..5).flat_map(|_| [of(7), of(8)]).collect();
        let classes = classes(&all);
        assert!(classes[..8].iter().all(|class| *class == Transient));
        assert_eq!(classes[8..], [Configuration; 2]);
        let many: Vec<_> = (0..1_000).map(of).collect();
        let mut errors = RaisedErrors::default();
        for (offset, ..) in &many {
            errors.met(&place(*offset), failure("40001", "exec_stmt_raise"), Instant::now());
        }
        assert_eq!(errors.0.len(), BATCHES);
    }

    #[test]
    fn failures_in_quick_succession_are_not_enough() {
        let (mut errors, mut now) = (RaisedErrors::default(), Instant::now());
        for n in 0..9 {
            now += Duration::from_millis(500);
            let class = errors.met(&place(7), failure("40001", "exec_stmt_raise"), now).class;
            assert_eq!(class == Configuration, n >= 6, "{n}");
            assert_eq!(errors.persistent(Some(&place(7))).is_some(), n >= 6, "{n}");
        }
        assert_eq!(errors.persistent(Some(&place(8))), None);
        errors.written(Some(&place(7)));
        assert_eq!(errors.persistent(Some(&place(7))), None);
    }
}
