//! The keeper: one thread with the one connection that does not write rows. It makes the sink's tables, keeps the
//! plans, finds and stores first positions, notices when PostgreSQL is away or back, and frees positions that a
//! frozen sink holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use crate::breaker::History;
use crate::config::AutoOffsetReset;
use crate::events::Event;
use crate::failure::Failure;
use crate::health::Component;
use crate::ledger::Stopped;
use crate::offsets::{Owner, Stored};
use crate::session::{self, Connection};
use crate::source::consumer::Consumer;
use crate::source::topic_ids::topic_ids;
use crate::types::{Offset, TopicPartition};
use crate::writer::Shared;
use crate::writer::watch::Watch;

/// How often it looks after frozen owners.
const TICK: Duration = Duration::from_millis(200);
/// How often it asks PostgreSQL whether it is there, and tries again what failed.
const PROBE: Duration = Duration::from_secs(1);
/// How long it waits for Kafka to answer one question.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Stored positions of all partitions of all topics.
    ReadAll,
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

/// The metadata of our commits to Kafka: a group offset that has it is an echo of a stored position, never its source.
pub fn commit_metadata(connector: &str) -> String {
    format!("{COMMIT_METADATA}{connector}")
}

const COMMIT_METADATA: &str = "kafka-sink:";

