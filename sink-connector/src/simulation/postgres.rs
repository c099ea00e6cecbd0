//! A model of PostgreSQL: positions that are moved by compare-and-swap, rows, and failures. It checks what every commit
//! must keep.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kafka::{Cluster, Entry};
use super::random::Random;
use crate::batch::{Batch, example};
use crate::decode::{Reason, Rejection};
use crate::messages::report::BatchCounts;
use crate::positions::span::Span;
use crate::postgres::failure::Failure;
use crate::postgres::sqlstate::classify;
use crate::rejects::dead_letters::DeadLetter;
use crate::rejects::policy::{Decision, Policy};
use crate::table::plan::Plan;
use crate::table::plan_cache::Plans;
use crate::types::{Offset, TopicPartition};
use crate::writer::database::Database;
use crate::writer::simulated::SlowDatabase;
use crate::writer::strategy::Strategy;
use crate::writer::transaction::{Attempt, RolledBack};

/// How an attempt ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// As it should.
    Answered,
    /// With this SQLSTATE.
    Fails(&'static str),
    /// The connection breaks before COMMIT.
    Breaks,
    /// The connection breaks instead of the answer of COMMIT, before or after it takes place.
    Unanswered { committed: bool },
    /// The session hangs, before or after COMMIT takes place.
    Hangs { committed: bool },
}

/// The server.
pub(super) struct Postgres {
    cluster: Rc<RefCell<Cluster>>,
    /// The stored positions.
    pub(super) positions: BTreeMap<TopicPartition, Offset>,
    /// The version of the last record of each key.
    rows: BTreeMap<i32, i32>,
    /// Whether each record that has an outcome became a row.
    outcomes: BTreeMap<(TopicPartition, i64), bool>,
    /// Counts the changes of the table.
    pub(super) table: u32,
    /// The table refuses rows whose version is a multiple of this.
    pub(super) refuses: Option<i32>,
    /// The server cannot be reached until then.
    pub(super) down_until: Instant,
    /// How the next attempts end; then they are answered.
    pub(super) fates: VecDeque<Fate>,
    /// Statements of more records than this are cancelled.
    pub(super) slow_above: Option<usize>,
    pub(super) commits: u64,
}

impl Postgres {
    /// An empty server for the records of a cluster.
    pub(super) fn new(cluster: Rc<RefCell<Cluster>>, now: Instant) -> Self {
        Self {
            cluster,
            positions: BTreeMap::new(),
            rows: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            table: 0,
            refuses: None,
            down_until: now,
            fates: VecDeque::new(),
            slow_above: None,
            commits: 0,
        }
    }

    /// The plan of the table as it is now.
    pub(super) fn plan(&self) -> Plan {
        example::plan_of_version(true, &self.table.to_string())
    }

    fn refused(&self, version: i32) -> bool {
        self.refuses.is_some_and(|of| version % of == 0)
    }

    /// The key and version of a record of the batch, which must be as they are in the log.
    fn record(&self, batch: &Batch, number: u32) -> (i32, i32) {
        let record = batch.records().get(number);
        let partition = &batch.spans()[usize::from(record.span)].partition;
        let cluster = self.cluster.borrow();
        let offset = usize::try_from(record.offset).expect("an offset");
        let Entry::Record { key, version, bytes } = &cluster.logs[partition][offset] else {
            panic!("{partition} at {offset} is a marker, not a record");
        };
        let incoming = batch.records().incoming(number);
        assert_eq!(incoming.payload, Some(bytes.1.as_bytes()), "{partition} at {offset}");
        (*key, *version)
    }

    /// Whether everything that the batch moves is where it expects.
    fn fenced(&self, spans: &[Span]) -> bool {
        spans.iter().any(|span| self.positions.get(&span.partition) != Some(&span.expected))
    }

    /// Commits a batch: positions, rows and dead letters. Every record between the old and the new position must be in it,
    /// must have had no outcome, and must be later than what its key has.
    fn commit(&mut self, batch: &Batch) {
        self.commits += 1;
        for span in batch.spans() {
            assert!(span.next >= span.expected, "{} goes back", span.partition);
            self.check_complete(batch, span);
            self.positions.insert(span.partition.clone(), span.next);
        }
        for number in 0..u32::try_from(batch.records().count()).expect("a small batch") {
            let (key, version) = self.record(batch, number);
            let record = batch.records().get(number);
            let partition = batch.spans()[usize::from(record.span)].partition.clone();
            let written = !self.refused(version);
            let before = self.outcomes.insert((partition.clone(), record.offset), written);
            assert_eq!(before, None, "{partition} at {} has two outcomes", record.offset);
            if written {
                let before = self.rows.insert(key, version);
                assert!(before.is_none_or(|before| before < version), "key {key} goes back to {version}");
            }
        }
    }

