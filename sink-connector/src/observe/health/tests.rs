use super::*;

fn error(health: &Health) -> Option<String> {
    health.last_errors().first().map(|last| last.error.clone())
}

/// Makes the present problem of `component` older.
fn age(health: &Health, component: &Component, seconds: u64) {
    health.lock().problems.get_mut(component).unwrap().since -= Duration::from_secs(seconds);
}

#[test]
fn it_is_not_ready_before_the_first_connection_and_that_is_no_error() {
    let health = Health::starting();
    age(&health, &Component::Kafka, 60);
    assert!(health.ready().is_err());
    assert_eq!(error(&health), None);
    health.recovered(&Component::Kafka);
    health.recovered(&Component::Postgres);
    assert!(health.ready().is_ok());
    assert_eq!(error(&health), None);
}

#[test]
fn the_last_error_is_one_that_lasted_and_says_when_it_ended() {
    let health = Health::default();
    health.fail(Component::Writer(0), "deadlock detected");
    assert_eq!(error(&health), None);
    age(&health, &Component::Writer(0), 2);
    assert_eq!(error(&health).as_deref(), Some("writer 0: deadlock detected"));
    assert_eq!(health.last_errors()[0].recovered_timestamp, None);
    health.recovered(&Component::Writer(0));
    assert_eq!(error(&health).as_deref(), Some("writer 0: deadlock detected"));
    assert!(health.last_errors()[0].recovered_timestamp.is_some());
    health.fail(Component::Kafka, "a short one");
    health.recovered(&Component::Kafka);
    assert_eq!(error(&health).as_deref(), Some("writer 0: deadlock detected"));
}

#[test]
fn a_reason_that_changes_keeps_the_beginning() {
    let health = Health::default();
    health.fail(Component::Kafka, "refused");
    age(&health, &Component::Kafka, 9);
    let since = health.ready().unwrap_err()["problems"][0]["since"].clone();
    health.fail(Component::Kafka, "timed out");
    let problem = health.ready().unwrap_err()["problems"][0].clone();
    assert_eq!((&problem["reason"], &problem["since"]), (&json!("timed out"), &since));
}

#[test]
fn parked_tables_leave_it_ready_unless_they_are_all_or_something_else_fails() {
    let health = Health::default();
    let parked = |table: &str| Component::Parked(table.to_owned());
    health.count_tables(2);
    health.fail(parked("a"), "locked");
    health.fail(Component::Table("a".to_owned()), "it is missing");
    let body = health.ready().expect("the other table can be written");
    assert_eq!((&body["ready"], body["problems"].as_array().map(Vec::len)), (&json!(true), Some(2)));
    health.fail(Component::Table("b".to_owned()), "it is missing");
    assert!(health.ready().is_err(), "a table that was never there is not parked");
    health.recovered(&Component::Table("b".to_owned()));
    assert!(health.ready().is_ok() && health.is_clear());
    assert!(health.is_unreadable("topic", Some("a")) && !health.is_unreadable("topic", Some("b")));
    health.fail(parked("b"), "locked");
    assert!(health.ready().is_err(), "all tables are parked");
    health.recovered(&parked("b"));
    health.fail(Component::Kafka, "unreachable");
    assert!(health.ready().is_err());
}

#[test]
fn topics_that_cannot_be_read_leave_it_ready_unless_they_are_all() {
    let health = Health::default();
    let gone =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), format!("{name} is gone"))).collect();
    health.topics(2, &gone(&["a"]));
    let body = health.ready().expect("the other topic is read");
    assert_eq!(body["problems"][0], health.problems()[0]);
    assert_eq!(
        (&body["problems"][0]["component"], &body["problems"][0]["reason"]),
        (&json!("topic a"), &json!("a is gone"))
    );
    health.topics(2, &gone(&["a", "b"]));
    assert_eq!(health.ready().unwrap_err()["reason"], "a is gone");
    health.topics(2, &gone(&[]));
    assert_eq!(health.ready(), Ok(json!({"ready": true})));
}

#[test]
fn stopped_partitions_leave_it_ready_unless_they_are_all() {
    let health = Health::default();
    let stopped = |n: i32| (0..n).map(|n| (TopicPartition::new("t", n), "why".to_owned())).collect();
    health.partitions(0, stopped(0));
    assert!(health.is_clear());
    health.partitions(2, stopped(1));
    let body = health.ready().expect("the other partition goes on");
    assert_eq!(body["problems"][0]["component"], "partition t[0]");
    health.partitions(2, stopped(2));
    assert_eq!(health.ready().unwrap_err()["reason"], "why");
    age(&health, &Component::Stopped(TopicPartition::new("t", 1)), 2);
    health.partitions(2, stopped(1));
    assert!(health.ready().is_ok());
    assert_eq!(error(&health).as_deref(), Some("partition t[1]: why"));
    health.partitions(0, stopped(0));
    assert_eq!(health.ready(), Ok(json!({"ready": true})), "a revoked partition is another member's");
}

#[test]
fn a_cause_that_alternates_or_flaps_is_logged_ten_times_at_most() {
    let health = Health::default();
    let name = |n: u32| n.to_string().bytes().map(|b| char::from(b + 49)).collect::<String>();
    for n in 0..100 {
        health.fail(Component::Writer(0), name(n));
        health.recovered(&Component::Writer(0));
    }
    health.fail(Component::Writer(0), "refused");
    assert!(!health.lock().problems[&Component::Writer(0)].logged, "the minute has its lines");
    assert_eq!(health.reason(&Component::Writer(0)).as_deref(), Some("refused"), "/readyz has the latest");
    health.fail(Component::Writer(1), "refused");
    assert!(health.lock().problems[&Component::Writer(1)].logged, "that of another component is logged");
}
