//! A model of PostgreSQL: positions that are moved by compare-and-swap, rows, and failures. It checks what every commit
//! must keep.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use super::kafka::{Cluster, Content, Entry};
use crate::batch::rows::Op;
use crate::batch::{Batch, example};
use crate::positions::span::Span;
use crate::table::plan::Plan;
use crate::types::{Offset, TopicPartition};

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

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Applied,
    DeadLetter,
    /// The operator has moved the position past it.
    PassedOver,
}

/// A record as it is in its log.
pub(super) struct Logged {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    key: i32,
    version: i32,
    pub(super) content: Content,
}

/// A key of a table, which has the name of its topic.
type Key = (String, i32);

/// The server.
pub(super) struct Postgres {
    cluster: Rc<RefCell<Cluster>>,
    /// The stored positions.
    pub(super) positions: BTreeMap<TopicPartition, Offset>,
    /// The version of the last record of each key, and whether that was a row; otherwise it deleted the key.
    rows: BTreeMap<Key, (i32, bool)>,
    outcomes: BTreeMap<(TopicPartition, i64), Outcome>,
    /// Counts the changes of the tables.
    pub(super) changes: u32,
    /// The tables refuse rows whose version is a multiple of this.
    pub(super) refuses: Option<i32>,
    /// This table cannot be written, for the reason with this SQLSTATE.
    pub(super) sick: Option<(&'static str, &'static str)>,
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
            changes: 0,
            refuses: None,
            sick: None,
            down_until: now,
            fates: VecDeque::new(),
            slow_above: None,
            commits: 0,
        }
    }

    /// The plan of a table as it is now.
    pub(super) fn plan(&self, table: &str) -> Plan {
        example::plan_of_table(table, true, &self.changes.to_string())
    }

    /// Whether the table refuses the record.
    pub(super) fn refused(&self, record: &Logged) -> bool {
        record.content == Content::Row && self.refuses.is_some_and(|of| record.version % of == 0)
    }

    /// The records of a batch, which must be as they are in the log.
    pub(super) fn records(&self, batch: &Batch) -> Vec<Logged> {
        let cluster = self.cluster.borrow();
        let numbers = 0..u32::try_from(batch.records().count()).expect("a small batch");
        let record = |number| {
            let record = batch.records().get(number);
            let partition = batch.spans()[usize::from(record.span)].partition.clone();
            let offset = usize::try_from(record.offset).expect("an offset");
            let Entry::Record { key, version, content, bytes } = &cluster.logs[&partition][offset] else {
                panic!("{partition} at {offset} is a marker, not a record");
            };
            let payload = bytes.1.as_deref().map(str::as_bytes);
            assert_eq!(batch.records().incoming(number).payload, payload, "{partition} at {offset}");
            Logged { offset: record.offset, key: *key, version: *version, content: *content, partition }
        };
        numbers.map(record).collect()
    }

    /// Whether everything that the batch moves is where it expects.
    pub(super) fn fenced(&self, spans: &[Span]) -> bool {
        spans.iter().any(|span| self.positions.get(&span.partition) != Some(&span.expected))
    }

    /// Commits a batch: positions, rows and dead letters. Every record between the old and the new position must be in it,
    /// must have had no outcome, and must be later than what its key has.
    pub(super) fn commit(&mut self, batch: &Batch) {
        self.commits += 1;
        for span in batch.spans() {
            assert!(span.next >= span.expected, "{} goes back", span.partition);
            self.check_complete(batch, span);
            self.positions.insert(span.partition.clone(), span.next);
        }
        for record in self.records(batch) {
            let applied = record.content != Content::Broken && !self.refused(&record);
            let outcome = if applied { Outcome::Applied } else { Outcome::DeadLetter };
            let Logged { partition, offset, key, version, content } = record;
            if applied {
                let key = (partition.topic.to_string(), key);
                let before = self.rows.insert(key, (version, content == Content::Row));
                assert!(before.is_none_or(|(before, _)| before < version), "a key goes back to {version}");
            }
            let before = self.outcomes.insert((partition, offset), outcome);
            assert_eq!(before, None, "a record at {offset} has two outcomes");
        }
    }

    /// Moves the position of a partition past a record, as `offsets reset` does.
    pub(super) fn pass_over(&mut self, partition: &TopicPartition) {
        let position = self.positions.get_mut(partition).expect("a sink has written it");
        let before = self.outcomes.insert((partition.clone(), position.0), Outcome::PassedOver);
        assert_eq!(before, None, "{partition} at {position} has an outcome, and the position is not past it");
        position.0 += 1;
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

    /// The rows and deletes that are encoded must be those of the last record of each key.
    pub(super) fn check_rows(&self, batch: &Batch) {
        let mut last = BTreeMap::new();
        for record in self.records(batch) {
            let value = match record.content {
                Content::Row => Some(record.version),
                Content::Tombstone => None,
                Content::Broken => continue,
            };
            last.insert((record.partition.topic.to_string(), record.key), value);
        }
        let mut encoded = BTreeMap::new();
        for table in batch.tables() {
            assert_eq!(table.plan.fingerprint, self.changes.to_string(), "rows for another table");
            for row in table.rows.rows().iter().filter(|row| !row.superseded) {
                let key = table.rows.key_fields(&table.plan, row).next().map(|(_, field)| field);
                let key = int(key);
                let version = (row.op == Op::Write).then(|| {
                    let fields: Vec<i32> =
                        table.rows.fields(row.tuple).map(|(_, field)| int(field)).collect();
                    assert_eq!(fields[0], key, "the key of a row");
                    fields[1]
                });
                encoded.insert((table.plan.label.clone(), key), version);
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
                if let Entry::Record { key, version, content, .. } = entry {
                    let outcome = self.outcomes.get(&(partition.clone(), offset));
                    assert!(outcome.is_some(), "{partition} at {offset} has no outcome");
                    if outcome == Some(&Outcome::Applied) {
                        rows.insert(
                            (partition.topic.to_string(), *key),
                            (*version, *content == Content::Row),
                        );
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
