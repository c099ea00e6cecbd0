//! Tables that cannot be written for a while.

use super::*;
use crate::messages::report::TableTrouble;

fn park(fixture: &mut Fixture, batch: Batch) -> Vec<Command> {
    let trouble =
        TableTrouble { table: Arc::from("t"), reason: "permission denied".to_owned(), undecided: false };
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
