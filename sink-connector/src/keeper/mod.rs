//! The keeper: one thread with the one connection that does not write rows. It makes the sink's tables, keeps the
//! plans, finds and stores first positions, notices when PostgreSQL is away or back, and frees positions that a
//! frozen sink holds.

mod resolve;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::config::AutoOffsetReset;
use crate::events::Event;
use crate::failure::Failure;
use crate::health::Component;
use crate::session::{self, Connection};
use crate::source::consumer::Consumer;
use crate::types::{Offset, TopicPartition};
use crate::writer::Shared;
use crate::writer::watch::Watch;

/// How often it looks after frozen owners.
const TICK: Duration = Duration::from_millis(200);
/// How often it asks PostgreSQL whether it is there, and tries again what failed.
const PROBE: Duration = Duration::from_secs(1);

/// A question for the position of a partition.
#[derive(Clone, Debug)]
pub struct Question {
    /// The partition.
    pub partition: TopicPartition,
    /// Comes back with the answer.
    pub epoch: u64,
    /// This assignment has read a position before: if there is none now, it was lost, whatever Kafka holds.
    pub known: bool,
}

/// What the keeper is asked for.
#[derive(Debug)]
pub enum Request {
    /// Positions of these partitions.
    Resolve(Vec<Question>),
    /// They have been revoked: no answer is needed any more.
    Forget(Vec<TopicPartition>),
    /// Stored positions of all partitions of these topics.
    ReadAll(BTreeSet<String>),
}

/// What the keeper knows of the configuration.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The connector's name.
    pub connector: String,
    /// The consumer group.
    pub group_id: String,
    /// Where to begin without a position.
    pub auto_offset_reset: AutoOffsetReset,
}

/// The thread's state.
pub struct Keeper {
    identity: Identity,
    shared: Arc<Shared>,
    consumer: Consumer,
    events: Sender<Event>,
    /// Whose sessions are ours.
    watches: Arc<std::sync::Mutex<Vec<Arc<Watch>>>>,
    own_watch: Arc<Watch>,
    connection: Option<Connection>,
    prepared: bool,
    cluster_id: Option<String>,
    pending: HashMap<TopicPartition, Pending>,
    read_all: BTreeSet<String>,
    /// Sessions that were last told to end; one that is itself frozen takes its time.
    ended: Vec<i32>,
}

/// A question that has no answer yet.
#[derive(Clone, Debug)]
struct Pending {
    question: Question,
    /// Where the log ended when the partition was assigned, for `auto_offset_reset = latest`.
    end: Option<Offset>,
}

impl Keeper {
    /// A keeper that answers through `events`.
    pub fn new(
        identity: Identity,
        shared: Arc<Shared>,
        consumer: Consumer,
        events: Sender<Event>,
        watches: Arc<std::sync::Mutex<Vec<Arc<Watch>>>>,
        own_watch: Arc<Watch>,
    ) -> Self {
        Self {
            identity,
            shared,
            consumer,
            events,
            watches,
            own_watch,
            connection: None,
            prepared: false,
            cluster_id: None,
            pending: HashMap::new(),
            read_all: BTreeSet::new(),
            ended: Vec::new(),
        }
    }