    fn check_complete(&self, batch: &Batch, span: &Span) {
        let cluster = self.cluster.borrow();
        let log = &cluster.logs[&span.partition];
        assert!(span.next.0 <= i64::try_from(log.len()).expect("a short log"), "beyond the end");
        let moved = span.expected.0..span.next.0;
        let in_log = moved.clone().filter(|offset| {
            let offset = usize::try_from(*offset).expect("an offset");
            matches!(log[offset], Entry::Record { .. })
        });
        let of_span = |number: &u32| {
            let record = batch.records().get(*number);
            batch.spans()[usize::from(record.span)].partition == span.partition
        };
        let numbers = 0..u32::try_from(batch.records().count()).expect("a small batch");
        let in_batch: Vec<i64> =
            numbers.filter(of_span).map(|number| batch.records().get(number).offset).collect();
        let in_log: Vec<i64> = in_log.collect();
        assert_eq!(
            in_batch, in_log,
            "the records of {} in a batch that moves it over {moved:?}",
            span.partition
        );
    }

    /// The rows that are encoded must be those of the last record of each key.
    fn check_rows(&self, batch: &Batch) {
        let numbers = 0..u32::try_from(batch.records().count()).expect("a small batch");
        let last: BTreeMap<i32, i32> = numbers.map(|number| self.record(batch, number)).collect();
        let mut encoded = BTreeMap::new();
        for table in batch.tables() {
            assert_eq!(table.plan.fingerprint, self.table.to_string(), "rows for another table");
            for row in table.rows.rows().iter().filter(|row| !row.superseded) {
                let fields: Vec<i32> = table.rows.fields(row.tuple).map(|(_, field)| int(field)).collect();
                encoded.insert(fields[0], fields[1]);
            }
        }
        assert_eq!(encoded, last);
    }

    /// All records have an outcome, all positions are at the ends, and every key has its last record.
    pub(super) fn is_complete(&self) -> bool {
        let cluster = self.cluster.borrow();
        cluster.logs.keys().all(|p| self.positions.get(p).copied().unwrap_or(Offset(0)) == cluster.end(p))
    }

    /// Checks that [`Self::is_complete`] means what it should.
    pub(super) fn check_complete_state(&self) {
        let cluster = self.cluster.borrow();
        let mut rows = BTreeMap::new();
        for (partition, log) in &cluster.logs {
            for (offset, entry) in (0_i64..).zip(log) {
                if let Entry::Record { key, version, .. } = entry {
                    let written = self.outcomes.get(&(partition.clone(), offset));
                    assert!(written.is_some(), "{partition} at {offset} has no outcome");
                    if written == Some(&true) {
                        rows.insert(*key, *version);
                    }
                }
            }
        }
        assert_eq!(self.rows, rows);
    }
}

fn int(field: Option<&[u8]>) -> i32 {
    i32::from_be_bytes(field.expect("not null").try_into().expect("four bytes"))
}

/// A writer's session.
pub(super) struct Session<'a> {
    pub(super) postgres: &'a mut Postgres,
    pub(super) random: &'a mut Random,
    pub(super) plans: &'a Plans,
    pub(super) policy: &'a Policy,
    pub(super) writer: usize,
    /// How its attempt ends.
    pub(super) fate: &'a mut Option<Fate>,
    /// Its last attempt found the positions where it expected them.
    pub(super) past_the_fence: &'a mut bool,
    pub(super) now: Instant,
}

