//! `dead-letters replay`: decodes and writes dead letters topic by topic and batch by batch, as the sink does. Deleting them in
//! the same transaction takes the place of the fence.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use anyhow::Context as _;
use shared::output::counted;

use super::TO_DELETE;
use super::replayed::{Failures, Replayed, failures, still_fail};
use crate::batch::Batch;
use crate::commands::lock_watch::LockWatch;
use crate::commands::postgres;
use crate::config::Config;
use crate::decode::Cells;
use crate::messages::report::BatchCounts;
use crate::observe::health::Health;
use crate::positions::stored::Offsets;
use crate::postgres::failure::Failure;
use crate::postgres::session::Connections;
use crate::postgres::sql::TableName;
use crate::postgres::sqlstate::Class;
use crate::rejects::dead_letters::{DeadLetters, Filter, StoredDeadLetter};
use crate::rejects::policy::Decision;
use crate::table::plan::Plan;
use crate::table::plan_cache::Plans;
use crate::types::{Offset, TopicPartition};
use crate::writer::bisect::LastWritten;
use crate::writer::connection::WriterConnection;
use crate::writer::permission;
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

/// Why the dead letters of a topic are left.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    /// The topic's table cannot be written for now. Those of other topics may be.
    #[error(transparent)]
    Table(#[from] Failure),
    #[error("the dead letters or the table keep changing")]
    KeepsChanging,
    /// Nothing more can be replayed.
    #[error(transparent)]
    Ended(#[from] anyhow::Error),
}

struct Replay<'a> {
    config: &'a Config,
    connections: &'a Connections,
    connection: WriterConnection,
    offsets: &'a Offsets,
    dead_letters: &'a DeadLetters,
    plans: Plans,
    /// That of the topic, until its table changes.
    plan: Option<Arc<Plan>>,
    ladders: Ladders,
    cells: Cells,
    /// Most dead letters in the next transaction.
    size: usize,
    /// Failures of single dead letters one after the other.
    failures: u32,
    locks: LockWatch,
}

/// Replays the dead letters of these topics that `filter` selects, each once.
pub(super) fn replay(
    config: &Config,
    connections: &Connections,
    dead_letters: &DeadLetters,
    topics: Vec<String>,
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
        plan: None,
        ladders: Ladders::new(),
        cells: Cells::default(),
        size: BATCH,
        failures: 0,
        locks: LockWatch::start(config)?,
    };
    let mut replayed = Replayed::default();
    replay.topics(topics, filter, &mut replayed).with_context(|| {
        format!(
            "the replay ended early: {} written, {}. All others are unchanged. Run it again to continue",
            counted(replayed.rows_written, "row"),
            still_fail(replayed.failed())
        )
    })?;
    replayed.end(config);
    Ok(replayed)
}

