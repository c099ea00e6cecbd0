use super::*;

fn active(position: i64) -> AssignedPartition {
    let mut partition = AssignedPartition::assigned(0, 1);
    assert!(partition.resolved(1, Offset(position)));
    partition
}

#[test]
fn the_result_of_an_older_query_is_ignored() {
    let mut partition = AssignedPartition::assigned(0, 1);
    assert!(partition.resolve_again(2));
    assert!(!partition.resolved(1, Offset(5)));
    assert!(partition.resolved(2, Offset(7)));
    assert_eq!((partition.stored(), partition.next()), (Offset(7), Offset(7)));
    assert!(!partition.resolved(2, Offset(9)), "it is answered");
}

#[test]
fn a_commit_from_before_a_reread_is_not_progress() {
    let mut partition = active(10);
    partition.taken(Offset(19));
    partition.handed_over(Offset(20));
    partition.resolve_again(2);
    assert!(!partition.committed(Offset(20)));
    partition.resolved(2, Offset(15));
    assert!(!partition.committed(Offset(20)), "handed is back at 15");
}

#[test]
fn a_part_of_what_was_handed_over_does_not_change_what_follows() {
    let mut partition = active(10);
    partition.taken(Offset(19));
    partition.handed_over(Offset(20));
    partition.handed_over(Offset(15));
    assert!(partition.committed(Offset(15)));
    assert_eq!(partition.handed, Offset(20));
    partition.resolve_again(2);
    partition.resolved(2, Offset(15));
    assert_eq!(partition.handed, Offset(15));
}

#[test]
fn a_stopped_partition_stays_stopped() {
    let mut partition = AssignedPartition::assigned(0, 1);
    assert!(partition.stop(Stopped::LostPosition("gone".into())));
    assert!(!partition.stop(Stopped::LostPosition("gone".into())));
    assert!(!partition.resolved(1, Offset(0)));
    assert!(!partition.resolve_again(2));
}

#[test]
fn a_partition_goes_on_when_the_table_of_its_position_is_back() {
    let mut partition = active(10);
    assert!(partition.stop(Stopped::TableRecreated("another".into(), Offset(10))));
    assert!(partition.is_queried_again(2) && partition.has_stopped());
    assert!(!partition.resolved(1, Offset(10)), "an older query");
    assert!(partition.resolved(2, Offset(10)) && partition.is_active() && partition.takes(Offset(10)));
    assert!(partition.stop(Stopped::LostPosition("gone".into())));
    assert!(!partition.is_queried_again(3) && !partition.resolved(3, Offset(10)));
}

#[test]
fn in_another_log_there_is_no_position_and_no_lag() {
    let mut partition = active(10);
    partition.ends_at(Offset(3));
    assert!(partition.stop(Stopped::TopicRecreated("another".into())));
    assert!(!partition.is_known() && partition.lag().is_none());
}

#[test]
fn after_a_dropped_record_nothing_is_taken_until_the_client_was_moved() {
    let mut partition = active(10);
    assert!(partition.takes(Offset(10)));
    partition.taken(Offset(10));
    assert!(!partition.takes(Offset(10)), "it was taken");
    partition.interrupted();
    assert!(!partition.takes(Offset(12)), "11 is missing");
    partition.moved(false);
    assert!(!partition.takes(Offset(11)) && partition.is_interrupted());
    partition.moved(true);
    assert!(partition.takes(Offset(11)) && partition.takes(Offset(12)), "offsets have gaps");
}

#[test]
fn the_clients_position_counts_only_after_a_record_or_a_move_while_idle() {
    let mut partition = active(10);
    assert!(!partition.is_followed());
    partition.taken(Offset(10));
    assert!(partition.is_followed());
    partition.moved(true);
    assert!(!partition.is_followed());
    partition.moved_while_idle(true);
    assert!(partition.is_followed());
    partition.passed_gap(Offset(13));
    assert!(!partition.takes(Offset(12)) && partition.takes(Offset(13)));
}

#[test]
fn a_held_partition_takes_nothing_and_gives_back_what_no_writer_has() {
    let mut partition = active(10);
    partition.taken(Offset(10));
    partition.handed_over(Offset(11));
    partition.taken(Offset(11));
    partition.hold(HeldBy::Breaker, Arc::from("too many"));
    partition.gave_back(None);
    assert_eq!(partition.next(), Offset(11));
    assert!(!partition.takes(Offset(11)) && !partition.is_interrupted(), "the breaker is open");
    assert!(!partition.release(HeldBy::Table) && partition.release(HeldBy::Breaker));
    assert!(!partition.takes(Offset(11)) && partition.is_interrupted(), "it must be fetched again");
}

#[test]
fn it_is_starved_only_if_its_log_has_more_and_nothing_holds_it_back() {
    let mut partition = active(10);
    assert!(!partition.is_starved(), "the end is not known");
    partition.ends_at(Offset(12));
    assert!(partition.is_starved());
    partition.taken(Offset(10));
    partition.handed_over(Offset(11));
    assert!(partition.committed(Offset(11)));
    assert!(!partition.is_starved(), "a record has just been taken");
    partition.ticked();
    assert!(partition.is_starved());
    partition.ends_at(Offset(11));
    assert!(!partition.is_starved(), "it is at its end");
}
