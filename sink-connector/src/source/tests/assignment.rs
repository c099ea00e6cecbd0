//! Assigned, revoked, fenced, replaced.

use super::*;
use crate::messages::report::Size;

#[test]
fn a_partition_is_fetched_once_its_position_is_known() {
    let mut fixture = Fixture::new(Bounds::default(), 1);
    let commands = fixture.on(Input::Rebalanced(Rebalanced::Assigned(vec![tp(0)])));
    let known = |command: &Command| match command {
        Command::Request(Request::Resolve(queries)) => Some(queries[0].known),
        _ => None,
    };
    assert_eq!(commands.iter().find_map(known), Some(false));
    fixture.take(0, [0]);
    assert!(fixture.source.lanes[0].open.is_empty(), "nothing is taken before");
    let commands = fixture.answer(&commands, 10);
    let fetches =
        |command: &Command| matches!(command, Command::Fetch(from) if *from == [(tp(0), Offset(10))]);
    assert!(resumes(&commands) && has(&commands, fetches));
    let batch = fixture.send(0, [8, 9, 10, 12]);
    assert_eq!(span(&batch, 0), Some((10, 13, 2)), "what is stored is not taken");
}

#[test]
fn an_empty_assignment_is_answered() {
    let mut fixture = Fixture::new(Bounds::default(), 1);
    let commands = fixture.on(Input::Rebalanced(Rebalanced::Assigned(Vec::new())));
    assert!(has(&commands, |command| matches!(command, Command::Fetch(from) if from.is_empty())));
}

#[test]
fn records_of_a_revoked_partition_are_dropped_and_the_others_are_written() {
    let mut fixture = Fixture::fetching(&[0, 1]);
    fixture.take(0, [10, 11]);
    fixture.take(1, [10]);
    let commands = fixture.revoke(0);
    assert!(has(&commands, |command| matches!(command, Command::Request(Request::Forget(_)))));
    fixture.same_topics();
    let batch = sent(fixture.after(LINGER).1).expect("the rest is sent");
    assert_eq!((span(&batch, 0), span(&batch, 1)), (None, Some((10, 11, 1))));
}

#[test]
fn a_batch_that_comes_back_after_its_partition_was_assigned_again_is_dropped() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10, 11]);
    fixture.revoke(0);
    fixture.assign(&[0]);
    let commands = fixture.report(Report::Returned { writer: 0, generation: 0, batch, size: Size::Smaller });
    assert!(sent(commands).is_none(), "it would be written beside the records that are read again");
    let batch = fixture.send(0, [10, 11]);
    assert_eq!(span(&batch, 0), Some((10, 12, 2)));
}

#[test]
fn a_fenced_batch_is_dropped_with_what_follows_it_and_the_positions_are_read_again() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10, 11]);
    fixture.take(0, [12]);
    let commands = fixture.report(Report::Fenced { writer: 0, generation: 0, batch });
    fixture.take(0, [13]);
    assert!(!fixture.source.lanes[0].has_records());
    let again = |command: &Command| match command {
        Command::Request(Request::Resolve(queries)) => queries[0].known,
        _ => false,
    };
    assert!(has(&commands, again), "a position that is missing now was lost");
    fixture.answer(&commands, 30);
    let batch = fixture.send(0, [30]);
    assert_eq!(span(&batch, 0), Some((30, 31, 1)));
}

#[test]
fn a_late_commit_of_a_replaced_writer_counts_and_moves_no_position() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10, 11]);
    let (batches, _receiver) = crossbeam_channel::bounded(1);
    let replaced = Event::Replaced { writer: 0, batches, generation: 1, took_too_long: false };
    let commands = fixture.event(replaced);
    fixture.committed(batch);
    assert_eq!(fixture.source.totals.records, 2);
    fixture.answer(&commands, 10);
    assert_eq!(fixture.source.ledger.get(&tp(0)).expect("it is ours").stored(), Offset(10));
}

#[test]
fn a_partition_whose_writer_is_paused_is_paused_when_it_is_assigned() {
    let mut fixture = Fixture::fetching(&[1]);
    fixture.send(1, [10]);
    fixture.take(1, 11..11 + FULL);
    fixture.turn();
    fixture.after(Duration::from_secs(1));
    assert!(pauses(&fixture.assign(&[0])));
}
