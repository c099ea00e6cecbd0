mod parked;
mod timed;
mod unanswered;

use super::*;
use crate::types::{Offset, TopicPartition};

const QUIET: Signals = Signals {
    abandoned: false,
    shutdown: false,
    past_the_fence: true,
    overdue: false,
    took: Duration::ZERO,
    several_tables: false,
};
/// The sink writes other tables as well.
const BESIDE_OTHERS: Signals = Signals { several_tables: true, ..QUIET };
/// The fence has not been reached.
const BEFORE: Signals = Signals { past_the_fence: false, ..QUIET };
/// The session was ended at the deadline.
const OVERDUE: Signals = Signals { overdue: true, ..QUIET };

fn facts(records: usize) -> BatchFacts {
    BatchFacts { records, cheapest: Strategy::Whole, tables: 1, probe: false, retry: None }
}

/// Attempts at a batch of so many records, after the first step.
fn begun(records: usize) -> Attempts {
    let mut attempts = Attempts::new(facts(records), None);
    assert!(matches!(attempts.next(Event::Begin, QUIET), Step::Try(Strategy::Whole)));
    attempts
}

/// A failure as the server's SQLSTATE is classed when it comes for the first time.
fn failure(sqlstate: &str) -> Failure {
    let failure = Failure::transient(sqlstate);
    Failure {
        class: crate::postgres::sqlstate::classify(sqlstate, None, ""),
        sqlstate: Some(sqlstate.to_owned()),
        ..failure
    }
}

fn connection_lost() -> Failure {
    Failure { connection_lost: true, ..Failure::transient("connection lost") }
}

fn counts(rows: u64) -> BatchCounts {
    BatchCounts { written: vec![("t".to_owned(), rows)], ..BatchCounts::default() }
}

fn committed(rows: u64) -> Event {
    Event::Tried(Ok(Attempt::Committed(counts(rows))))
}

fn failed(sqlstate: &str) -> Event {
    Event::Tried(Err(failure(sqlstate)))
}

fn undecided(sqlstate: &str) -> Event {
    Event::Tried(Err(Failure { undecided: true, ..failure(sqlstate) }))
}

fn unanswered(rows: u64) -> Event {
    Event::Tried(Ok(Attempt::Unanswered { failure: connection_lost(), counts: counts(rows) }))
}

fn rolled_back(why: RolledBack) -> Event {
    Event::Tried(Ok(Attempt::RolledBack(why)))
}

fn fenced() -> Event {
    rolled_back(RolledBack::Fenced)
}

fn refused() -> Event {
    rolled_back(RolledBack::Refused { why: "a constraint".to_owned() })
}

fn at(partition: i32, offset: i64) -> RejectedRecord {
    RejectedRecord {
        partition: TopicPartition::new("t", partition),
        offset: Offset(offset),
        reason: "not tolerated".to_owned(),
    }
}

fn same(records: usize) -> Event {
    Event::EncodedAgain(facts(records), Ok(()))
}

/// Sends all events; the last step.
fn after(attempts: &mut Attempts, events: impl IntoIterator<Item = Event>) -> Step {
    let steps = events.into_iter().map(|event| attempts.next(event, QUIET));
    steps.last().expect("there is an event")
}

/// The rows and the records of a report that the batch is committed.
#[track_caller]
fn of_commit(step: Step) -> (u64, Vec<RejectedRecord>) {
    match step {
        Step::Report(Ending::Committed { counts, intolerable }) => (counts.written[0].1, intolerable),
        step => panic!("not committed: {step:?}"),
    }
}

#[track_caller]
fn assert_step(step: &Step, expected: &str) {
    assert_eq!(format!("{step:?}").split('{').next().map(str::trim), Some(expected));
}

/// The failure that is waited out.
#[track_caller]
fn waited_for(step: Step) -> Failure {
    match step {
        Step::Wait(failure, wait) => {
            assert!(!wait.is_zero() && wait <= Duration::from_secs(30), "{wait:?}");
            failure
        }
        step => panic!("no wait: {step:?}"),
    }
}

#[test]
fn a_batch_that_commits_is_reported() {
    assert_eq!(of_commit(begun(3).next(committed(3), QUIET)), (3, vec![]));
}

#[test]
fn the_cheapest_correct_strategy_is_tried_first() {
    let runs = BatchFacts { cheapest: Strategy::Runs, ..facts(3) };
    assert_step(&Attempts::new(runs, None).next(Event::Begin, QUIET), "Try(Runs)");
}

