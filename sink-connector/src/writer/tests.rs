//! The writer with a database that answers by a script.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use shared::signal::Shutdown;

use super::strategy::Strategy;
use super::*;
use crate::batch::example;
use crate::config::{DeadLetters as Destination, Errors, Tolerance};
use crate::kafka::record::Incoming;
use crate::messages::report::BatchCounts;
use crate::messages::wakeup::WakeUp;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::positions::stored::Offsets;
use crate::postgres::connect::Connector;
use crate::postgres::session::Connections;
use crate::postgres::sql::TableName;
use crate::rejects::dead_letters::DeadLetters;
use crate::rejects::policy::Policy;
use crate::table::plan::Plan;
use crate::table::plan_cache::Plans;
use crate::types::Offset;

/// A call that the writer made to the database.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Attempt(Strategy, usize),
    Climb(String),
    Positions,
    Plans,
    DeadLetters,
}

struct Script {
    attempts: VecDeque<Result<Attempt, Failure>>,
    stored_is_next: bool,
    plan: Arc<Plan>,
    wakeup: Arc<WakeUp>,
    calls: Vec<Call>,
}

impl Database for Script {
    fn attempt(&mut self, batch: &Batch, strategy: Strategy) -> Result<Attempt, Failure> {
        self.calls.push(Call::Attempt(strategy, batch.records().count()));
        // The wait that may follow ends at once.
        self.wakeup.notify();
        self.attempts.pop_front().expect("the script has an answer for every attempt")
    }

    fn climb(&mut self, label: &str) {
        self.calls.push(Call::Climb(label.to_owned()));
    }

    fn stored_is_next(&mut self, _: &Batch) -> Result<bool, Failure> {
        self.calls.push(Call::Positions);
        Ok(self.stored_is_next)
    }

    fn renew_plans(&mut self, _: &Batch) -> Result<HashMap<String, Arc<Plan>>, Failure> {
        self.calls.push(Call::Plans);
        Ok(HashMap::from([("t".to_owned(), Arc::clone(&self.plan))]))
    }

    fn create_dead_letters(&mut self) {
        self.calls.push(Call::DeadLetters);
    }
}

fn context() -> WriterContext {
    let health = Arc::new(Health::default());
    let errors = Errors {
        tolerance: Tolerance::All,
        dead_letters: Destination::Table,
        dead_letter_table: "d".to_owned(),
        dead_letter_topic: None,
        breaker_ratio: 0.5,
        breaker_window_records: 1000,
        breaker_retry: Duration::from_secs(30),
    };
    WriterContext {
        connections: Connections::new(&Arc::new(Connector::of("host=/nowhere")), 1),
        deadline: Duration::from_secs(60),
        offsets: Offsets::new(&TableName::parse("o"), "c"),
        dead_letters: DeadLetters::new(&TableName::parse("d"), "c"),
        policy: Arc::new(Policy::new(&errors)),
        plans: Arc::new(Plans::new(HashMap::new(), None, Arc::clone(&health))),
        health,
        metrics: Arc::new(Metrics::new("c")),
        rejections: Arc::default(),
        wakeup: Arc::default(),
        shutdown: Shutdown::new(),
    }
}

