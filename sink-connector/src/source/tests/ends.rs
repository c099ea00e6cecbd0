//! When a run ends, and how.

use std::collections::HashMap;

use super::*;
use crate::source::bounds::StoppedBy;

#[test]
fn max_records_stops_at_exactly_so_many() {
    let mut fixture = Fixture::bounded(Bounds { max_records: Some(3), ..Bounds::default() }, &[0]);
    let batch = fixture.send(0, 10..20);
    assert_eq!(span(&batch, 0), Some((10, 13, 3)));
    fixture.committed(batch);
    assert_eq!(fixture.turn().0, Next::End(StoppedBy::MaxRecords));
}

#[test]
fn until_end_waits_for_the_stored_positions_of_all_partitions() {
    let mut fixture = Fixture::bounded(Bounds { until_end: true, ..Bounds::default() }, &[0]);
    fixture.event(Event::Goal(HashMap::from([(tp(0), Offset(11)), (tp(1), Offset(5))])));
    let batch = fixture.send(0, [10]);
    fixture.committed(batch);
    let (_, commands) = fixture.after(Duration::from_secs(1));
    assert!(has(&commands, |command| matches!(command, Command::Request(Request::ReadAll(_)))));
    fixture.event(Event::Stored(vec![(tp(1), Offset(5))]));
    assert_eq!(fixture.turn().0, Next::End(StoppedBy::End));
}

#[test]
fn idle_counts_only_at_the_end_of_the_logs() {
    let idle_timeout = Some(Duration::from_secs(10));
    let mut fixture = Fixture::bounded(Bounds { idle_timeout, ..Bounds::default() }, &[0]);
    fixture.now += Duration::from_secs(10);
    fixture.log_ends(0, 0, 11);
    assert!(!matches!(fixture.turn().0, Next::End(_)), "a record is to come");
    fixture.log_ends(0, 0, 10);
    assert_eq!(fixture.turn().0, Next::End(StoppedBy::Idle));
}

#[test]
fn idle_needs_a_broker_that_answers_now() {
    let idle_timeout = Some(Duration::from_secs(10));
    let mut fixture = Fixture::bounded(Bounds { idle_timeout, ..Bounds::default() }, &[0]);
    let batch = fixture.send(0, [10]);
    // The writer waits for PostgreSQL. Then no broker answers, and only after that is the batch committed.
    fixture.now += Duration::from_secs(60);
    fixture.log_ends(0, 0, 11);
    fixture.now += Duration::from_secs(30);
    fixture.committed(batch);
    assert!(!matches!(fixture.turn().0, Next::End(_)), "nobody knows what has arrived in 30 s");
    fixture.log_ends(0, 0, 11);
    assert_eq!(fixture.turn().0, Next::End(StoppedBy::Idle));
}

#[test]
fn at_the_deadline_waiting_threads_are_asked_to_stop() {
    let deadline = Some(Duration::from_secs(60));
    let mut fixture = Fixture::bounded(Bounds { deadline, ..Bounds::default() }, &[0]);
    let (next, commands) = fixture.after(Duration::from_secs(60));
    assert_eq!(next, Next::End(StoppedBy::Deadline));
    assert!(has(&commands, |command| matches!(command, Command::RequestShutdown)));
}

#[test]
fn after_a_signal_the_open_batch_is_written_and_committed_to_kafka() {
    let mut fixture = Fixture::fetching(&[0]);
    fixture.turn();
    fixture.take(0, [10, 11]);
    fixture.same_topics();
    fixture.on(Input::ShutdownRequested);
    let (next, commands) = fixture.turn();
    let batch = sent(commands).expect("it does not linger");
    assert!(matches!(next, Next::Wait(_)));
    fixture.committed(batch);
    let (next, commands) = fixture.turn();
    assert_eq!((next, commits(&commands)), (Next::End(StoppedBy::Signal), vec![(tp(0), Offset(12))]));
}

#[test]
fn draining_ends_at_its_timeout() {
    let mut fixture = Fixture::fetching(&[0]);
    fixture.send(0, [10]);
    fixture.on(Input::ShutdownRequested);
    assert!(matches!(fixture.turn().0, Next::Wait(_)));
    assert!(matches!(fixture.after(Duration::from_millis(9_999)).0, Next::Wait(_)));
    assert_eq!(fixture.after(Duration::from_millis(1)).0, Next::End(StoppedBy::Signal));
}

#[test]
fn after_a_batch_was_given_up_nothing_more_is_handed_over() {
    let mut fixture = Fixture::fetching(&[0]);
    fixture.send(0, [10]);
    fixture.take(0, [11]);
    fixture.on(Input::ShutdownRequested);
    fixture.turn();
    let commands = fixture.report(Report::Abandoned { writer: 0, generation: 0 });
    assert!(sent(commands).is_none());
    let (next, commands) = fixture.turn();
    assert_eq!(next, Next::End(StoppedBy::Signal));
    assert!(sent(commands).is_none());
}

