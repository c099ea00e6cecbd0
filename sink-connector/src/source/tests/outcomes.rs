//! Breakers, stopped partitions, commits to Kafka.

use std::collections::BTreeMap;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::*;

fn trip(fixture: &mut Fixture, batch: Batch) -> Vec<Command> {
    let topics = BTreeMap::from([(Arc::from("t"), "too many".to_owned())]);
    fixture.report(Report::Tripped { writer: 0, generation: 0, batch, topics })
}

#[test]
fn an_open_breaker_pauses_its_topic_and_retries_its_records_until_they_are_committed() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10, 11]);
    fixture.take(0, [12]);
    assert!(pauses(&trip(&mut fixture, batch)));
    fixture.take(0, [13]);
    assert!(!fixture.source.lanes[0].has_records(), "12 is read again later, 13 after it");
    let (_, commands) = fixture.after(Duration::from_secs(29));
    assert!(sent(commands).is_none() && seeks(&fixture.turn().1).is_empty());
    let probe = sent(fixture.after(Duration::from_secs(1)).1).expect("it is retried");
    assert!(probe.is_probe());
    assert_eq!(span(&probe, 0), Some((10, 12, 2)));
    trip(&mut fixture, probe);
    let probe = sent(fixture.after(Duration::from_secs(30)).1).expect("it is retried again");
    let commands = fixture.committed(probe);
    assert!(has(&commands, |command| matches!(command, Command::CloseBreaker(_))) && resumes(&commands));
    assert_eq!(seeks(&commands), [seek(12, false)]);
}

#[test]
fn each_retry_of_an_open_breaker_grows_by_the_records_that_follow_two_windows_at_most() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10, 11]);
    let commands = trip(&mut fixture, batch);
    assert!(resumes(&commands));
    fixture.move_client(&commands);
    fixture.take(0, [12, 14]);
    assert!(!fixture.source.lanes[0].has_records(), "they wait for the retry");
    // First, whether they are of the same topic.
    let (_, commands) = fixture.after(Duration::from_secs(30));
    assert!(pauses(&commands) && has(&commands, |command| matches!(command, Command::CompareTopics(_))));
    assert!(sent(commands).is_none());
    fixture.take(0, [15]);
    fixture.same_topics();
    let probe = sent(fixture.turn().1).expect("it is retried");
    assert_eq!((span(&probe, 0), probe.is_probe()), (Some((10, 15, 4)), true));
    // A window has 4 records: there is room for 8.
    let commands = trip(&mut fixture, probe);
    fixture.move_client(&commands);
    let (_, commands) = fixture.take(0, 15..30);
    assert!(pauses(&commands));
    fixture.after(Duration::from_secs(30));
    fixture.same_topics();
    let probe = sent(fixture.turn().1).expect("it is retried");
    assert_eq!(span(&probe, 0), Some((10, 23, 12)));
    assert!(resumes(&trip(&mut fixture, probe)), "and so on");
    let (_, commands) = fixture.after(Duration::from_secs(30));
    let probe = sent(commands).expect("nothing follows: it is retried without a check");
    assert_eq!(span(&probe, 0), Some((10, 23, 12)));
    let commands = fixture.committed(probe);
    assert!(has(&commands, |command| matches!(command, Command::CloseBreaker(_))) && resumes(&commands));
    assert_eq!(seeks(&commands), [seek(23, false)]);
}

#[test]
fn what_a_retry_would_have_grown_by_is_dropped_with_its_partition() {
    let mut fixture = Fixture::fetching(&[0, 1]);
    let batch = fixture.send(0, [10]);
    let commands = trip(&mut fixture, batch);
    fixture.move_client(&commands);
    fixture.take(0, [11]);
    fixture.take(1, [10]);
    assert_eq!(fixture.source.taken, 3);
    let commands = fixture.revoke(0);
    assert!(has(&commands, |command| matches!(command, Command::CloseBreaker(_))));
    assert_eq!(fixture.source.taken, 1);
    let batch = sent(fixture.turn().1).expect("the other partition's goes on");
    assert_eq!((span(&batch, 0), span(&batch, 1)), (None, Some((10, 11, 1))));
    assert!(!batch.is_probe());
}

#[test]
fn records_that_are_queued_behind_a_breaker_are_not_read_again() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10, 11]);
    // The writer wants smaller batches: the rest is queued.
    let size = crate::messages::report::Size::Smaller;
    let commands = fixture.report(Report::Returned { writer: 0, generation: 0, batch, size });
    let first = sent(commands).expect("the first half is sent");
    assert_eq!(span(&first, 0), Some((10, 11, 1)));
    trip(&mut fixture, first);
    assert_eq!(fixture.source.ledger.get(&tp(0)).expect("it is ours").next(), Offset(12));
}