/// The thread's state.
pub struct Keeper {
    identity: Identity,
    shared: Arc<Shared>,
    consumer: Consumer,
    events: Sender<Event>,
    /// The writers' watches, of abandoned ones as well.
    watches: Arc<std::sync::Mutex<Vec<Arc<Watch>>>>,
    own_watch: Arc<Watch>,
    connection: Option<Connection>,
    prepared: bool,
    cluster_id: Option<String>,
    pending: HashMap<TopicPartition, Pending>,
    read_all: bool,
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
            read_all: false,
        }
    }

    /// Works until the channel is closed.
    pub fn run(mut self, requests: &Receiver<Request>) {
        let mut next_probe = Instant::now();
        loop {
            let wait = if self.pending.is_empty() && !self.read_all { TICK } else { TICK / 4 };
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
                    }
                }
                Ok(Request::ReadAll) => {
                    self.read_all = true;
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
                let table = self.shared.plans.topics().any(|t| !self.table_is_well(t));
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
        self.note_ends();
        self.connect()?;
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected above");
        connection.batch_execute("SELECT 1")?;
        if !self.prepared {
            shared.offsets.create(connection)?;
            shared.dead_letters.create(connection)?;
            self.prepared = true;
        }
        shared.health.well(&Component::Postgres);
        let topics: Vec<String> = shared.plans.topics().map(str::to_owned).collect();
        for topic in &topics {
            if shared.plans.get(topic).is_none() || !self.table_is_well(topic) {
                let connection = self.connection.as_mut().expect("connected above");
                shared.plans.renew(connection, topic)?;
                shared.pulse.ring();
            }
        }
        if self.read_all {
            let connection = self.connection.as_mut().expect("connected above");
            let mut all = Vec::new();
            for topic in &topics {
                all.extend(shared.offsets.read_topic(connection, topic)?);
            }
            self.read_all = false;
            self.tell(Event::Stored(all));
        }
        self.resolve()
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

    /// Answers the pending questions for positions, as far as Kafka and PostgreSQL answer ours.
    fn resolve(&mut self) -> Result<(), Failure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let topics: Vec<String> = {
            let mut topics: Vec<String> = self.pending.keys().map(|p| p.topic.to_string()).collect();
            topics.sort_unstable();
            topics.dedup();
            topics
        };
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let (cluster_id, ids) = match self.kafka_identity(&names) {
            Ok(known) => known,
            Err(reason) => {
                self.shared.health.fail(Component::Kafka, reason);
                return Ok(());
            }
        };
        let mut answers = Vec::new();
        let mut histories = BTreeMap::new();
        for (partition, Pending { question, .. }) in self.pending.clone() {
            let owner = Owner {
                cluster_id: cluster_id.clone(),
                group_id: self.identity.group_id.clone(),
                target_table: self.shared.plans.table_of(&partition.topic).unwrap_or_default(),
                topic_id: ids.get(&*partition.topic).cloned(),
            };
            match self.position(&question, &owner)? {
                Ok(answer) => {
                    if let Ok(position) = answer
                        && self.shared.policy.wants_history(&partition)
                    {
                        histories.insert(partition.clone(), self.history(&partition, position)?);
                    }
                    self.pending.remove(&partition);
                    answers.push((partition, question.epoch, answer));
                }
                Err(reason) => self.shared.health.fail(Component::Kafka, reason),
            }
        }
        self.shared.policy.remember(histories);
        if !answers.is_empty() {
            self.tell(Event::Resolved(answers));
        }
        Ok(())
    }

    /// What the breaker is to remember of a partition. Letters that cannot be read keep nothing from being written: if
    /// none can be stored either, the first one will say so.
    fn history(&mut self, partition: &TopicPartition, position: Offset) -> Result<History, Failure> {
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        let letters = shared.dead_letters.below(connection, partition, position, shared.policy.window());
        match letters {
            Ok(letters) => Ok(History { position: position.0, letters }),
            Err(error) if error.as_db_error().is_some() => {
                tracing::warn!(%partition, %error, "cannot read its dead letters; the breaker begins without them");
                Ok(History { position: position.0, letters: Vec::new() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes where the logs end, for `latest`: that is decided by the moment of the assignment, however long
    /// PostgreSQL is away or a table is missing after it.
    fn note_ends(&mut self) {
        if self.identity.auto_offset_reset != AutoOffsetReset::Latest {
            return;
        }
        for (partition, pending) in &mut self.pending {
            if pending.end.is_some() || pending.question.known {
                continue;
            }
            match watermarks(&self.consumer, partition) {
                Ok((_, high)) => {
                    tracing::info!(%partition, end = high, "noted the end of the log");
                    pending.end = Some(Offset(high));
                }
                Err(reason) => {
                    // The others would wait as long. It is tried again.
                    self.shared.health.fail(Component::Kafka, reason);
                    return;
                }
            }
        }
    }

    /// The position of one partition: stored, or from Kafka and then stored. The inner error is Kafka's, for people.
    fn position(
        &mut self,
        question: &Question,
        owner: &Owner,
    ) -> Result<Result<Result<Offset, Stopped>, String>, Failure> {
        let partition = &question.partition;
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        if let Some(stored) = shared.offsets.read(connection, partition)? {
            return Ok(Ok(check_owner(partition, &stored, owner)));
        }
        if question.known {
            return Ok(Ok(Err(Stopped::LostPosition(format!(
                "the position of {partition} was in PostgreSQL and is not there any more: the row was lost. Restore it, \
                 or choose a position with `sink-connector offsets reset`"
            )))));
        }
        let first = match self.first_position(partition) {
            Ok(Ok(first)) => first,
            Ok(Err(stopped)) => return Ok(Ok(Err(stopped))),
            Err(reason) => return Ok(Err(reason)),
        };
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        let stored = Stored { next: first, owner: owner.clone() };
        shared.offsets.store_first(connection, partition, &stored)?;
        // Read back: another sink may have been first.
        match shared.offsets.read(connection, partition)? {
            Some(stored) => Ok(Ok(check_owner(partition, &stored, owner))),
            None => {
                Err(Failure::transient(format!("the position of {partition} was stored and is not there")))
            }
        }
    }

    /// Where a partition without a stored position begins.
    fn first_position(&self, partition: &TopicPartition) -> Result<Result<Offset, Stopped>, String> {
        let ask = |what: &str, error: &dyn std::fmt::Display| {
            format!("cannot ask Kafka for {what} of {partition}: {error}")
        };
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition.0);
        let group = self
            .consumer
            .committed_offsets(list, KAFKA_TIMEOUT)
            .map_err(|e| ask("the group's offset", &e))?;
        let elements = group.elements();
        if let Some(element) = elements.first() {
            element.error().map_err(|e| ask("the group's offset", &e))?;
            if element.metadata().starts_with(COMMIT_METADATA) {
                return Ok(Err(Stopped::LostPosition(format!(
                    "{partition} has no position in PostgreSQL, but Kafka holds a commit of this sink ({}) at {:?}: the \
                     row was lost. Restore it, or choose a position with `sink-connector offsets reset`",
                    element.metadata(),
                    element.offset(),
                ))));
            }
            if let KafkaOffset::Offset(offset) = element.offset() {
                tracing::info!(%partition, offset, "starting from the group's offset in Kafka");
                return Ok(Ok(Offset(offset)));
            }
        }
        Ok(match self.identity.auto_offset_reset {
            AutoOffsetReset::Earliest => Ok(Offset(watermarks(&self.consumer, partition)?.0)),
            AutoOffsetReset::Latest => {
                let noted = self.pending.get(partition).and_then(|pending| pending.end);
                Ok(noted.ok_or_else(|| format!("the end of {partition} is not known yet"))?)
            }
            AutoOffsetReset::Error => Err(Stopped::NoPosition(format!(
                "{partition} has no position, neither in PostgreSQL nor in the group, and auto_offset_reset is error: \
                 choose one with `sink-connector offsets reset`"
            ))),
        })
    }

    fn kafka_identity(&mut self, topics: &[&str]) -> Result<(String, HashMap<String, String>), String> {
        if self.cluster_id.is_none() {
            self.cluster_id = self.consumer.client().fetch_cluster_id(KAFKA_TIMEOUT);
        }
        let cluster_id = self.cluster_id.clone().ok_or("the brokers do not answer")?;
        let ids = topic_ids(&self.consumer, topics, KAFKA_TIMEOUT)?;
        Ok((cluster_id, ids))
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
                for pid in ended {
                    tracing::warn!(pid, "ended an older session of this connector that held our positions");
                }
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

/// Where the log of `partition` begins and ends. The error is for people.
fn watermarks(consumer: &Consumer, partition: &TopicPartition) -> Result<(i64, i64), String> {
    consumer
        .fetch_watermarks(&partition.topic, partition.partition.0, KAFKA_TIMEOUT)
        .map_err(|error| format!("cannot ask Kafka for the watermarks of {partition}: {error}"))
}

/// A stored position is used only by the one who stored it.
fn check_owner(partition: &TopicPartition, stored: &Stored, owner: &Owner) -> Result<Offset, Stopped> {
    let theirs = &stored.owner;
    let differs = [
        ("cluster", &theirs.cluster_id, &owner.cluster_id),
        ("group", &theirs.group_id, &owner.group_id),
        ("target table", &theirs.target_table, &owner.target_table),
    ];
    for (what, there, here) in differs {
        if there != here {
            return Err(Stopped::ForeignPosition(format!(
                "the stored position of {partition} belongs to {what} {there:?}, but this sink has {here:?}: give this \
                 sink another `name`, or choose a position with `sink-connector offsets reset`"
            )));
        }
    }
    match (&theirs.topic_id, &owner.topic_id) {
        (Some(there), Some(here)) if there != here => Err(Stopped::TopicRecreated(format!(
            "topic {} was deleted and created again (id {there} is now {here}): position {} of {partition} means \
             nothing in the new one. Choose a position with `sink-connector offsets reset`",
            partition.topic, stored.next
        ))),
        _ => Ok(stored.next),
    }
}
