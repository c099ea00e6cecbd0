//! `dead-letters replay`: decodes and writes dead letters batch by batch, as the sink does. Deleting them in the same
//! transaction takes the place of the fence.

use std::cell::RefCell;
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::list::{DETAIL_CHARS, excerpt};
use crate::batch::Batch;
use crate::commands::{Output, postgres, print_json};
use crate::config::Config;
use crate::decode::{Cells, Reason, Rejection, Wider};
use crate::messages::report::BatchCounts;
use crate::observe::health::Health;
use crate::positions::stored::Offsets;
use crate::postgres::failure::Failure;
use crate::postgres::session::Connections;
use crate::postgres::sql::TableName;
use crate::postgres::sqlstate::Class;
use crate::rejects::cause::Cause;
use crate::rejects::dead_letters::{DeadLetter, DeadLetters, Filter, StoredDeadLetter};
use crate::rejects::policy::Decision;
use crate::table::plan::Plan;
use crate::table::plan_cache::Plans;
use crate::types::{Offset, TopicPartition};
use crate::writer::bisect::LastWritten;
use crate::writer::connection::WriterConnection;
use crate::writer::strategy::Strategy;
use crate::writer::transaction::{Attempt, AttemptContext, Ladders, RolledBack, attempt};

/// Most dead letters in one transaction. All of them are in memory.
const BATCH: usize = 500;
/// Attempts at one batch, for tables that change and dead letters that another command deletes at the same time.
const ATTEMPTS: usize = 20;

/// Attempts at a single dead letter whose failure may be one of the moment.
const TRIES: u32 = 3;
/// So many failures of single dead letters one after the other are not theirs.
const MAX_FAILURES: u32 = 30;

/// The outcome of a replay.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    rows_written: u64,
    rows_deleted: u64,
    skipped: u64,
    failed: u64,
    failures: Failures,
    not_configured: BTreeSet<String>,
    /// The tables of the topics with failures.
    tables: BTreeMap<String, TableName>,
}

/// Those that still fail, by topic and cause: how many, the wider type that would take their values, and the first.
type Failures = BTreeMap<(String, Cause), Failed>;

#[derive(Clone, Debug)]
struct Failed {
    count: u64,
    wider: Option<Wider>,
    first: (TopicPartition, i64),
    detail: String,
}

impl Replayed {
    fn hint(&self, topic: &str, cause: &Cause, failed: &Failed) -> String {
        self.tables.get(topic).map_or_else(String::new, |table| cause.hint(table, failed.wider))
    }

    /// How many dead letters still fail.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    fn add_failures(&mut self, failures: Failures) {
        for (cause, failed) in failures {
            match self.failures.entry(cause) {
                Entry::Vacant(entry) => drop(entry.insert(failed)),
                Entry::Occupied(mut entry) => {
                    let sum = entry.get_mut();
                    sum.count += failed.count;
                    sum.wider = sum.wider.max(failed.wider);
                }
            }
        }
    }

    fn add(&mut self, counts: &BatchCounts) {
        self.rows_written += counts.written.iter().map(|(_, n)| n).sum::<u64>();
        self.rows_deleted += counts.deleted.iter().map(|(_, n)| n).sum::<u64>();
        self.skipped += counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>();
        self.failed += counts.dead_letters.len() as u64;
    }

    pub(super) fn print(&self, output: Output) -> anyhow::Result<()> {
        if output == Output::Json {
            return print_json(&json!({
                "rows_written": self.rows_written,
                "rows_deleted": self.rows_deleted,
                "skipped": self.skipped,
                "failed": self.failed,
                "failures": self.failures.iter().map(|((topic, cause), failed)| json!({
                    "topic": topic,
                    "reason": cause.reason.as_str(),
                    "sqlstate": cause.sqlstate,
                    "constraint": cause.constraint,
                    "count": failed.count,
                    "first": {"partition": failed.first.0.partition.0, "offset": failed.first.1},
                    "detail": failed.detail,
                    "action": self.hint(topic, cause, failed),
                })).collect::<Vec<_>>(),
                "not_configured": self.not_configured,
            }));
        }
        shared::outln!(
            "{} rows written, {} deleted, {} records skipped, {} dead letters still fail",
            self.rows_written,
            self.rows_deleted,
            self.skipped,
            self.failed
        )?;
        for ((topic, cause), failed) in &self.failures {
            shared::outln!(
                "{}: {}, the first {} at offset {}: {} -> {}",
                cause.title(),
                failed.count,
                failed.first.0,
                failed.first.1,
                excerpt(&failed.detail, DETAIL_CHARS),
                self.hint(topic, cause, failed)
            )?;
        }
        for topic in &self.not_configured {
            shared::outln!(
                "not replayed: dead letters of topic {topic}, which this configuration does not read"
            )?;
        }
        Ok(())
    }
}