#[test]
fn a_moved_position_fences_the_batch() {
    assert_step(&begun(3).next(fenced(), QUIET), "Report(Fenced)");
}

#[test]
fn a_changed_table_is_encoded_again_and_tried_at_once() {
    let mut attempts = begun(3);
    after(&mut attempts, [refused()]);
    assert_step(&attempts.next(rolled_back(RolledBack::TableChanged), QUIET), "EncodeAgain");
    assert_step(&attempts.next(same(3), QUIET), "Try(Whole)");
}

#[test]
fn a_changed_table_that_cannot_be_read_is_waited_for() {
    let mut attempts = begun(3);
    attempts.next(rolled_back(RolledBack::TableChanged), QUIET);
    let gone = Event::EncodedAgain(facts(3), Err(connection_lost()));
    assert_eq!(waited_for(attempts.next(gone, QUIET)), connection_lost());
    assert_step(&attempts.next(Event::Waited, QUIET), "Try(Whole)");
}

#[test]
fn a_conflict_climbs_and_tries_again_with_the_same_strategy() {
    let mut attempts = begun(3);
    let step = attempts.next(rolled_back(RolledBack::Conflict { label: "t".to_owned() }), QUIET);
    assert!(matches!(step, Step::Climb(label) if label == "t"));
    assert_step(&attempts.next(Event::Climbed, QUIET), "Try(Whole)");
}

#[test]
fn a_batch_that_may_have_been_misread_is_tried_again_at_once_in_the_same_way() {
    let mut attempts = begun(10);
    let step = attempts.next(rolled_back(RolledBack::Misread), QUIET);
    assert!(matches!(step, Step::Try(Strategy::Whole)), "{step:?}");
    assert!(matches!(attempts.next(refused(), QUIET), Step::Try(Strategy::Bisect)));
    let step = attempts.next(rolled_back(RolledBack::Misread), QUIET);
    assert!(matches!(step, Step::Try(Strategy::Bisect)), "{step:?}");
    assert_eq!(of_commit(attempts.next(committed(10), QUIET)), (10, vec![]));
}

#[test]
fn a_refused_batch_is_bisected() {
    assert_step(&begun(3).next(refused(), QUIET), "Try(Bisect)");
}

#[test]
fn an_intolerable_record_cuts_the_batch_and_is_reported_with_the_commit_of_the_rest() {
    let mut attempts = begun(9);
    let step =
        after(&mut attempts, [refused(), rolled_back(RolledBack::Intolerable(vec![at(0, 7), at(1, 4)]))]);
    assert!(matches!(step, Step::Cut(firsts) if firsts == [at(0, 7), at(1, 4)]));
    assert_step(&attempts.next(Event::Cut(facts(6)), QUIET), "Try(Whole)");
    // A later attempt stops even earlier in one of the partitions.
    let step = attempts.next(rolled_back(RolledBack::Intolerable(vec![at(0, 5)])), QUIET);
    assert!(matches!(step, Step::Cut(firsts) if firsts == [at(0, 5)]));
    attempts.next(Event::Cut(facts(4)), QUIET);
    assert_eq!(of_commit(attempts.next(committed(4), QUIET)), (4, vec![at(1, 4), at(0, 5)]));
}

#[test]
fn an_open_breaker_ends_the_attempts() {
    let topics = BTreeMap::from([(Arc::from("t"), "too many".to_owned())]);
    let step = begun(3).next(rolled_back(RolledBack::Tripped(topics.clone())), QUIET);
    assert!(matches!(step, Step::Report(Ending::Tripped(reported)) if reported == topics));
}

#[test]
fn a_transient_failure_is_waited_out_and_the_same_is_tried_again() {
    let mut attempts = begun(3);
    after(&mut attempts, [refused()]);
    assert_eq!(waited_for(attempts.next(failed("40001"), QUIET)), failure("40001"));
    assert_step(&attempts.next(Event::Waited, QUIET), "Try(Bisect)");
}

#[test]
fn a_configuration_error_is_waited_out_and_the_batch_encoded_again() {
    let mut attempts = begun(3);
    waited_for(attempts.next(failed("3D000"), QUIET));
    assert_step(&attempts.next(Event::Waited, QUIET), "EncodeAgain");
    // Even if the table cannot be read: then the attempt reports why.
    let gone = Event::EncodedAgain(facts(3), Err(connection_lost()));
    assert_step(&attempts.next(gone, QUIET), "Try(Whole)");
}

