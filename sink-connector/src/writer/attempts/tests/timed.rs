//! A single record that takes longer than a transaction may.

use super::*;

const OVERDUE_BESIDE_OTHERS: Signals = Signals { several_tables: true, ..OVERDUE };

fn lost() -> Event {
    Event::Tried(Err(connection_lost()))
}

#[test]
fn a_single_record_that_takes_too_long_is_timed_and_then_tried_as_before() {
    for (event, signals) in [(lost as fn() -> Event, OVERDUE), (|| failed("57014"), QUIET)] {
        let mut attempts = begun(1);
        for _ in 0..2 {
            waited_for(attempts.next(event(), signals));
            assert_step(&attempts.next(Event::Waited, signals), "Try(Timed)");
            waited_for(attempts.next(event(), signals));
            assert_step(&attempts.next(Event::Waited, signals), "Try(Whole)");
        }
    }
}

#[test]
fn a_wait_for_a_lock_ends_the_timing() {
    let mut attempts = begun(1);
    after(&mut attempts, [failed("57014"), Event::Waited]);
    assert_step(&after(&mut attempts, [failed("55P03"), Event::Waited]), "Try(Whole)");
}

#[test]
fn several_records_are_made_fewer_before_one_is_timed() {
    assert_step(&after(&mut begun(2), [failed("57014"), Event::Waited]), "Report(Returned(Smaller))");
}

#[test]
fn what_has_not_come_past_the_fence_is_not_timed() {
    let mut attempts = begun(1);
    waited_for(attempts.next(failed("57014"), BEFORE));
    assert_step(&attempts.next(Event::Waited, BEFORE), "Try(Whole)");
}

#[test]
fn a_commit_that_takes_too_long_is_timed_only_once_it_is_known_not_to_have_taken_place() {
    let mut attempts = begun(1);
    attempts.next(unanswered(1), OVERDUE);
    assert_step(&attempts.next(Event::Waited, OVERDUE), "Try(Runs)");
    attempts.next(lost(), OVERDUE);
    assert_step(&attempts.next(Event::Waited, OVERDUE), "Try(Timed)");
}

#[test]
fn beside_other_tables_it_is_timed_once_shorter_retries_took_too_long() {
    assert!(matches!(after_overdue(&mut begun(1)), Step::Report(Ending::Parked { took_too_long: true, .. })));
    let retry = BatchFacts { retry: Some(Retry::Full), ..facts(1) };
    let mut attempts = Attempts::new(retry, None);
    attempts.next(Event::Begin, BESIDE_OTHERS);
    attempts.next(Event::EncodedAgain(retry, Ok(())), BESIDE_OTHERS);
    assert_step(&attempts.next(lost(), OVERDUE_BESIDE_OTHERS), "Try(Timed)");
    let step = attempts.next(failed("57014"), BESIDE_OTHERS);
    assert!(matches!(step, Step::Report(Ending::Parked { took_too_long: false, .. })));
}

fn after_overdue(attempts: &mut Attempts) -> Step {
    waited_for(attempts.next(lost(), OVERDUE_BESIDE_OTHERS));
    attempts.next(Event::Waited, OVERDUE_BESIDE_OTHERS)
}