#[test]
fn while_draining_a_writer_that_is_replaced_is_not_waited_for_nor_believed() {
    let mut fixture = Fixture::new(Bounds::default(), 2);
    fixture.turn();
    fixture.assign(&[0, 1]);
    let late = fixture.send(0, [10]);
    fixture.take(0, [11]);
    let in_flight = fixture.send(1, [10]);
    fixture.on(Input::ShutdownRequested);
    assert!(matches!(fixture.turn().0, Next::Wait(_)));
    let (batches, _receiver) = crossbeam_channel::bounded(1);
    fixture.event(Event::Replaced { writer: 0, batches, generation: 1, took_too_long: false });
    // What follows the lost batch is read again by the next start, whatever became of that batch.
    let (next, commands) = fixture.turn();
    assert!(matches!(next, Next::Wait(_)) && sent(commands).is_none());
    fixture.committed(late);
    assert!(matches!(fixture.turn().0, Next::Wait(_)), "the other writer has not finished");
    let (counts, rejected) = (BatchCounts::default(), Vec::new());
    fixture.report(Report::Committed { writer: 1, generation: 0, batch: in_flight, counts, rejected });
    let (next, commands) = fixture.turn();
    assert_eq!((next, commits(&commands)), (Next::End(StoppedBy::Signal), vec![(tp(1), Offset(11))]));
    assert_eq!(fixture.source.totals.records, 2);
}

/// Three records at most; the writer of the first `records` of partition 0 is replaced, and both partitions are fetched again.
fn replaced_after(records: i64) -> (Fixture, Batch) {
    let mut fixture = Fixture::bounded(Bounds { max_records: Some(3), ..Bounds::default() }, &[0, 1]);
    let batch = fixture.send(0, 10..10 + records);
    let (batches, _receiver) = crossbeam_channel::bounded(1);
    let queries = fixture.event(Event::Replaced { writer: 0, batches, generation: 1, took_too_long: false });
    let commands = fixture.answer(&queries, 10);
    fixture.move_client(&commands);
    (fixture, batch)
}

#[test]
fn records_that_a_replaced_writer_may_still_commit_are_not_exceeded() {
    let (mut fixture, batch) = replaced_after(2);
    assert_eq!(fixture.take(1, [10]).0, Taken::Done);
    assert_eq!(fixture.take(1, [11]).0, Taken::Enough, "two others may be committed");
    fixture.committed(batch);
    assert_eq!(fixture.take(1, [11]).0, Taken::Done, "it was interrupted");
    assert_eq!(fixture.source.lanes[0].open.records().count(), 1);
}

#[test]
fn records_that_a_replaced_writer_has_given_up_are_taken_again() {
    let (mut fixture, _) = replaced_after(3);
    assert_eq!(fixture.take(1, [10]).0, Taken::Enough);
    fixture.report(Report::Abandoned { writer: 0, generation: 0 });
    let (_, commands) = fixture.after(Duration::from_secs(1));
    fixture.move_client(&commands);
    assert_eq!(fixture.take(1, [10]).0, Taken::Done);
    assert_eq!(fixture.source.lanes[0].open.records().count(), 1);
}

#[test]
fn a_bounded_run_does_not_linger_once_nothing_more_is_taken() {
    let at_the_end = Bounds { until_end: true, ..Bounds::default() };
    let with_max = Bounds { max_records: Some(2), ..Bounds::default() };
    for bounds in [at_the_end, with_max] {
        let mut fixture = Fixture::bounded(bounds, &[0, 1]);
        let goal = [(tp(0), Offset(12)), (tp(1), Offset(10))];
        fixture.event(Event::Goal(goal.into_iter().collect()));
        fixture.take(0, [10]);
        assert!(sent(fixture.same_topics()).is_none(), "one more comes");
        fixture.take(0, [11]);
        let batch = sent(fixture.same_topics()).expect("it is sent at once");
        assert_eq!(span(&batch, 0), Some((10, 12, 2)));
    }
}

/// The positions that the run reports at its end.
fn reported(fixture: Fixture) -> Vec<(i32, i64)> {
    let positions = fixture.source.into_totals().positions.into_iter();
    let mut positions: Vec<_> = positions.map(|(p, position)| (p.partition.0, position.0)).collect();
    positions.sort_unstable();
    positions
}

#[test]
fn the_positions_of_all_partitions_are_reported_although_only_some_had_records() {
    let mut fixture = Fixture::fetching(&[0, 1, 2]);
    let batch = fixture.send(0, [10, 11]);
    fixture.committed(batch);
    fixture.revoke(2);
    assert_eq!(reported(fixture), [(0, 12), (1, 10), (2, 10)]);
}

#[test]
fn a_position_that_was_not_read_is_not_reported() {
    let mut fixture = Fixture::fetching(&[0]);
    let assigned = Rebalanced::Assigned(vec![tp(1), tp(2)]);
    fixture.on(Input::Rebalanced(assigned));
    fixture.revoke(2);
    assert_eq!(reported(fixture), [(0, 10)]);
}

#[test]
fn a_commit_after_the_position_was_read_again_is_reported() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10, 11]);
    fixture.revoke(0);
    // Read before the commit took place.
    fixture.assign(&[0]);
    fixture.committed(batch);
    assert_eq!(reported(fixture), [(0, 12)]);
}
