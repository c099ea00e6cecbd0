//! When a table is parked, so that others can be written.

use super::*;

/// Sends all events while the sink writes other tables as well; the last step.
fn beside_others(attempts: &mut Attempts, events: impl IntoIterator<Item = Event>) -> Step {
    let steps = events.into_iter().map(|event| attempts.next(event, BESIDE_OTHERS));
    steps.last().expect("there is an event")
}

#[test]
fn a_batch_of_several_tables_is_divided_when_one_of_them_cannot_be_written() {
    let two = |records| BatchFacts { tables: 2, ..facts(records) };
    for code in ["55P03", "53100"] {
        let mut attempts = Attempts::new(two(3), None);
        let step = beside_others(&mut attempts, [Event::Begin, failed(code), Event::Waited]);
        assert_step(&step, "Report(Divided)");
    }
    let mut attempts = Attempts::new(two(3), None);
    let encoded = Event::EncodedAgain(two(3), Err(connection_lost()));
    let step = beside_others(&mut attempts, [Event::Begin, failed("42501"), Event::Waited, encoded]);
    assert_step(&step, "Report(Divided)");
}

#[test]
fn a_table_beside_others_is_parked_once_it_is_known_to_be_at_fault() {
    let mut attempts = begun(3);
    let failed_again = || [failed("42501"), Event::Waited, same(3)];
    assert_step(&beside_others(&mut attempts, failed_again()), "Try(Confirm)");
    assert!(matches!(beside_others(&mut attempts, failed_again()), Step::Report(Ending::Parked { .. })));
    // No evidence is needed for what is never a record's.
    let step = beside_others(&mut begun(3), [failed("55P03"), Event::Waited]);
    assert!(matches!(step, Step::Report(Ending::Parked { .. })));
    // An internal error may pass.
    assert_step(&beside_others(&mut begun(3), [failed("XX000"), Event::Waited]), "Try(Whole)");
}

#[test]
fn a_troubled_table_is_encoded_again_and_parked_without_a_wait() {
    let troubled = BatchFacts { retry: Some(Retry::Short), ..facts(3) };
    let mut attempts = Attempts::new(troubled, None);
    assert_step(&attempts.next(Event::Begin, BESIDE_OTHERS), "EncodeAgain");
    let encoded = Event::EncodedAgain(troubled, Ok(()));
    assert_step(&attempts.next(encoded, BESIDE_OTHERS), "Try(Confirm)");
    assert!(matches!(attempts.next(failed("42501"), BESIDE_OTHERS), Step::Report(Ending::Parked { .. })));
}

#[test]
fn the_trouble_of_the_whole_connection_is_waited_for_whatever_tables_there_are() {
    for code in ["25006", "57P01", "28P01", "53300"] {
        let mut attempts =
            Attempts::new(BatchFacts { tables: 2, retry: Some(Retry::Short), ..facts(3) }, None);
        attempts.next(Event::Begin, BESIDE_OTHERS);
        attempts.next(same(3), BESIDE_OTHERS);
        waited_for(attempts.next(failed(code), BESIDE_OTHERS));
    }
    let mut attempts = Attempts::new(BatchFacts { tables: 2, ..facts(3) }, None);
    let lost = Event::Tried(Err(connection_lost()));
    assert_step(&beside_others(&mut attempts, [Event::Begin, lost, Event::Waited]), "Try(Whole)");
}

#[test]
fn an_unanswered_commit_is_resolved_before_a_table_is_parked() {
    let mut attempts = begun(3);
    beside_others(&mut attempts, [unanswered(3), Event::Waited]);
    let before = Signals { several_tables: true, ..BEFORE };
    waited_for(attempts.next(failed("55P03"), before));
    assert_step(&attempts.next(Event::Waited, before), "Try(Whole)");
}

#[test]
fn what_takes_too_long_is_made_smaller_by_the_source_so_that_other_tables_go_on() {
    let two_tables = BatchFacts { tables: 2, ..facts(3) };
    let mut attempts = Attempts::new(two_tables, None);
    let step = beside_others(&mut attempts, [Event::Begin, failed("57014"), Event::Waited]);
    assert_step(&step, "Report(Divided)");
    for records in [1, 2] {
        let step = beside_others(&mut begun(records), [failed("57014"), Event::Waited]);
        assert!(matches!(step, Step::Report(Ending::Parked { took_too_long: true, .. })));
        let step = beside_others(&mut begun(records), [failed("55P03"), Event::Waited]);
        assert!(matches!(step, Step::Report(Ending::Parked { took_too_long: false, .. })));
    }
}

#[test]
fn a_short_retry_that_takes_too_long_is_parked_without_a_wait() {
    for (records, retry) in [(1, Retry::Short), (2, Retry::Short), (2, Retry::Full)] {
        let facts = BatchFacts { retry: Some(retry), ..facts(records) };
        let mut attempts = Attempts::new(facts, None);
        beside_others(&mut attempts, [Event::Begin, Event::EncodedAgain(facts, Ok(()))]);
        let step = attempts.next(failed("57014"), BESIDE_OTHERS);
        assert!(matches!(step, Step::Report(Ending::Parked { took_too_long: true, .. })), "{facts:?}");
    }
}

#[test]
fn a_code_of_the_connection_that_comes_again_and_again_past_the_fence_is_the_tables() {
    for code in ["40001", "08006", "57P01"] {
        let mut attempts = begun(3);
        for _ in 0..2 {
            assert_step(&beside_others(&mut attempts, [failed(code), Event::Waited]), "Try(Whole)");
        }
        let step = beside_others(&mut attempts, [failed(code), Event::Waited]);
        assert!(matches!(step, Step::Report(Ending::Parked { .. })), "{code}: {step:?}");

        let mut attempts = begun(3);
        let before = Signals { several_tables: true, ..BEFORE };
        for _ in 0..5 {
            waited_for(attempts.next(failed(code), before));
            assert_step(&attempts.next(Event::Waited, before), "Try(Whole)");
        }
    }
}

#[test]
fn codes_that_change_are_not_met_again() {
    let mut attempts = begun(3);
    for code in ["40001", "40001", "40P01", "40P01", "40001", "40001"] {
        assert_step(&beside_others(&mut attempts, [failed(code), Event::Waited]), "Try(Whole)");
    }
}
