//! The control thread of PostgreSQL, with the one connection that does not write rows. It creates the sink's tables, renews
//! plans, finds and stores first positions, notices when PostgreSQL is unreachable or back, and ends sessions of a frozen
//! sink that hold positions. The supervisor replaces it like a writer when its connection stops answering.

mod lock_waits;
mod positions;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use shared::repeated::RepeatedFailures;

use crate::config::AutoOffsetReset;
use crate::kafka::consumer::Consumer;
use crate::messages::events::{self, Event};
use crate::messages::progress::{AllProgress, Phase, Progress};
use crate::messages::requests::{PositionQuery, Request};
use crate::observe::health::Component;
use crate::postgres::failure::Failure;
use crate::postgres::own_table::ForeignTable;
use crate::postgres::session::{self, Connection};
use crate::types::{Offset, TopicPartition};
use crate::writer::WriterContext;

/// How often frozen owners of positions are looked for.
const TICK: Duration = Duration::from_millis(200);
/// How often the connection is tested, and what failed is tried again.
const PROBE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub group_id: String,
    pub auto_offset_reset: AutoOffsetReset,
}

/// Requests without an answer. They outlive a thread that hangs: its successor answers them.
#[derive(Default, Debug)]
pub(crate) struct Unanswered {
    pending: HashMap<TopicPartition, Pending>,
    read_all: BTreeSet<String>,
}

impl Unanswered {
    /// The partitions whose positions have been awaited for longer than `limit`.
    pub(crate) fn overdue(&self, limit: Duration) -> impl Iterator<Item = &TopicPartition> {
        let overdue = move |(_, pending): &(_, &Pending)| pending.since.elapsed() > limit;
        self.pending.iter().filter(overdue).map(|(partition, _)| partition)
    }
}

/// What the control thread and its successors have in common.
#[derive(Clone)]
pub(crate) struct ControlContext {
    pub(crate) identity: Identity,
    pub(crate) queries: Consumer,
    pub(crate) requests: Receiver<Request>,
    pub(crate) events: Sender<Event>,
    /// Progress of all threads whose sessions are ours.
    pub(crate) all_progress: AllProgress,
    pub(crate) unanswered: Arc<Mutex<Unanswered>>,
    /// No pooler that assigns connections by transaction is between.
    pub(crate) unpooled: Arc<AtomicBool>,
}

pub(crate) struct PostgresControl {
    context: ControlContext,
    shared: Arc<WriterContext>,
    progress: Arc<Progress>,
    connection: Option<Connection>,
    prepared: bool,
    cluster_id: Option<String>,
    /// Sessions that were ended last. One that is frozen itself takes time to disappear.
    ended: Vec<i32>,
    /// Which failures of looking for such sessions are logged.
    failures: RepeatedFailures,
}

/// A position query without an answer.
#[derive(Clone, Debug)]
struct Pending {
    query: PositionQuery,
    since: Instant,
    /// Where the log ended when the partition was assigned, for `auto_offset_reset = latest`.
    end: Option<Offset>,
}

impl PostgresControl {
    /// A control thread that writes nothing but positions, and reports its steps through `progress`.
    pub(crate) fn new(context: ControlContext, shared: Arc<WriterContext>, progress: Arc<Progress>) -> Self {
        Self {
            context,
            shared,
            progress,
            connection: None,
            prepared: false,
            cluster_id: None,
            ended: Vec::new(),
            failures: RepeatedFailures::default(),
        }
    }