    /// Works until the channel is closed.
    pub fn run(mut self, requests: &Receiver<Request>) {
        let mut next_probe = Instant::now();
        loop {
            let wait = if self.pending.is_empty() && self.read_all.is_empty() { TICK } else { TICK / 4 };
            match requests.recv_timeout(wait) {
                Ok(Request::Resolve(questions)) => {
                    for question in questions {
                        self.pending.insert(question.partition.clone(), Pending { question, end: None });
                    }
                    // A new question is tried at once.
                    next_probe = Instant::now();
                }
                Ok(Request::Forget(partitions)) => {
                    for partition in partitions {
                        self.pending.remove(&partition);
                        if self.pending.keys().all(|pending| pending.topic != partition.topic) {
                            self.shared.plans.forget(&partition.topic);
                        }
                    }
                }
                Ok(Request::ReadAll(topics)) => {
                    self.read_all = topics;
                    next_probe = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next_probe {
                next_probe = Instant::now() + PROBE;
                self.probe();
            }
            self.end_frozen_owners();
        }
    }

    /// Does what is to be done, and notes how that went. What failed is tried again at the next probe.
    fn probe(&mut self) {
        let was_well = self.shared.health.is_well(&Component::Postgres);
        self.own_watch.enter(crate::writer::transaction::Phase::Rows);
        let outcome = self.work();
        self.own_watch.enter(crate::writer::transaction::Phase::Idle);
        match outcome {
            Ok(()) => {
                self.shared.health.well(&Component::Postgres);
                if !was_well {
                    // Whoever waits for PostgreSQL need not wait any longer.
                    self.shared.pulse.ring();
                }
            }
            Err(failure) => {
                // A failure of a table's plan is noted as such, and PostgreSQL itself works.
                let table = self.shared.plans.topics().iter().any(|t| !self.table_is_well(t));
                if !table || failure.connection_lost && failure.sqlstate.is_none() {
                    self.shared.health.fail(Component::Postgres, failure.to_string());
                }
                self.own_watch.disconnected();
                if let Some(mut connection) = self.connection.take() {
                    connection.discard();
                }
            }
        }
    }

    fn table_is_well(&self, topic: &str) -> bool {
        let table = self.shared.plans.table_of(topic).unwrap_or_default();
        self.shared.health.is_well(&Component::Table(table))
    }

    fn work(&mut self) -> Result<(), Failure> {
        let trouble = self.note_ends();
        self.connect()?;
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected above");
        connection.batch_execute("SELECT 1")?;
        if !self.prepared {
            shared.offsets.create(connection)?;
            shared.dead_letters.create(connection)?;
            self.prepared = true;
        }
        let without_plan = self.renew_plans()?;
        if !self.read_all.is_empty() {
            let connection = self.connection.as_mut().expect("connected above");
            let mut all = Vec::new();
            for topic in &self.read_all {
                all.extend(shared.offsets.read_topic(connection, topic)?);
            }
            self.read_all.clear();
            self.tell(Event::Stored(all));
        }
        self.resolve(trouble)?;
        // Only now: what fails every time would otherwise be well for a moment, every time.
        shared.health.well(&Component::Postgres);
        without_plan.map_or(Ok(()), Err)
    }

    /// Makes the plans that are missing, of named topics and of those that have come by a pattern. A table that cannot
    /// be written keeps back its own topic only; the inner failure is the first of such.
    fn renew_plans(&mut self) -> Result<Option<Failure>, Failure> {
        let shared = Arc::clone(&self.shared);
        let mut topics: BTreeSet<String> = shared.plans.topics().into_iter().collect();
        topics.extend(self.pending.keys().map(|partition| partition.topic.to_string()));
        let mut first = None;
        for topic in &topics {
            if shared.plans.get(topic).is_some() && self.table_is_well(topic) {
                continue;
            }
            let connection = self.connection.as_mut().expect("connected before plans are made");
            match shared.plans.renew(connection, topic) {
                Ok(_) => shared.pulse.ring(),
                // Without the server's word it is the connection, and the next topic would fare no better.
                Err(failure) if failure.connection_lost && failure.sqlstate.is_none() => return Err(failure),
                Err(failure) => {
                    first.get_or_insert(failure);
                }
            }
        }
        Ok(first)
    }

    fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.is_none() {
            let mut connection = self.shared.connections.open()?;
            let backend = session::backend(&mut connection)?;
            self.own_watch.connected(backend.pid);
            self.connection = Some(connection);
        }
        Ok(())
    }

    /// Frees positions that an older session of this connector holds while a writer of ours waits for them again.
    fn end_frozen_owners(&mut self) {
        let (waiting, ours): (Vec<i32>, Vec<i32>) = {
            let watches = self.watches.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (
                watches.iter().filter_map(|w| w.waiting_again()).collect(),
                watches.iter().filter_map(|w| w.backend()).collect(),
            )
        };
        if waiting.is_empty() {
            return;
        }
        let Some(connection) = self.connection.as_mut() else { return };
        match session::end_frozen_owners(connection, &waiting, &ours) {
            Ok(ended) => {
                for pid in ended.iter().filter(|pid| !self.ended.contains(pid)) {
                    tracing::warn!(pid, "ended an older session of this connector that held our positions");
                }
                self.ended = ended;
            }
            Err(error) => tracing::warn!(%error, "cannot look for an older session that holds our positions"),
        }
    }

    fn tell(&self, event: Event) {
        // The poll thread is gone only when the process is about to be.
        if self.events.send(event).is_err() {
            tracing::debug!("nobody is there to be told");
        }
    }
}
