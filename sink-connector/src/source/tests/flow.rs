//! Dropped records, gaps, full lanes, recreation checks.

use super::*;

#[test]
fn a_record_that_does_not_fit_is_fetched_again_when_there_is_room() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10]);
    fixture.take(0, 11..11 + FULL);
    let (taken, _) = fixture.take(0, [11 + FULL]);
    assert_eq!(taken, Taken::Enough);
    fixture.same_topics();
    let next = sent(fixture.committed(batch)).expect("the full batch is sent");
    assert_eq!(span(&next, 0), Some((11, 11 + FULL, 5)));
    fixture.take(0, [12 + FULL]);
    assert!(!fixture.source.lanes[0].has_records(), "the one before it is missing");
    let (_, commands) = fixture.after(Duration::from_secs(1));
    assert_eq!(seeks(&commands), [seek(11 + FULL, false)]);
    fixture.move_client(&commands);
    fixture.take(0, [11 + FULL]);
    assert!(fixture.source.lanes[0].has_records());
}

#[test]
fn a_seek_that_fails_is_tried_again() {
    let mut fixture = Fixture::fetching(&[0]);
    fixture.log_ends(0, 0, 12);
    let (_, commands) = fixture.after(Duration::from_secs(1));
    let to = seeks(&commands).pop().expect("a starved partition is sought");
    fixture.on(Input::Moved(to.clone(), false));
    fixture.take(0, [10]);
    assert!(!fixture.source.lanes[0].has_records(), "what comes may not be the next");
    let (_, commands) = fixture.after(Duration::from_secs(1));
    assert_eq!(seeks(&commands), [seek(10, false)]);
}

#[test]
fn offsets_without_records_are_passed_by_the_clients_position_after_a_seek() {
    let mut fixture = Fixture::fetching(&[0]);
    let commands = fixture.log_ends(0, 0, 13);
    fixture.move_client(&commands);
    let (_, commands) = fixture.after(Duration::from_secs(1));
    let reads = |command: &Command| matches!(command, Command::ReadClientPositions(_));
    assert!(!has(&commands, reads), "the position may be from before");
    assert_eq!(seeks(&commands), [seek(10, true)]);
    fixture.move_client(&commands);
    let (_, commands) = fixture.after(Duration::from_secs(1));
    assert!(has(&commands, reads));
    fixture.on(Input::ClientPositions(vec![(tp(0), Offset(13))]));
    let batch = sent(fixture.after(LINGER).1).expect("an empty batch is sent");
    assert_eq!(span(&batch, 0), Some((10, 13, 0)));
}

#[test]
fn a_position_of_the_client_is_not_used_where_records_came() {
    let mut fixture = Fixture::fetching(&[0]);
    let commands = fixture.log_ends(0, 0, 13);
    fixture.move_client(&commands);
    fixture.take(0, [10]);
    fixture.on(Input::ClientPositions(vec![(tp(0), Offset(13))]));
    assert_eq!(span(&fixture.source.lanes[0].open, 0), Some((10, 11, 1)));
}

#[test]
fn a_writer_that_makes_no_progress_is_paused_and_resumed_after_its_commit() {
    let mut fixture = Fixture::fetching(&[0]);
    let batch = fixture.send(0, [10]);
    fixture.take(0, 11..11 + FULL);
    let (next, commands) = fixture.turn();
    assert!(matches!(next, Next::Wait(_)) && !pauses(&commands), "at first it only waits");
    let (next, commands) = fixture.after(Duration::from_secs(1));
    assert!(matches!(next, Next::Poll(_)) && pauses(&commands), "polling keeps the membership");
    let commands = fixture.committed(batch);
    assert!(resumes(&commands));
    assert_eq!(seeks(&commands), [seek(11 + FULL, false)]);
}

#[test]
fn a_batch_is_sent_when_it_is_full_or_has_lingered() {
    let mut fixture = Fixture::fetching(&[0]);
    fixture.take(0, [10]);
    fixture.same_topics();
    assert!(sent(fixture.after(LINGER - Duration::from_millis(1)).1).is_none());
    let batch = sent(fixture.after(Duration::from_millis(1)).1).expect("it has lingered");
    fixture.committed(batch);
    let (taken, commands) = fixture.take(0, 11..11 + FULL);
    assert!(taken == Taken::Enough && sent(commands).is_none(), "after a pause the topic is checked");
    assert!(sent(fixture.same_topics()).is_some());
}

#[test]
fn records_after_a_pause_wait_for_the_topics_id_for_a_second_at_most() {
    let mut fixture = Fixture::fetching(&[0]);
    let (_, commands) = fixture.take(0, [10]);
    assert!(has(&commands, |command| matches!(command, Command::CompareTopics(_))));
    let (next, commands) = fixture.after(LINGER);
    assert!(matches!(next, Next::Wait(_)) && sent(commands).is_none());
    assert!(sent(fixture.after(Duration::from_millis(799)).1).is_none());
    assert!(
        sent(fixture.after(Duration::from_millis(1)).1).is_some(),
        "a broker that does not answer is no reason to stop"
    );
}

#[test]
fn an_answer_from_before_the_record_does_not_confirm_its_topic() {
    let mut fixture = Fixture::fetching(&[0]);
    let before = fixture.now;
    fixture.now += Duration::from_millis(10);
    fixture.take(0, [10]);
    fixture.event(Event::SameTopics { at: before, topics: vec![Arc::from("t")] });
    assert!(sent(fixture.after(LINGER).1).is_none());
}