/// The rejected records of a batch, by cause.
fn failures(batch: &Batch, rejected: &[DeadLetter<'_>]) -> Failures {
    let mut failures = Failures::new();
    for dead_letter in rejected {
        let (partition, record) = dead_letter.place(batch);
        let cause = Cause::of(dead_letter.rejection, dead_letter.failure);
        let failed = failures.entry((partition.topic.to_string(), cause)).or_insert_with(|| Failed {
            count: 0,
            wider: None,
            first: (partition.clone(), record.offset),
            detail: dead_letter.rejection.detail.clone(),
        });
        failed.count += 1;
        failed.wider = failed.wider.max(dead_letter.rejection.wider);
    }
    failures
}

/// A dead letter that could not be tried to its end.
fn failed(dead_letter: &StoredDeadLetter, failure: &Failure) -> Failures {
    let detail = failure.report().to_owned();
    let rejection = Rejection { reason: Reason::Refused, column: None, wider: None, detail: detail.clone() };
    let topic = dead_letter.partition.topic.to_string();
    let first = (dead_letter.partition.clone(), dead_letter.offset);
    let cause = Cause::of(&rejection, Some(failure));
    Failures::from([((topic, cause), Failed { count: 1, wider: None, first, detail })])
}

struct Replay<'a> {
    config: &'a Config,
    connections: &'a Connections,
    connection: WriterConnection,
    offsets: &'a Offsets,
    dead_letters: &'a DeadLetters,
    plans: Plans,
    current_plans: HashMap<Arc<str>, Arc<Plan>>,
    ladders: Ladders,
    cells: Cells,
    /// Most dead letters in the next transaction.
    size: usize,
    /// Failures of single dead letters one after the other.
    failures: u32,
}

/// Replays the dead letters that `filter` selects, each once.
pub(super) fn replay(
    config: &Config,
    connections: &Connections,
    dead_letters: &DeadLetters,
    filter: &Filter,
) -> anyhow::Result<Replayed> {
    let offsets = Offsets::new(&TableName::parse(&config.offsets.table), &config.name);
    let mut replay = Replay {
        config,
        connections,
        connection: WriterConnection::new(postgres::open(connections, config)?, &offsets)?,
        offsets: &offsets,
        dead_letters,
        plans: Plans::new(
            crate::table::targets::targets(config)?,
            crate::table::targets::target_of(config),
            Arc::new(Health::default()),
        ),
        current_plans: HashMap::new(),
        ladders: Ladders::new(),
        cells: Cells::default(),
        size: BATCH,
        failures: 0,
    };
    let mut replayed = Replayed::default();
    let mut after: Option<(TopicPartition, i64)> = None;
    loop {
        match replay.next_batch(filter, after.as_ref(), &mut replayed).with_context(|| {
            let Replayed { rows_written, failed, .. } = &replayed;
            format!(
                "the replay ended early: {rows_written} rows were written and {failed} dead letters still fail. All \
                 others are unchanged. Run it again to continue"
            )
        })? {
            Some(last) => after = Some(last),
            None => {
                let topics = replayed.failures.keys().map(|(topic, _)| topic.clone());
                let table = |topic: String| {
                    let table = TableName::parse(&config.topic(&topic).table);
                    (topic, table)
                };
                replayed.tables = topics.map(table).collect();
                return Ok(replayed);
            }
        }
    }
}