#[test]
fn the_breaker_of_a_revoked_partition_closes() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10]);
    trip(&mut fixture, batch);
    assert!(has(&fixture.revoke(0), |command| matches!(command, Command::CloseBreaker(_))));
}

#[test]
fn retention_past_the_next_record_stops_the_partition_after_what_was_read_is_written() {
    let mut fixture = Fixture::fetching(&[0, 1]);
    let batch = fixture.send(0, [10]);
    fixture.log_ends(0, 15, 20);
    assert!(fixture.source.ledger.stopped().is_empty(), "10 exists only here");
    fixture.committed(batch);
    fixture.after(Duration::from_secs(1));
    assert!(pauses(&fixture.log_ends(0, 15, 20)));
    assert_eq!(fixture.source.ledger.stopped().len(), 1);
    fixture.take(0, [15]);
    fixture.take(1, [10]);
    assert_eq!(span(&fixture.source.lanes[0].open, 0), None);
    assert_eq!(span(&fixture.source.lanes[0].open, 1), Some((10, 11, 1)), "the others go on");
}

#[test]
fn a_position_beyond_the_log_stops_the_partition_when_it_was_seen_three_times_over_ten_seconds() {
    let mut fixture = Fixture::fetching(&[0]);
    for _ in 0..2 {
        fixture.log_ends(0, 0, 5);
        fixture.now += Duration::from_secs(10);
    }
    assert!(fixture.source.ledger.stopped().is_empty());
    fixture.log_ends(0, 0, 5);
    assert_eq!(fixture.source.ledger.stopped()[0].1.as_str(), "beyond_log_end");
}

#[test]
fn an_end_that_is_older_than_the_position_does_not_stop_the_partition() {
    let mut fixture = Fixture::fetching(&[0]);
    for offset in 10..20 {
        let batch = fixture.send(0, [offset]);
        fixture.committed(batch);
        fixture.log_ends(0, 0, offset);
        fixture.now += Duration::from_secs(10);
    }
    assert!(fixture.source.ledger.stopped().is_empty(), "records still arrive");
}

#[test]
fn records_of_a_recreated_topic_are_dropped() {
    let mut fixture = Fixture::fetching(&[0]);
    fixture.take(0, [10]);
    fixture.event(Event::Recreated { topic: Arc::from("t"), why: "another id".to_owned() });
    assert!(!fixture.source.lanes[0].has_records());
    assert_eq!(fixture.source.ledger.stopped()[0].1.as_str(), "topic_recreated");
}

#[test]
fn a_stored_position_is_committed_to_kafka_and_again_if_kafka_refuses_it() {
    let mut fixture = Fixture::fetching(&[0]);
    assert_eq!(commits(&fixture.turn().1), [(tp(0), Offset(10))], "lag tools need one from the start");
    let batch = fixture.send(0, [10]);
    assert!(commits(&fixture.after(Duration::from_secs(1)).1).is_empty(), "not before PostgreSQL");
    fixture.committed(batch);
    assert_eq!(commits(&fixture.after(Duration::from_secs(1)).1), [(tp(0), Offset(11))]);
    fixture.on(Input::CommitOutcome { succeeded: false, failed: vec![tp(0)] });
    assert_eq!(commits(&fixture.after(Duration::from_secs(1)).1), [(tp(0), Offset(11))]);
    fixture.on(Input::CommitOutcome { succeeded: false, failed: vec![tp(0)] });
    fixture.revoke(0);
    assert!(commits(&fixture.after(Duration::from_secs(1)).1).is_empty(), "it is another member's");
}

#[test]
fn a_member_that_the_group_refuses_recovers_with_an_assignment_or_a_commit() {
    let refused = KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed);
    let accepted = |commands: &[Command]| has(commands, |command| matches!(command, Command::GroupAccepted));
    let mut fixture = Fixture::new(Bounds::default(), 1);
    let commands = fixture.on(Input::KafkaError(refused.clone()));
    assert!(has(&commands, |command| matches!(command, Command::GroupRefused(_))));
    assert!(accepted(&fixture.on(Input::Rebalanced(Rebalanced::Assigned(vec![tp(0)])))));
    assert!(!accepted(&fixture.on(Input::CommitOutcome { succeeded: true, failed: Vec::new() })));
    fixture.on(Input::KafkaError(refused));
    assert!(accepted(&fixture.on(Input::CommitOutcome { succeeded: true, failed: Vec::new() })));
}
