//! What a writer needs of PostgreSQL, and the writer's connection behind it.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bisect::LastWritten;
use super::connection::WriterConnection;
use super::context::WriterContext;
use super::lost_sessions::{InFlight, LostSessions};
use super::permission::name_grant;
use super::place::{Place, first_record, only_record};
use super::raised::RaisedErrors;
use super::strategy::Strategy;
use super::timeouts;
use super::transaction::{Attempt, AttemptContext, Ladders, attempt};
use crate::batch::Batch;
use crate::messages::progress::{Phase, Progress};
use crate::postgres::failure::Failure;
use crate::postgres::session::Connection;
use crate::table::grants::ON_OWN;
use crate::table::plan::Plan;

/// What a writer needs of PostgreSQL.
pub(crate) trait Database {
    /// Tries to commit `batch`.
    fn attempt(&mut self, batch: &Batch, strategy: Strategy) -> Result<Attempt, Failure>;

    /// After a conflict in the table with this label: writes it more carefully from now on.
    fn climb(&mut self, label: &str);

    /// Whether the stored positions are those that `batch` moves to.
    fn stored_is_next(&mut self, batch: &Batch) -> Result<bool, Failure>;

    /// Reads the tables of the batch's topics again; their plans, by topic.
    fn renew_plans(&mut self, batch: &Batch) -> Result<HashMap<String, Arc<Plan>>, Failure>;

    /// Creates the table of dead letters, if it is missing.
    fn create_dead_letters(&mut self);
}

/// The writer's own connection, opened when it is needed, and the pool for everything else.
pub(crate) struct WriterDatabase {
    writer: usize,
    shared: Arc<WriterContext>,
    progress: Arc<Progress>,
    connection: Option<WriterConnection>,
    ladders: Ladders,
    last_written: LastWritten,
    /// The record that took too long last, all by itself.
    slow: Option<Place>,
    raised: RaisedErrors,
    lost: LostSessions,
}

impl WriterDatabase {
    pub(super) fn new(writer: usize, shared: Arc<WriterContext>, progress: Arc<Progress>) -> Self {
        Self {
            writer,
            shared,
            progress,
            connection: None,
            ladders: Ladders::new(),
            last_written: LastWritten::default(),
            slow: None,
            raised: RaisedErrors::default(),
            lost: LostSessions::default(),
        }
    }

    /// Runs what reads from a session outside the batch's transaction, under the same deadline as the transaction.
    fn watched<T>(&self, work: impl FnOnce(&WriterContext) -> T) -> T {
        self.progress.enter(Phase::Session);
        let outcome = work(&self.shared);
        self.progress.enter(Phase::Idle);
        outcome
    }

    /// A connection of the pool. Waits while one is being made.
    fn open(&self) -> Result<Connection, Failure> {
        loop {
            match self.watched(|shared| shared.connections.open()) {
                Err(failure)
                    if failure.connecting
                        && !self.shared.shutdown.requested()
                        && !self.progress.abandoned() => {}
                opened => return opened,
            }
        }
    }

    /// Adds the missing GRANT to the failure. The session that failed cannot be asked any more.
    fn name_grant(&self, batch: &Batch, failure: &mut Failure) {
        let named = self.watched(|shared| {
            let mut connection = shared.connections.open()?;
            let own = [(shared.offsets.table(), ON_OWN), (shared.dead_letters.table(), ON_OWN)];
            name_grant(&mut connection, batch, &own, failure).map_err(Failure::from)
        });
        if let Err(error) = named {
            tracing::debug!(%error, "cannot read the privileges");
        }
    }

    fn disconnect(&mut self) {
        self.progress.disconnected();
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }
}

/// Why a table is not written for now, for people. The same after each short retry.
const SLOW_TABLE: &str = "its rows take too long (57014): look for the trigger, constraint or lock that holds them up. \
     Fewer of them are tried again, for longer each time, while other tables are written";