impl Replay<'_> {
    /// Replays the next batch after the dead letter at `after`. Returns where its last one is; `None` at the end.
    fn next_batch(
        &mut self,
        filter: &Filter,
        after: Option<&(TopicPartition, i64)>,
        replayed: &mut Replayed,
    ) -> anyhow::Result<Option<(TopicPartition, i64)>> {
        let mut strategy = Strategy::Whole;
        for _ in 0..ATTEMPTS {
            let stored = self.dead_letters.read(self.connection.client(), filter, after, self.size)?;
            let Some(last) =
                stored.last().map(|dead_letter| (dead_letter.partition.clone(), dead_letter.offset))
            else {
                return Ok(None);
            };
            let batch = self.batch(&stored, replayed)?;
            if batch.is_empty() {
                return Ok(Some(last));
            }
            let still_failing = RefCell::new(Failures::new());
            let context = AttemptContext {
                dead_letters: self.dead_letters,
                enter: &|_| (),
                decide: &|batch, rejected| {
                    // The last call has all of them.
                    still_failing.replace(failures(batch, rejected));
                    Decision::Commit
                },
                // Nothing of it is a probe.
                probe_window: usize::MAX,
                last_written: &LastWritten::default(),
                deadline: self.config.postgres.deadline,
                replay: true,
                open: false,
            };
            strategy = strategy.max(Strategy::cheapest(&batch));
            let outcome = match attempt(&mut self.connection, &batch, &mut self.ladders, strategy, &context) {
                // What looks like a configuration error may be caused by one dead letter, which must not block the others.
                Err(failure)
                    if failure.clone().met_again().may_be_the_records() && strategy < Strategy::Confirm =>
                {
                    self.reconnect()?;
                    strategy = Strategy::Confirm;
                    continue;
                }
                // After a COMMIT without an answer, what is left is read again.
                Err(failure) | Ok(Attempt::Unanswered { failure, .. }) => {
                    if self.gives_up(&stored, failure, replayed)? {
                        return Ok(Some(last));
                    }
                    continue;
                }
                Ok(outcome) => outcome,
            };
            match outcome {
                Attempt::Committed(counts) => {
                    (self.failures, self.size) = (0, (self.size * 2).min(BATCH));
                    replayed.add(&counts);
                    replayed.add_failures(still_failing.take());
                    return Ok(Some(last));
                }
                // Another command replays or discards the same dead letters: read again what is left.
                Attempt::RolledBack(RolledBack::Fenced) => {}
                Attempt::RolledBack(RolledBack::TableChanged) => self.current_plans.clear(),
                Attempt::RolledBack(RolledBack::Refused { .. }) => strategy = Strategy::Bisect,
                Attempt::RolledBack(RolledBack::Conflict { label }) => {
                    self.ladders.entry(label).or_default().climb();
                }
                Attempt::Unanswered { .. }
                | Attempt::RolledBack(RolledBack::Intolerable(_) | RolledBack::Tripped(_)) => {
                    bail!("a replay has no error policy")
                }
            }
        }
        bail!("the dead letters or the table keep changing")
    }

    /// After a failure of the moment, which one dead letter may cause: its trigger raises 40001, or ends its session. The
    /// next batch is smaller. True if a single dead letter is given up, and the replay goes on after it.
    fn gives_up(
        &mut self,
        stored: &[StoredDeadLetter],
        failure: Failure,
        replayed: &mut Replayed,
    ) -> anyhow::Result<bool> {
        if failure.class != Class::Transient || failure.lock_timeout() {
            return Err(failure.into());
        }
        self.reconnect()?;
        let [single] = stored else {
            self.size = stored.len() / 2;
            return Ok(false);
        };
        self.failures += 1;
        if !self.failures.is_multiple_of(TRIES) {
            return Ok(false);
        }
        if self.failures >= MAX_FAILURES {
            return Err(failure.into());
        }
        replayed.add_failures(failed(single, &failure));
        replayed.failed += 1;
        Ok(true)
    }

    /// Replaces a connection on which a statement failed.
    fn reconnect(&mut self) -> anyhow::Result<()> {
        let fresh = WriterConnection::new(postgres::open(self.connections, self.config)?, self.offsets)?;
        let mut failed = std::mem::replace(&mut self.connection, fresh);
        // It locks the dead letters until it is rolled back. If ROLLBACK gets no answer, closing the connection does that.
        if let Err(error) = failed.client().batch_execute("ROLLBACK") {
            tracing::debug!(%error, "the connection was lost");
        }
        failed.discard();
        Ok(())
    }

    fn batch(&mut self, stored: &[StoredDeadLetter], replayed: &mut Replayed) -> Result<Batch, Failure> {
        let mut batch = Batch::default();
        let mut packed = Vec::new();
        for dead_letter in stored {
            let topic = &dead_letter.partition.topic;
            let Some(plan) = self.plan(topic)? else {
                replayed.not_configured.insert(topic.to_string());
                continue;
            };
            let span = batch.span(&dead_letter.partition, Offset(dead_letter.offset));
            batch.push(span, &plan, &dead_letter.incoming(&mut packed), &mut self.cells);
        }
        Ok(batch)
    }

    /// The plan of a topic; `None` if it is not configured.
    fn plan(&mut self, topic: &Arc<str>) -> Result<Option<Arc<Plan>>, Failure> {
        if let Some(plan) = self.current_plans.get(topic) {
            return Ok(Some(Arc::clone(plan)));
        }
        if !self.config.kafka.reads(topic) {
            return Ok(None);
        }
        let plan = self.plans.renew(self.connection.client(), topic)?;
        self.current_plans.insert(Arc::clone(topic), Arc::clone(&plan));
        Ok(Some(plan))
    }
}