#[test]
fn an_internal_error_that_comes_twice_in_a_row_is_one_of_configuration() {
    let mut attempts = begun(3);
    assert_eq!(waited_for(attempts.next(failed("XX000"), QUIET)).class, Class::Transient);
    assert_step(&attempts.next(Event::Waited, QUIET), "Try(Whole)");
    assert_eq!(waited_for(attempts.next(failed("XX000"), QUIET)).class, Class::Configuration);
    assert_step(&attempts.next(Event::Waited, QUIET), "EncodeAgain");

    let mut attempts = begun(3);
    after(&mut attempts, [failed("XX000"), Event::Waited, failed("40001"), Event::Waited]);
    assert_eq!(
        waited_for(attempts.next(failed("XX000"), QUIET)).class,
        Class::Transient,
        "another came between"
    );
}

#[test]
fn a_transaction_that_takes_too_long_past_the_fence_returns_the_batch_smaller() {
    let mut attempts = begun(3);
    waited_for(attempts.next(failed("57014"), QUIET));
    assert_step(&attempts.next(Event::Waited, QUIET), "Report(Returned(Smaller))");

    // The session was ended at the deadline, and the server's answer is lost or says so.
    for event in [Event::Tried(Err(connection_lost())), failed("57P01")] {
        let mut attempts = begun(3);
        waited_for(attempts.next(event, OVERDUE));
        assert_step(&attempts.next(Event::Waited, OVERDUE), "Report(Returned(Smaller))");
    }
}

#[test]
fn a_batch_that_needs_more_memory_than_there_is_comes_back_smaller_down_to_one_record() {
    let mut attempts = begun(3);
    waited_for(attempts.next(failed("53200"), QUIET));
    assert_step(&attempts.next(Event::Waited, QUIET), "Report(Returned(Smaller))");
    let mut attempts = begun(1);
    waited_for(attempts.next(failed("53200"), QUIET));
    assert_step(&attempts.next(Event::Waited, QUIET), "Try(Whole)");
    let at_the_fence = Signals { past_the_fence: false, ..QUIET };
    let mut attempts = begun(3);
    waited_for(attempts.next(failed("53200"), at_the_fence));
    assert_step(&attempts.next(Event::Waited, at_the_fence), "Try(Whole)");
}

#[test]
fn a_batch_whose_sessions_end_after_a_while_comes_back_smaller() {
    let slow = Signals { took: Duration::from_secs(2), ..QUIET };
    let lost = || Event::Tried(Err(connection_lost()));
    let mut attempts = begun(3);
    waited_for(attempts.next(lost(), slow));
    assert_step(&attempts.next(Event::Waited, slow), "Try(Whole)");
    waited_for(attempts.next(lost(), slow));
    assert_step(&attempts.next(Event::Waited, slow), "Try(Whole)");
    waited_for(attempts.next(lost(), slow));
    assert_step(&attempts.next(Event::Waited, slow), "Report(Returned(Smaller))");
    // One that ends at once is for the search for the record.
    let mut attempts = begun(3);
    for _ in 0..5 {
        waited_for(attempts.next(lost(), QUIET));
        assert_step(&attempts.next(Event::Waited, QUIET), "Try(Whole)");
    }
}

#[test]
fn a_transaction_that_takes_too_long_at_the_fence_is_tried_again() {
    for (sqlstate, signals) in [("57014", QUIET), ("57P01", OVERDUE)] {
        let mut attempts = begun(3);
        let at_the_fence = Signals { past_the_fence: false, ..signals };
        attempts.next(failed(sqlstate), at_the_fence);
        assert_step(&attempts.next(Event::Waited, at_the_fence), "Try(Whole)");
    }
}

#[test]
fn a_commit_that_takes_too_long_is_divided_from_its_deferred_work_and_then_returned_smaller() {
    let mut attempts = begun(3);
    waited_for(attempts.next(unanswered(3), OVERDUE));
    assert_step(&attempts.next(Event::Waited, OVERDUE), "Try(Runs)");
    waited_for(attempts.next(failed("57P01"), OVERDUE));
    assert_step(&attempts.next(Event::Waited, OVERDUE), "Report(Returned(Smaller))");
}