impl Session<'_> {
    fn decide(&self, batch: &Batch, refused: &[u32]) -> Decision {
        let rejection = Rejection {
            reason: Reason::Refused,
            column: None,
            wider: None,
            detail: "a constraint".to_owned(),
        };
        let dead_letter = |record: &u32| DeadLetter { record: *record, rejection: &rejection, failure: None };
        let dead_letters: Vec<_> = refused.iter().map(dead_letter).collect();
        self.policy.decide(self.writer, batch, &dead_letters)
    }

    /// Everything of the transaction but its COMMIT.
    fn write(&mut self, batch: &Batch, strategy: Strategy) -> Result<BatchCounts, RolledBack> {
        let table = self.postgres.table.to_string();
        if batch.tables().any(|rows| rows.plan.fingerprint != table) {
            return Err(RolledBack::TableChanged);
        }
        let numbers = 0..u32::try_from(batch.records().count()).expect("a small batch");
        let refused: Vec<u32> =
            numbers.filter(|n| self.postgres.refused(self.postgres.record(batch, *n).1)).collect();
        if !refused.is_empty() && strategy <= Strategy::Runs {
            return Err(RolledBack::Refused { why: "a constraint".to_owned() });
        }
        self.postgres.check_rows(batch);
        match self.decide(batch, &refused) {
            Decision::Commit => {}
            Decision::Stop(firsts) => return Err(RolledBack::Intolerable(firsts)),
            Decision::Trip(topics) => return Err(RolledBack::Tripped(topics)),
        }
        let partition_of =
            |n: &u32| batch.spans()[usize::from(batch.records().get(*n).span)].partition.clone();
        Ok(BatchCounts {
            written: vec![("t".to_owned(), (batch.records().count() - refused.len()) as u64)],
            dead_letters: refused.iter().map(|n| (partition_of(n), Reason::Refused.as_str())).collect(),
            ..BatchCounts::default()
        })
    }

    fn connection_lost() -> Failure {
        Failure { connection_lost: true, ..Failure::transient("connection lost") }
    }
}

impl SlowDatabase for Session<'_> {
    fn begin(&mut self) -> Option<Duration> {
        let fate = if self.now < self.postgres.down_until {
            Fate::Breaks
        } else {
            self.postgres.fates.pop_front().unwrap_or(Fate::Answered)
        };
        *self.fate = Some(fate);
        (!matches!(fate, Fate::Hangs { .. })).then(|| self.random.millis(2, 40))
    }

    fn past_the_fence(&self) -> bool {
        *self.past_the_fence
    }

    fn wait(&mut self) -> Duration {
        self.random.millis(100, 2_000)
    }
}

impl Database for Session<'_> {
    fn attempt(&mut self, batch: &Batch, strategy: Strategy) -> Result<Attempt, Failure> {
        let fate = self.fate.take().unwrap_or(Fate::Answered);
        *self.past_the_fence = false;
        if fate == Fate::Breaks {
            return Err(Self::connection_lost());
        }
        if self.postgres.fenced(batch.spans()) {
            return Ok(Attempt::RolledBack(RolledBack::Fenced));
        }
        *self.past_the_fence = true;
        match fate {
            Fate::Fails(code) => {
                let failure = Failure::transient(code);
                return Err(Failure {
                    class: classify(code, None, ""),
                    sqlstate: Some(code.to_owned()),
                    connection_lost: true,
                    ..failure
                });
            }
            Fate::Breaks | Fate::Answered | Fate::Unanswered { .. } | Fate::Hangs { .. } => {}
        }
        if self.postgres.slow_above.is_some_and(|most| batch.records().count() > most) {
            let failure = Failure::transient("canceling statement due to statement timeout");
            return Err(Failure { sqlstate: Some("57014".to_owned()), connection_lost: true, ..failure });
        }
        let counts = match self.write(batch, strategy) {
            Ok(counts) => counts,
            Err(_) if matches!(fate, Fate::Hangs { .. }) => return Err(Self::connection_lost()),
            Err(why) => return Ok(Attempt::RolledBack(why)),
        };
        let committed = match fate {
            Fate::Unanswered { committed } | Fate::Hangs { committed } => committed,
            Fate::Answered | Fate::Fails(_) | Fate::Breaks => true,
        };
        if committed {
            self.postgres.commit(batch);
        }
        if fate == Fate::Answered {
            return Ok(Attempt::Committed(counts));
        }
        Ok(Attempt::Unanswered { failure: Self::connection_lost(), counts })
    }

    fn climb(&mut self, _: &str) {}

    fn stored_is_next(&mut self, batch: &Batch) -> Result<bool, Failure> {
        Ok(batch.spans().iter().all(|span| self.postgres.positions.get(&span.partition) == Some(&span.next)))
    }

    fn renew_plans(&mut self, _: &Batch) -> Result<HashMap<String, Arc<Plan>>, Failure> {
        if self.now < self.postgres.down_until {
            return Err(Self::connection_lost());
        }
        Ok(HashMap::from([("t".to_owned(), self.plans.renewed("t", self.postgres.plan()))]))
    }

    fn create_dead_letters(&mut self) {}
}