/// Why a record is not written, for people. The same after each attempt.
fn slow_record((partition, offset): &Place, deadline: Duration) -> String {
    format!(
        "the record of {partition} at offset {offset}, tried alone, takes longer than statement_timeout or \
         postgres.deadline_ms, {} ms (57014): look for the trigger, constraint or lock that holds it up, or allow it more time. It \
         becomes a dead letter if another row of its table can be written meanwhile",
        deadline.as_millis()
    )
}

impl WriterDatabase {
    /// Says what took too long: the record that was tried alone, the rows of a short retry, or the whole attempt.
    fn explain_timeout(&mut self, alone: Option<Place>, short: bool, overdue: bool, failure: &mut Failure) {
        match alone.filter(|_| self.progress.past_the_fence()) {
            Some(record) => {
                failure.message = slow_record(&record, self.shared.deadline);
                self.slow = Some(record);
            }
            None if short => failure.message = SLOW_TABLE.to_owned(),
            None if overdue => {
                failure.message = format!("ended after postgres.deadline_ms: {}", failure.message);
            }
            None => {}
        }
    }
}

impl WriterDatabase {
    fn attempt_once(&mut self, batch: &Batch, strategy: Strategy) -> Result<Attempt, Failure> {
        // A short retry shows only that the record needs more time.
        let short = batch.retry().is_some_and(|limits| limits.is_below(self.shared.deadline));
        let (alone, first) = (only_record(batch).filter(|_| !short), first_record(batch));
        self.progress.begin_attempt(alone.is_some() && alone == self.slow);
        self.connect()?;
        let connection = self.connection.as_mut().expect("it is connected");
        let candidates = self.lost.candidates(batch);
        let in_flight = Cell::default();
        let strategy = if candidates.is_some() { strategy.max(Strategy::Confirm) } else { strategy };
        let context = AttemptContext {
            dead_letters: &self.shared.dead_letters,
            enter: &|phase| self.progress.enter(phase),
            decide: &|batch, dead_letters| self.shared.policy.decide(self.writer, batch, dead_letters),
            probe_window: usize::try_from(self.shared.policy.window()).unwrap_or(usize::MAX),
            last_written: &self.last_written,
            persistent: self.raised.persistent(first.as_ref()),
            candidates: candidates.as_ref(),
            in_flight: &in_flight,
            deadline: self.shared.deadline,
            open: false,
            replay: false,
        };
        let mut outcome = attempt(connection, batch, &mut self.ladders, strategy, &context);
        self.progress.enter(Phase::Idle);
        self.explain(&mut outcome, batch, alone, short);
        self.remember(&outcome, batch, strategy, in_flight.take());
        if matches!(outcome, Err(_) | Ok(Attempt::Unanswered { .. })) {
            self.disconnect();
        }
        match first.filter(|_| self.progress.past_the_fence()) {
            Some(first) => outcome.map_err(|failure| self.raised.met(&first, failure, Instant::now())),
            None => outcome,
        }
    }

    /// Connects, unless it is connected.
    fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.is_none() {
            let pooled = self.open()?;
            let connection = self.watched(|shared| WriterConnection::new(pooled, &shared.offsets))?;
            self.progress.connected(connection.backend_pid);
            self.connection = Some(connection);
        }
        Ok(())
    }

    /// Adds to a failure what took too long, which lock it waited for, or which privilege is missing.
    fn explain(
        &mut self,
        outcome: &mut Result<Attempt, Failure>,
        batch: &Batch,
        alone: Option<Place>,
        short: bool,
    ) {
        let overdue = self.progress.was_overdue();
        if let Err(failure) | Ok(Attempt::Unanswered { failure, .. }) = outcome
            && (overdue || failure.statement_timeout())
        {
            self.explain_timeout(alone, short, overdue, failure);
        }
        match outcome {
            Err(failure) if overdue || failure.lock_timeout() || failure.statement_timeout() => {
                if let Some(lock) = self.progress.lock_wait() {
                    failure.message = format!("{}: {lock}", failure.message);
                }
            }
            Err(failure) if failure.permission_denied() => {
                // The pool has no more connections than there are writers and a control thread.
                self.disconnect();
                self.name_grant(batch, failure);
            }
            Err(_) => {}
            Ok(_) => self.progress.got_locks(),
        }
    }

    /// What the outcome says of the records and of their table.
    fn remember(
        &mut self,
        outcome: &Result<Attempt, Failure>,
        batch: &Batch,
        strategy: Strategy,
        in_flight: Option<InFlight>,
    ) {
        match outcome {
            Ok(Attempt::Committed(counts)) => {
                self.last_written.committed(batch, counts, strategy);
                self.raised.written(first_record(batch).as_ref());
                self.lost.written(batch);
            }
            Err(failure) | Ok(Attempt::Unanswered { failure, .. })
                if failure.ended_session()
                    && !self.progress.was_overdue()
                    && self.progress.past_the_fence() =>
            {
                self.lost.met(batch, failure, in_flight, Instant::now());
            }
            Err(failure) if failure.undecided => {}
            _ => self.lost.kept(batch),
        }
    }
}