    /// Works until the channel is closed, or until a successor has taken over.
    pub(crate) fn run(mut self) {
        let mut next_probe = Instant::now();
        while !self.progress.abandoned() {
            match self.context.requests.recv_deadline(next_probe.min(Instant::now() + TICK)) {
                Ok(request) => {
                    if self.accept(request) {
                        next_probe = Instant::now();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next_probe {
                next_probe = Instant::now() + PROBE;
                self.probe();
            }
            self.end_frozen_owners();
            self.note_lock_waits();
        }
    }

    /// Notes a request. True if it is to be answered at once.
    fn accept(&mut self, request: Request) -> bool {
        let mut unanswered = self.context.unanswered.lock();
        match request {
            Request::Resolve(queries) => {
                for query in queries {
                    let pending = Pending { query, since: Instant::now(), end: None };
                    unanswered.pending.insert(pending.query.partition.clone(), pending);
                }
                true
            }
            Request::Forget(partitions) => {
                for partition in partitions {
                    unanswered.pending.remove(&partition);
                    if unanswered.pending.keys().all(|pending| pending.topic != partition.topic) {
                        self.shared.plans.forget(&partition.topic);
                    }
                }
                false
            }
            Request::ReadAll(topics) => {
                unanswered.read_all = topics;
                true
            }
        }
    }

    /// Does the work that is due, and records the outcome. What failed is tried again at the next probe.
    fn probe(&mut self) {
        let was_ok = self.shared.health.is_ok(&Component::Postgres);
        let used = self.connection.is_some();
        let outcome = match self.work() {
            // The session ended while it was idle. If there is a lasting cause, a new connection meets it as well.
            Err(failure) if used && failure.ended_session() && !self.progress.abandoned() => {
                tracing::debug!(%failure, "the session of the control thread has ended; connecting again");
                self.disconnect();
                self.work()
            }
            outcome => outcome,
        };
        let outcome = outcome.map_err(|failure| self.name_lock_holder(failure));
        self.progress.enter(Phase::Idle);
        if self.progress.abandoned() {
            return;
        }
        match outcome {
            Ok(without_plan) => {
                if !was_ok {
                    // Ends all waits for PostgreSQL.
                    self.shared.wakeup.notify();
                }
                if without_plan {
                    self.disconnect();
                }
            }
            Err(failure) if failure.connecting => {}
            Err(failure) => {
                self.shared.health.fail(Component::Postgres, failure.to_string());
                self.disconnect();
            }
        }
    }

    fn disconnect(&mut self) {
        self.progress.disconnected();
        if let Some(mut connection) = self.connection.take() {
            connection.discard();
        }
    }

    /// Begins a step on the connection: the deadline is that of one step.
    fn step(&self) {
        self.progress.enter(Phase::Session);
    }

    /// Runs `work`, which waits for Kafka with time-outs of its own. PostgreSQL's deadline does not run meanwhile.
    fn outside<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.progress.enter(Phase::Idle);
        let outcome = work(self);
        self.step();
        outcome
    }

    fn table_is_ok(&self, topic: &str) -> bool {
        let table = self.shared.plans.table_of(topic).unwrap_or_default();
        self.shared.health.is_ok(&Component::Table(table))
    }

    /// True if a table has no plan, the cause of which is recorded under the table: PostgreSQL itself is reachable.
    fn work(&mut self) -> Result<bool, Failure> {
        let trouble = self.note_ends();
        self.step();
        self.connect()?;
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected above");
        connection.batch_execute("SELECT 1")?;
        if !self.prepared {
            // The writers of a thread that is replaced have all other connections, and were made after a check.
            let mut other = None;
            if !self.context.unpooled.load(Ordering::Relaxed) {
                other = Some(shared.connections.open()?);
            }
            if session::is_pooled(connection, other.as_mut().map(|other| &mut ***other))? {
                return Err(Failure::configuration(format!("{}; {}", session::POOLER, session::NO_POOLER)));
            }
            self.context.unpooled.store(true, Ordering::Relaxed);
            drop(other);
            shared.offsets.create(connection)?;
            if let Some(foreign) = shared.offsets.foreign(connection)? {
                return Err(foreign_table("offsets.table", &foreign));
            }
            if !shared.offsets.migrate(connection)? {
                tracing::warn!(
                    "offsets.table has no column target_id, and this role may not add it: a target table that is dropped and \
                     created again is not noticed. Its owner can run: ALTER TABLE … ADD COLUMN target_id text"
                );
            }
            shared.dead_letters.create(connection)?;
            if let Some(foreign) = shared.dead_letters.foreign(connection)? {
                return Err(foreign_table("errors.dead_letter_table", &foreign));
            }
            self.prepared = true;
        }
        let without_plan = self.renew_plans()?;
        self.read_all()?;
        self.resolve(trouble)?;
        // Last, or a repeated failure would flap between failed and healthy.
        shared.health.recovered(&Component::Postgres);
        Ok(without_plan)
    }

    /// Reads the stored positions of all partitions of the topics that were asked for.
    fn read_all(&mut self) -> Result<(), Failure> {
        let topics = self.context.unanswered.lock().read_all.clone();
        if topics.is_empty() {
            return Ok(());
        }
        let connection = self.connection.as_mut().expect("connected before positions are read");
        let mut all = Vec::new();
        for topic in &topics {
            self.progress.enter(Phase::Session);
            all.extend(self.shared.offsets.read_topic(connection, topic)?);
        }
        self.context.unanswered.lock().read_all.retain(|topic| !topics.contains(topic));
        events::send(&self.context.events, Event::Stored(all));
        Ok(())
    }

    /// Creates the missing plans, of named topics and of those found by a pattern. A table that cannot be written holds back
    /// its own topic only: then true is returned.
    fn renew_plans(&mut self) -> Result<bool, Failure> {
        let shared = Arc::clone(&self.shared);
        let mut topics: BTreeSet<String> = shared.plans.topics().into_iter().collect();
        topics.extend(
            self.context.unanswered.lock().pending.keys().map(|partition| partition.topic.to_string()),
        );
        let mut without_plan = false;
        for topic in &topics {
            if shared.plans.get(topic).is_some() && self.table_is_ok(topic) {
                continue;
            }
            self.step();
            let connection = self.connection.as_mut().expect("connected before plans are made");
            match shared.plans.renew(connection, topic) {
                Ok(_) => shared.wakeup.notify(),
                // No answer from the server: the connection is lost, and the next topic would fail as well.
                Err(failure) if failure.connection_lost && failure.sqlstate.is_none() => return Err(failure),
                Err(_) => without_plan = true,
            }
        }
        Ok(without_plan)
    }

    fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.is_none() {
            let mut connection = self.shared.connections.open()?;
            self.progress.connected(session::backend_pid(&mut connection)?);
            self.connection = Some(connection);
        }
        Ok(())
    }

    /// Ends older sessions of this connector that hold positions for which one of our writers waits a second time.
    fn end_frozen_owners(&mut self) {
        let (waiting, ours): (Vec<i32>, Vec<i32>) = {
            let all_progress = self.context.all_progress.lock();
            (
                all_progress.iter().filter_map(|w| w.waiting_again()).collect(),
                all_progress.iter().filter_map(|w| w.backend()).collect(),
            )
        };
        if waiting.is_empty() {
            return;
        }
        let Some(connection) = self.connection.as_mut() else { return };
        self.progress.enter(Phase::Session);
        let ended = session::end_frozen_owners(connection, &waiting, &ours);
        self.progress.enter(Phase::Idle);
        match ended {
            Ok(ended) => {
                for pid in ended.iter().filter(|pid| !self.ended.contains(pid)) {
                    tracing::warn!(pid, "ended an older session of this connector that held our positions");
                }
                self.ended = ended;
            }
            Err(error) => {
                if let Some(times) = self.failures.to_log(&error.to_string(), Instant::now()) {
                    let problem = "cannot look for an older session that holds our positions";
                    tracing::warn!(%error, times, "{problem}");
                }
            }
        }
    }
}

/// A table of somebody else has the name that this key sets.
fn foreign_table(key: &str, foreign: &ForeignTable) -> Failure {
    Failure::configuration(format!(
        "{key}: the table {foreign}; set another name, and the sink creates the table"
    ))
}