#[test]
fn an_error_that_may_be_the_records_is_confirmed_between_its_neighbours() {
    let mut attempts = begun(3);
    waited_for(attempts.next(failed("42501"), QUIET));
    assert_step(&attempts.next(Event::Waited, QUIET), "EncodeAgain");
    assert_step(&attempts.next(same(3), QUIET), "Try(Confirm)");
    // Nothing shows whose fault it is: more records may.
    waited_for(attempts.next(undecided("42501"), QUIET));
    assert_step(&after(&mut attempts, [Event::Waited, same(3)]), "Report(Returned(Larger))");
}

#[test]
fn an_error_that_may_be_the_only_records_is_decided_by_evidence_or_returns_the_batch_larger() {
    let mut attempts = begun(1);
    let failed = || [failed("42501"), Event::Waited, same(1)];
    assert_step(&after(&mut attempts, failed()), "Try(Confirm)");
    // The table is at fault.
    assert_step(&after(&mut attempts, failed()), "Try(Confirm)");
    let undecided = [undecided("42501"), Event::Waited, same(1)];
    assert_step(&after(&mut attempts, undecided), "Report(Returned(Larger))");
}

#[test]
fn an_internal_or_system_error_that_stays_may_be_a_records() {
    for code in ["XX000", "58030"] {
        let mut attempts = begun(3);
        assert_step(&after(&mut attempts, [failed(code), Event::Waited]), "Try(Whole)");
        assert_step(&after(&mut attempts, [failed(code), Event::Waited, same(3)]), "Try(Confirm)");
    }
}

#[test]
fn a_batch_that_was_cut_is_not_returned_larger() {
    let mut attempts = begun(3);
    after(&mut attempts, [rolled_back(RolledBack::Intolerable(vec![at(0, 1)])), Event::Cut(facts(1))]);
    for _ in 0..2 {
        assert_step(&after(&mut attempts, [failed("42501"), Event::Waited, same(1)]), "Try(Confirm)");
    }
}

#[test]
fn after_a_returned_batch_the_next_is_confirmed_at_once() {
    let first = |records| {
        let returned = begun(1).into_waits();
        Attempts::new(facts(records), Some(returned)).next(Event::Begin, QUIET)
    };
    assert_step(&first(2), "Try(Confirm)");
    assert_step(&first(1), "Try(Confirm)");
}

#[test]
fn a_replaced_writer_ends_unless_a_commit_is_unanswered() {
    let replaced = Signals { abandoned: true, ..QUIET };
    assert_step(&begun(3).next(failed("40001"), replaced), "Report(Abandoned)");
    let mut attempts = begun(3);
    waited_for(attempts.next(unanswered(3), replaced));
    attempts.next(Event::Waited, replaced);
    assert_step(&attempts.next(fenced(), replaced), "ReadPositions");
    assert_eq!(of_commit(attempts.next(Event::PositionsRead(Ok(true)), replaced)).0, 3);
}

#[test]
fn shutdown_ends_the_attempts_at_the_next_wait() {
    let stopping = Signals { shutdown: true, ..QUIET };
    let mut attempts = begun(3);
    waited_for(attempts.next(failed("40001"), stopping));
    assert_step(&attempts.next(Event::Waited, stopping), "Report(Abandoned)");
    assert_eq!(of_commit(begun(3).next(committed(3), stopping)).0, 3, "what works is finished");
}

#[test]
fn a_missing_table_may_be_that_of_dead_letters_which_is_created() {
    let mut attempts = begun(3);
    waited_for(attempts.next(failed("42P01"), QUIET));
    assert_step(&attempts.next(Event::Waited, QUIET), "CreateDeadLetters");
    assert_step(&attempts.next(Event::DeadLettersCreated, QUIET), "EncodeAgain");
    assert_step(&attempts.next(same(3), QUIET), "Try(Confirm)");
}

#[test]
fn a_probe_is_encoded_again_before_its_first_attempt_whether_or_not_the_table_can_be_read() {
    for result in [Ok(()), Err(connection_lost())] {
        let probe = BatchFacts { probe: true, ..facts(3) };
        let mut attempts = Attempts::new(probe, None);
        assert_step(&attempts.next(Event::Begin, QUIET), "EncodeAgain");
        let runs = BatchFacts { cheapest: Strategy::Runs, ..probe };
        assert_step(&attempts.next(Event::EncodedAgain(runs, result), QUIET), "Try(Runs)");
    }
}
