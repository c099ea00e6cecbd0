//! A COMMIT that is not answered, and may have taken place.

use super::*;

#[test]
fn after_an_unanswered_commit_the_positions_decide_whether_it_took_place() {
    let unanswered = || [unanswered(3), Event::Waited, fenced()];
    let mut attempts = begun(3);
    assert_step(&after(&mut attempts, unanswered()), "ReadPositions");
    assert_eq!(of_commit(attempts.next(Event::PositionsRead(Ok(true)), QUIET)).0, 3);

    let mut attempts = begun(3);
    after(&mut attempts, unanswered());
    assert_step(&attempts.next(Event::PositionsRead(Ok(false)), QUIET), "Report(Fenced)");
}

#[test]
fn an_unanswered_commit_that_did_not_take_place_is_tried_again() {
    let mut attempts = begun(3);
    assert_step(&after(&mut attempts, [unanswered(3), Event::Waited]), "Try(Whole)");
    assert_eq!(
        of_commit(attempts.next(committed(2), QUIET)).0,
        2,
        "the counts of the attempt that committed"
    );
}

#[test]
fn positions_that_cannot_be_read_after_an_unanswered_commit_are_read_after_the_next_attempt() {
    let mut attempts = begun(3);
    after(&mut attempts, [unanswered(3), Event::Waited, fenced()]);
    waited_for(attempts.next(Event::PositionsRead(Err(connection_lost())), QUIET));
    assert_step(&after(&mut attempts, [Event::Waited, fenced()]), "ReadPositions");
}

#[test]
fn an_intolerable_record_proves_that_an_unanswered_commit_did_not_take_place() {
    let mut attempts = begun(3);
    let cut = rolled_back(RolledBack::Intolerable(vec![at(0, 7)]));
    after(&mut attempts, [unanswered(3), Event::Waited, cut, Event::Cut(facts(2))]);
    assert_step(&attempts.next(fenced(), QUIET), "Report(Fenced)");
}

#[test]
fn after_an_unanswered_commit_the_batch_keeps_its_size() {
    let mut attempts = begun(3);
    after(&mut attempts, [unanswered(3), Event::Waited]);
    waited_for(attempts.next(failed("57014"), BEFORE));
    assert_step(&attempts.next(Event::Waited, BEFORE), "Try(Whole)");
    attempts.next(failed("42501"), BEFORE);
    attempts.next(Event::Waited, BEFORE);
    assert_step(&attempts.next(same(3), BEFORE), "Try(Confirm)");
}

#[test]
fn an_attempt_that_fails_past_the_fence_proves_that_an_unanswered_commit_did_not_take_place() {
    let mut attempts = begun(3);
    after(&mut attempts, [unanswered(3), Event::Waited, failed("40001"), Event::Waited]);
    assert_step(&attempts.next(fenced(), BEFORE), "Report(Fenced)");
}