impl Database for WriterDatabase {
    fn attempt(&mut self, batch: &Batch, strategy: Strategy) -> Result<Attempt, Failure> {
        let used = self.connection.is_some();
        match self.attempt_once(batch, strategy) {
            // The session ended while it was idle: a time limit, a restart of the server, a firewall. If there is a lasting
            // cause, a new connection meets it as well.
            Err(failure)
                if used
                    && failure.ended_session()
                    && !self.progress.past_the_fence()
                    && !self.progress.was_overdue() =>
            {
                tracing::debug!(%failure, "the session of the last batch has ended; connecting again");
                self.attempt_once(batch, strategy)
            }
            Ok(Attempt::RolledBack(why)) => {
                // It may be long until the next attempt.
                self.progress.enter(Phase::Session);
                let restored = self.connection.as_mut().map_or(Ok(()), WriterConnection::restore_session);
                self.progress.enter(Phase::Idle);
                if let Err(failure) = restored {
                    tracing::debug!(%failure, "cannot undo what functions of a table have set in the session");
                    self.disconnect();
                }
                Ok(Attempt::RolledBack(why))
            }
            outcome => outcome,
        }
    }

    fn climb(&mut self, label: &str) {
        self.ladders.entry(label.to_owned()).or_default().climb();
    }

    fn stored_is_next(&mut self, batch: &Batch) -> Result<bool, Failure> {
        // It is there: the attempt that was fenced ran on it.
        let Some(connection) = self.connection.as_mut() else { return Ok(false) };
        self.progress.enter(Phase::Session);
        let stored = self.shared.offsets.stored_is_next(connection.client(), batch.spans());
        self.progress.enter(Phase::Idle);
        if stored.is_err() {
            self.disconnect();
        }
        Ok(stored?)
    }

    fn renew_plans(&mut self, batch: &Batch) -> Result<HashMap<String, Arc<Plan>>, Failure> {
        // The writer's own connection has statements that were prepared for the old table.
        if self.connection.is_some() {
            self.disconnect();
        }
        let mut connection = self.open()?;
        self.watched(|shared| {
            if let Some(limits) = batch.retry() {
                // The catalog's functions lock partitions, which must not hold the writer up for long either.
                connection.discard();
                connection.batch_execute(&timeouts::limit_locks(false, limits.lock_timeout))?;
            }
            let mut plans = HashMap::new();
            for span in batch.spans() {
                let topic = &*span.partition.topic;
                if !plans.contains_key(topic) {
                    plans.insert(topic.to_owned(), shared.plans.renew(&mut connection, topic)?);
                }
            }
            Ok(plans)
        })
    }

    fn create_dead_letters(&mut self) {
        let created = self.watched(|shared| {
            let mut connection = shared.connections.open()?;
            shared.dead_letters.create(&mut connection)
        });
        if let Err(failure) = created {
            // If the table is missing, the next attempt reports it.
            tracing::debug!(%failure, "cannot create the table of dead letters");
        }
    }
}
