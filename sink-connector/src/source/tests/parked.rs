//! Tables that cannot be written for a while.

use super::*;
use crate::batch::retry_limits::{Needs, RetryLimits};
use crate::messages::report::TableTrouble;

fn park(fixture: &mut Fixture, batch: Batch) -> Vec<Command> {
    park_for(fixture, batch, Needs::Operator)
}

fn park_for(fixture: &mut Fixture, batch: Batch, needs: Needs) -> Vec<Command> {
    let trouble = TableTrouble { table: Arc::from("t"), reason: "permission denied".to_owned(), needs };
    fixture.report(Report::Parked { writer: 0, generation: 0, batch, trouble })
}

fn unparked(commands: &[Command]) -> bool {
    has(commands, |command| matches!(command, Command::TableUnparked(table) if **table == *"t"))
}

#[test]
fn a_parked_table_is_tried_again_until_it_is_written_and_then_read_on() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10, 11]);
    let commands = park(&mut fixture, batch);
    assert!(pauses(&commands));
    assert!(has(&commands, |command| matches!(command, Command::TableParked(table, _) if **table == *"t")));
    fixture.take(0, [12]);
    assert!(!fixture.source.lanes[0].has_records(), "12 is read again later");
    assert!(sent(fixture.after(Duration::from_millis(249)).1).is_none());
    let retry = sent(fixture.after(Duration::from_millis(1)).1).expect("it is tried again");
    assert_eq!(span(&retry, 0), Some((10, 12, 2)));
    park(&mut fixture, retry);
    assert!(sent(fixture.after(Duration::from_millis(499)).1).is_none(), "the wait is doubled");
    let retry = sent(fixture.after(Duration::from_millis(1)).1).expect("it is tried again");
    let commands = fixture.committed(retry);
    assert!(unparked(&commands) && resumes(&commands));
    assert_eq!(seeks(&commands), [seek(12, false)]);
}

#[test]
fn what_a_batch_has_for_others_than_the_parked_table_is_sent_at_once() {
    let mut fixture = Fixture::fetching(&[0]);
    let other = TopicPartition::new("u", 0);
    let queries = fixture.on(Input::Rebalanced(Rebalanced::Assigned(vec![other.clone()])));
    fixture.answer(&queries, 10);
    let (low, high) = (Offset(0), Offset(12));
    let commands = fixture.event(Event::Watermarks(vec![(other.clone(), Watermarks { low, high })]));
    fixture.move_client(&commands);
    let (_, commands) = fixture.after(Duration::from_secs(1));
    fixture.move_client(&commands);
    // Two offsets without records, in one batch with a record of another table.
    fixture.on(Input::ClientPositions(vec![(other.clone(), Offset(12))]));
    let batch = fixture.send(0, [10]);
    assert_eq!(batch.spans().len(), 2, "both are in one batch");
    let rest = sent(park(&mut fixture, batch)).expect("the rest is sent");
    assert_eq!(rest.spans().len(), 1);
    assert_eq!((&rest.spans()[0].partition, rest.spans()[0].next), (&other, Offset(12)));
    fixture.committed(rest);
    assert!(fixture.source.ledger.get(&other).expect("it is ours").is_quiet());
    let retry = sent(fixture.after(Duration::from_secs(1)).1).expect("the table is tried again");
    assert_eq!(span(&retry, 0), Some((10, 11, 1)));
}

#[test]
fn a_retry_that_only_moves_a_position_because_the_records_are_another_sinks_now_ends_the_parking() {
    let mut fixture = Fixture::fetching(&[0]);
    let commands = fixture.assign(&[1]);
    fixture.move_client(&commands);
    let commands = fixture.log_ends(1, 0, 12);
    fixture.move_client(&commands);
    let (_, commands) = fixture.after(Duration::from_secs(1));
    fixture.move_client(&commands);
    // Two offsets without records, in one batch with a record of another partition.
    fixture.on(Input::ClientPositions(vec![(tp(1), Offset(12))]));
    let batch = fixture.send(0, [10]);
    assert_eq!((span(&batch, 0), span(&batch, 1)), (Some((10, 11, 1)), Some((10, 12, 0))));
    park(&mut fixture, batch);
    fixture.revoke(0);
    let retry = sent(fixture.after(Duration::from_secs(1)).1).expect("it is tried again");
    assert_eq!((span(&retry, 0), span(&retry, 1)), (None, Some((10, 12, 0))));
    let commands = fixture.committed(retry);
    assert!(unparked(&commands));
    assert!(fixture.source.ledger.get(&tp(1)).expect("it is ours").held().is_none());
}

/// The limits of a retry that is sent after this time.
fn retry_after(fixture: &mut Fixture, time: Duration) -> (Batch, RetryLimits) {
    let retry = sent(fixture.after(time).1).expect("it is tried again");
    let limits = retry.retry().expect("it is a retry");
    (retry, limits)
}

#[test]
fn a_table_that_takes_too_long_is_tried_in_fewer_records_and_in_more_after_each_commit() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, 10..15);
    park_for(&mut fixture, batch, Needs::Time);
    let (mut retry, limits) = retry_after(&mut fixture, Duration::from_millis(250));
    assert_eq!(limits, RetryLimits::FIRST.after_failure(Needs::Time, 5));
    for (from, to, limit) in [(10, 11, 1), (11, 13, 2), (13, 15, 4)] {
        assert_eq!(span(&retry, 0), Some((from, to, (to - from) as u64)));
        assert_eq!(retry.retry().expect("it is a retry").records, limit);
        let commands = fixture.committed(retry);
        assert_eq!(unparked(&commands), to == 15);
        let Some(next) = sent(commands) else { break };
        retry = next;
    }
    assert_eq!(fixture.source.lanes[0].adaptive_limit.limit(), 4, "what fits is known");
}

#[test]
fn after_a_long_retry_only_short_ones_follow_for_as_long() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10]);
    park_for(&mut fixture, batch, Needs::Time);
    let (long, limits) = retry_after(&mut fixture, Duration::from_millis(250));
    assert!(limits.statement_timeout > RetryLimits::FIRST.statement_timeout);
    fixture.now += limits.statement_timeout;
    park_for(&mut fixture, long, Needs::Time);
    let (begun, took) = (fixture.now, limits.statement_timeout);
    let longer = loop {
        let (retry, limits) = retry_after(&mut fixture, Duration::from_secs(3));
        if limits.statement_timeout != RetryLimits::FIRST.statement_timeout {
            break limits;
        }
        assert!(fixture.now < begun + took, "it is time for a longer one");
        park_for(&mut fixture, retry, Needs::Time);
    };
    assert!(fixture.now >= begun + took);
    assert_eq!(longer.statement_timeout, took * 2);
}