impl Replay<'_> {
    /// Replays topic by topic. A topic whose table cannot be written does not keep the others from it.
    fn topics(
        &mut self,
        topics: Vec<String>,
        filter: &Filter,
        replayed: &mut Replayed,
    ) -> anyhow::Result<()> {
        for topic in topics {
            if filter.topic.as_ref().is_some_and(|only| *only != topic) {
                continue;
            }
            let filter = Filter { topic: Some(topic.clone()), ..filter.clone() };
            if !self.config.kafka.reads(&topic) {
                let left =
                    self.dead_letters.count(self.connection.client(), &filter).map_err(Failure::from)?;
                if left > 0 {
                    replayed.not_configured.insert(topic);
                }
                continue;
            }
            match self.topic(&topic.as_str().into(), &filter, replayed) {
                Ok(()) => {}
                Err(ReplayError::Ended(error)) => return Err(error),
                Err(left) => {
                    self.reconnect()?;
                    replayed.not_replayed.insert(topic, left.to_string());
                }
            }
        }
        Ok(())
    }

    /// Replays the dead letters of one topic.
    fn topic(
        &mut self,
        topic: &Arc<str>,
        filter: &Filter,
        replayed: &mut Replayed,
    ) -> Result<(), ReplayError> {
        (self.plan, self.size, self.failures) = (None, BATCH, 0);
        let mut after = None;
        while let Some(last) = self.next_batch(topic, filter, after.as_ref(), replayed)? {
            after = Some(last);
        }
        Ok(())
    }

    /// Replays the next batch after the dead letter at `after`. Returns where its last one is; `None` at the end.
    fn next_batch(
        &mut self,
        topic: &Arc<str>,
        filter: &Filter,
        after: Option<&(TopicPartition, i64)>,
        replayed: &mut Replayed,
    ) -> Result<Option<(TopicPartition, i64)>, ReplayError> {
        let mut strategy = Strategy::Whole;
        for _ in 0..ATTEMPTS {
            let stored = self.dead_letters.read(self.connection.client(), filter, after, self.size);
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => return Err(self.name_grant(&Batch::default(), error.into())?.into()),
            };
            let Some(last) =
                stored.last().map(|dead_letter| (dead_letter.partition.clone(), dead_letter.offset))
            else {
                return Ok(None);
            };
            let batch = self.batch(topic, &stored)?;
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
                persistent: None,
                candidates: None,
                in_flight: &Cell::default(),
                deadline: self.config.postgres.deadline,
                replay: true,
                open: false,
            };
            strategy = strategy.max(Strategy::cheapest(&batch));
            self.locks.watch(self.connection.backend_pid);
            let attempted = attempt(&mut self.connection, &batch, &mut self.ladders, strategy, &context);
            if let Ok(Attempt::Unanswered { counts, .. }) = &attempted
                && self.took_place(&stored)?
            {
                self.committed(counts, still_failing.take(), replayed);
                return Ok(Some(last));
            }
            match attempted {
                // What looks like a configuration error may be caused by one dead letter, which must not block the others.
                Err(failure)
                    if failure.clone().met_again().may_be_the_records() && strategy < Strategy::Confirm =>
                {
                    self.reconnect()?;
                    strategy = Strategy::Confirm;
                }
                Err(failure) | Ok(Attempt::Unanswered { failure, .. }) => {
                    let failure = self.name_grant(&batch, self.locks.explain(failure))?;
                    if self.gives_up(&stored, failure, replayed)? {
                        return Ok(Some(last));
                    }
                }
                Ok(Attempt::Committed(counts)) => {
                    self.committed(&counts, still_failing.take(), replayed);
                    return Ok(Some(last));
                }
                Ok(Attempt::RolledBack(why)) => strategy = self.after(why, strategy)?,
            }
        }
        Err(ReplayError::KeepsChanging)
    }

    /// After a batch that was rolled back for what is in it: how it is tried again.
    fn after(&mut self, why: RolledBack, strategy: Strategy) -> Result<Strategy, ReplayError> {
        match why {
            // Another command replays or discards the same dead letters: read again what is left.
            RolledBack::Fenced | RolledBack::Misread => {}
            RolledBack::TableChanged => self.plan = None,
            RolledBack::Refused { .. } => return Ok(Strategy::Bisect),
            RolledBack::Conflict { label } => self.ladders.entry(label).or_default().climb(),
            RolledBack::Intolerable(_) | RolledBack::Tripped(_) => {
                return Err(anyhow::anyhow!("a replay has no error policy").into());
            }
        }
        Ok(strategy)
    }

    /// After a failure of the moment, which one dead letter may cause: its trigger raises 40001, or ends its session. The
    /// next batch is smaller. True if a single dead letter is given up, and the replay goes on after it.
    fn gives_up(
        &mut self,
        stored: &[StoredDeadLetter],
        failure: Failure,
        replayed: &mut Replayed,
    ) -> Result<bool, ReplayError> {
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
        replayed.given_up(single, &failure);
        Ok(true)
    }

    /// Adds the missing GRANT to the failure. The session that failed cannot be asked any more.
    fn name_grant(&mut self, batch: &Batch, mut failure: Failure) -> Result<Failure, ReplayError> {
        if failure.permission_denied() {
            self.reconnect()?;
            let own = [(self.dead_letters.table(), TO_DELETE)];
            permission::name_grant(self.connection.client(), batch, &own, &mut failure)
                .map_err(Failure::from)?;
        }
        Ok(failure)
    }

    fn committed(&mut self, counts: &BatchCounts, still_failing: Failures, replayed: &mut Replayed) {
        (self.failures, self.size) = (0, (self.size * 2).min(BATCH));
        replayed.committed(counts, still_failing);
    }

    /// Whether a COMMIT that was not answered took place: then none of its dead letters is as it was.
    fn took_place(&mut self, stored: &[StoredDeadLetter]) -> anyhow::Result<bool> {
        let tried: Vec<&StoredDeadLetter> = stored.iter().collect();
        let mut last = None;
        for _ in 0..TRIES {
            let unchanged = self.reconnect().and_then(|()| {
                let unchanged = self.dead_letters.unchanged(self.connection.client(), &tried);
                unchanged.map_err(|error| Failure::from(error).into())
            });
            match unchanged {
                Ok(unchanged) => return Ok(unchanged == 0),
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| anyhow::anyhow!("it was not tried"));
        let count = tried.len();
        Err(error.context(format!(
            "a COMMIT was not answered: whether {count} more dead letters were replayed is not known"
        )))
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

    fn batch(&mut self, topic: &Arc<str>, stored: &[StoredDeadLetter]) -> Result<Batch, Failure> {
        let plan = match &self.plan {
            Some(plan) => Arc::clone(plan),
            None => self.plans.renew(self.connection.client(), topic)?,
        };
        self.plan = Some(Arc::clone(&plan));
        let mut batch = Batch::default();
        let mut packed = Vec::new();
        for dead_letter in stored {
            let span = batch.span(&dead_letter.partition, Offset(dead_letter.offset));
            batch.push(span, &plan, &dead_letter.incoming(&mut packed), &mut self.cells);
        }
        Ok(batch)
    }
}