fn writer(attempts: impl IntoIterator<Item = Result<Attempt, Failure>>) -> Writer<Script> {
    let shared = Arc::new(context());
    let database = Script {
        attempts: attempts.into_iter().collect(),
        stored_is_next: false,
        plan: example::plan(false),
        wakeup: Arc::clone(&shared.wakeup),
        calls: Vec::new(),
    };
    Writer { number: 0, generation: 1, shared, progress: Arc::default(), database, returned: None }
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// Records at the offsets 0 to `records`, each with a key of its own.
fn batch(records: i64) -> Batch {
    let (mut batch, plan) = (Batch::default(), example::plan(false));
    let span = batch.span(&partition(), Offset(0));
    for offset in 0..records {
        let key = format!(r#"{{"id":{offset}}}"#);
        let incoming = Incoming {
            offset,
            timestamp: None,
            payload: Some(br#"{"v":1}"#),
            key: Some(key.as_bytes()),
            headers: None,
        };
        batch.push(span, &plan, &incoming, &mut Cells::default());
    }
    batch
}

fn rolled_back(why: RolledBack) -> Result<Attempt, Failure> {
    Ok(Attempt::RolledBack(why))
}

fn committed(rows: u64) -> Result<Attempt, Failure> {
    Ok(Attempt::Committed(counts(rows)))
}

fn counts(rows: u64) -> BatchCounts {
    BatchCounts { written: vec![("t".to_owned(), rows)], ..BatchCounts::default() }
}

fn statement_timeout() -> Failure {
    Failure { sqlstate: Some("57014".to_owned()), ..Failure::transient("canceling statement") }
}

fn intolerable(offset: i64) -> RejectedRecord {
    RejectedRecord { partition: partition(), offset: Offset(offset), reason: String::new() }
}

impl Writer<Script> {
    fn batches(&self, outcome: &str) -> u64 {
        self.shared.metrics.batches.with_label_values(&[outcome]).get()
    }

    fn rows(&self) -> u64 {
        self.shared.metrics.rows_written.with_label_values(&["t"]).get()
    }
}

#[test]
fn each_step_calls_the_database_and_each_attempt_is_counted_once() {
    let mut writer = writer([
        rolled_back(RolledBack::Conflict { label: "t".to_owned() }),
        rolled_back(RolledBack::TableChanged),
        rolled_back(RolledBack::Refused { why: "a constraint".to_owned() }),
        committed(3),
    ]);
    let Report::Committed { batch, .. } = writer.write(batch(3)) else { panic!("not committed") };
    assert_eq!(batch.records().count(), 3);
    let expected = [
        Call::Attempt(Strategy::Whole, 3),
        Call::Climb("t".to_owned()),
        Call::Attempt(Strategy::Whole, 3),
        Call::Plans,
        Call::Attempt(Strategy::Whole, 3),
        Call::Attempt(Strategy::Bisect, 3),
    ];
    assert_eq!(writer.database.calls, expected);
    let counted = ["conflict", "refused", "committed", "failed"].map(|outcome| writer.batches(outcome));
    assert_eq!((counted, writer.rows()), ([1, 1, 1, 0], 3));
}

#[test]
fn an_unanswered_commit_that_took_place_counts_its_rows() {
    let lost = Failure::transient("connection lost");
    let mut writer = writer([
        Ok(Attempt::Unanswered { failure: lost, counts: counts(3) }),
        rolled_back(RolledBack::Fenced),
    ]);
    writer.database.stored_is_next = true;
    assert!(matches!(writer.write(batch(3)), Report::Committed { .. }));
    assert_eq!(writer.database.calls[1..], [Call::Attempt(Strategy::Whole, 3), Call::Positions]);
    assert_eq!((writer.rows(), writer.batches("committed"), writer.batches("fenced")), (3, 1, 0));
    assert!(writer.shared.health.is_ok(&Component::Writer(0)));
}

#[test]
fn a_fenced_batch_counts_no_row() {
    let mut writer = writer([rolled_back(RolledBack::Fenced)]);
    assert!(matches!(writer.write(batch(3)), Report::Fenced { .. }));
    assert_eq!((writer.rows(), writer.batches("fenced"), writer.shared.metrics.fenced.get()), (0, 1, 1));
}

#[test]
fn before_an_intolerable_record_the_rest_is_committed() {
    let mut writer = writer([rolled_back(RolledBack::Intolerable(vec![intolerable(2)])), committed(2)]);
    let Report::Committed { batch, rejected, .. } = writer.write(batch(5)) else { panic!("not committed") };
    assert_eq!((batch.records().count(), batch.spans()[0].next), (2, Offset(2)));
    assert_eq!(rejected, [intolerable(2)]);
}

#[test]
fn a_batch_that_was_cut_is_returned_as_it_was_handed_over() {
    let mut writer = writer([
        rolled_back(RolledBack::Intolerable(vec![intolerable(4)])),
        rolled_back(RolledBack::Intolerable(vec![intolerable(3)])),
        Err(statement_timeout()),
    ]);
    writer.progress.enter(crate::messages::progress::Phase::Rows);
    let Report::Returned { batch, size, .. } = writer.write(batch(5)) else { panic!("not returned") };
    assert_eq!((batch.records().count(), batch.spans()[0].next, size), (5, Offset(5), Size::Smaller));
    assert_eq!(writer.database.calls[2], Call::Attempt(Strategy::Whole, 3));
}

#[test]
fn a_failure_is_visible_until_the_batch_is_committed() {
    let mut writer = writer([Err(Failure::transient("connection lost"))]);
    writer.shared.shutdown.request();
    assert!(matches!(writer.write(batch(3)), Report::Abandoned { .. }));
    assert!(!writer.shared.health.is_ok(&Component::Writer(0)));
    writer.database.attempts.push_back(committed(3));
    assert!(matches!(writer.write(batch(3)), Report::Committed { .. }));
    assert!(writer.shared.health.is_ok(&Component::Writer(0)));
    assert_eq!((writer.batches("failed"), writer.batches("committed")), (1, 1));
}
