//! The Kafka consumer: its properties, and a rebalance callback without I/O.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use shared::kafka::{Causes, LoginSource, RenewedLogin};

use crate::config::Kafka;
use crate::config::librdkafka::consumer_protocol;
use crate::observe::metrics::Metrics;
use crate::types::{Offset, TopicPartition};

/// The consumer, shared between the source and the threads that query Kafka.
pub(crate) type Consumer = Arc<BaseConsumer<Context>>;

/// How long the group keeps the partitions of a member that has ended without leaving: one that was killed, or this process
/// before an outage of Kafka, which joins as a new member after it. librdkafka's 45 s spare rebalances; those of a sink are
/// short, and safe.
const SESSION_TIMEOUT_MS: &str = "15000";

/// How long a poll waits while the consumer is closing.
const CLOSING_POLL: Duration = Duration::from_millis(10);

/// A change of the assignment. The source handles it after the poll during which the callback ran.
#[derive(Debug)]
pub enum Rebalanced {
    /// New partitions. Fetching starts when their positions are known.
    Assigned(Vec<TopicPartition>),
    /// Revoked partitions, already unassigned.
    Revoked(Vec<TopicPartition>),
}

/// State that the callbacks write and the source reads.
pub struct Context {
    rebalances: Mutex<Vec<Rebalanced>>,
    causes: Causes,
    metrics: Arc<Metrics>,
    login: OnceLock<RenewedLogin>,
    role: Role,
}

/// What a client is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A member of the group, which only the source polls.
    Member,
    /// Queries.
    Queries,
}

impl Context {
    /// Rebalances since the last call.
    pub fn take_rebalances(&self) -> Vec<Rebalanced> {
        std::mem::take(&mut *self.rebalances.lock())
    }

    /// Its errors.
    pub(super) fn causes(&self) -> &Causes {
        &self.causes
    }

    /// Whether only the source may poll it.
    pub(super) fn is_member(&self) -> bool {
        self.role == Role::Member
    }

    /// The brokers have answered: earlier errors are not the cause of a later failure.
    pub(crate) fn answered(&self) {
        self.causes.answered();
    }

    /// The brokers answer again: the next error is logged at once.
    pub(crate) fn recovered(&self) {
        self.causes.recovered();
    }

    /// Logs an error, unless it was logged within the last minute or another client of the process reports it.
    pub(crate) fn warn(&self, error: &str) {
        self.causes.warn(error);
    }

    fn note(&self, rebalanced: Rebalanced, kind: &str) {
        self.metrics.rebalances.with_label_values(&[kind]).inc();
        self.rebalances.lock().push(rebalanced);
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        self.causes.error(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.causes.log(level, facility, message);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = partitions_of(list);
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.note(Rebalanced::Assigned(partitions), "assign");
            return;
        }
        let kind = if consumer.assignment_lost() { "lost" } else { "revoke" };
        // Only assigned partitions can be unassigned: the position of one may still be unknown.
        let assigned = consumer.assignment().map(|list| partitions_of(&list)).unwrap_or_default();
        let mut ours = TopicPartitionList::new();
        for partition in partitions.iter().filter(|p| assigned.contains(p)) {
            ours.add_partition(&partition.topic, partition.partition.0);
        }
        let unassigned =
            if cooperative(consumer) { consumer.incremental_unassign(&ours) } else { consumer.unassign() };
        if let Err(error) = unassigned {
            tracing::error!(%error, "cannot unassign revoked partitions");
        }
        self.note(Rebalanced::Revoked(partitions), kind);
    }
}

/// Whether the group uses the cooperative protocol: partitions are assigned and revoked one by one.
pub(crate) fn cooperative(consumer: &BaseConsumer<Context>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// What the `client.id` of every sink begins with, before the name of its connector.
pub(crate) const CLIENT_ID: &str = "kafka-sink-";

/// What the clients of this process are created from.
pub(crate) struct ClientSettings<'a> {
    pub kafka: &'a Kafka,
    pub client_id: String,
    pub metrics: Arc<Metrics>,
}

impl ClientSettings<'_> {
    /// Creates the consumer of `run`.
    pub(crate) fn consumer(self) -> KafkaResult<Consumer> {
        with_context(&self.properties(), self.kafka.login(), self.metrics, Causes::default(), Role::Member)
    }

    /// Creates a consumer for commands. It never joins the group, and reports the end of each assigned partition.
    pub(crate) fn observer(self) -> KafkaResult<Consumer> {
        let mut properties = self.query_properties();
        properties.set("enable.partition.eof", "true");
        with_context(&properties, self.kafka.login(), self.metrics, Causes::default(), Role::Queries)
    }

    /// Creates a client for queries only. Its errors are logged at debug level: the consumer of the process reports them.
    pub(crate) fn query_client(self) -> KafkaResult<Consumer> {
        let properties = self.query_properties();
        with_context(&properties, self.kafka.login(), self.metrics, Causes::quiet(), Role::Queries)
    }

    fn query_properties(&self) -> ClientConfig {
        let mut properties = self.properties();
        // A query that waits for a broker of which the client needs a connection now and then makes it connect without a
        // pause, and use a whole core (librdkafka 2.12.1, RD_KAFKA_OP_CONNECT). With a connection to every broker, it
        // connects again after growing pauses.
        properties.set("enable.sparse.connections", "false");
        properties
    }

    /// The user's properties, over defaults of ours and under those that the sink needs.
    pub(super) fn properties(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Bounds the memory of prefetched records. 3 MiB is about 5,000 live scores: more of them gained nothing in
        // `make bench`, and full batches need the memory. Fetched batches are not included and grow several times when
        // decompressed, so fetches are small.
        config.set("queued.max.messages.kbytes", "3072");
        config.set("queued.min.messages", "20000");
        config.set("fetch.message.max.bytes", "262144");
        config.set("fetch.max.bytes", "4194304");
        // With the default of 1000, the queue stays empty for up to a second each time it was full.
        config.set("fetch.queue.backoff.ms", "10");
        config.set("fetch.wait.max.ms", "100");
        config.set("client.id", &self.client_id);
        config.set("topic.metadata.refresh.interval.ms", "10000");
        // With the default of 10000, a broker that is back may be noticed only 10 s later.
        config.set("reconnect.backoff.max.ms", "2000");
        // With the consumer protocol, the brokers set it. A static member keeps its partitions while it is restarted.
        let is_static = self.kafka.librdkafka().any(|(name, _)| name == "group.instance.id");
        if !is_static && !consumer_protocol(self.kafka.librdkafka()) {
            config.set("session.timeout.ms", SESSION_TIMEOUT_MS);
        }
        for (name, value) in self.kafka.librdkafka() {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.kafka.bootstrap_servers);
        config.set("group.id", &self.kafka.group_id);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        // Otherwise librdkafka silently moves a position that is out of range.
        config.set("auto.offset.reset", "error");
        let protocol = config.get("group.protocol").map(|protocol| ("group.protocol", protocol));
        // With the consumer protocol, the brokers assign partitions, one by one as well.
        if !consumer_protocol(protocol) {
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        config.set("isolation.level", "read_committed");
        config.set("enable.partition.eof", "false");
        config.set("allow.auto.create.topics", "false");
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

fn with_context(
    config: &ClientConfig,
    login: Option<LoginSource>,
    metrics: Arc<Metrics>,
    causes: Causes,
    role: Role,
) -> KafkaResult<Consumer> {
    let causes = causes.explaining(config, login.clone());
    let context = Context { rebalances: Mutex::default(), causes, metrics, login: OnceLock::new(), role };
    let consumer: Consumer = Arc::new(config.create_with_context(context)?);
    if let Some(login) = login {
        let renewed =
            login.renew(&consumer).map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        consumer.context().login.get_or_init(|| renewed);
    }
    Ok(consumer)
}

/// Waits for pending commits and leaves the group. It may never return if Kafka does not answer.
pub(crate) fn leave(consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
    // An assignment whose positions are not known yet has not been answered.
    answer_with_nothing(consumer)?;
    // Closing alone sends no LeaveGroup if the member has no partition (librdkafka 2.12.1).
    consumer.unsubscribe();
    consumer.close_queue()?;
    while !consumer.closed() {
        consumer.poll(CLOSING_POLL);
        if consumer.context().take_rebalances().iter().any(|r| matches!(r, Rebalanced::Assigned(_))) {
            answer_with_nothing(consumer)?;
        }
    }
    Ok(())
}

/// Answers an assignment without taking its partitions: librdkafka waits until every assignment is answered.
fn answer_with_nothing(consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
    let nothing = TopicPartitionList::new();
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(&nothing),
        RebalanceProtocol::Eager => consumer.assign(&nothing),
        RebalanceProtocol::None => Ok(()),
    }
}

pub(crate) fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

pub(crate) fn list_of<'a>(
    positions: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, position) in positions {
        list.add_partition_offset(&partition.topic, partition.partition.0, KafkaOffset::Offset(position.0))?;
    }
    Ok(list)
}

/// Positions to commit, each with this metadata.
pub(crate) fn list_to_commit<'a>(
    positions: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
    metadata: &str,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, next) in positions {
        let mut element = list.add_partition(&partition.topic, partition.partition.0);
        element.set_offset(KafkaOffset::Offset(next.0))?;
        element.set_metadata(metadata);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn session_timeout(properties: &str) -> Option<String> {
        let config = format!(
            "[kafka]\nbootstrap_servers = \"b:9092\"\ngroup_id = \"g\"\n[kafka.properties]\n{properties}"
        );
        let config = Config::from_text(&config, &[]).unwrap();
        let metrics = Arc::new(Metrics::new("c"));
        let settings = ClientSettings { kafka: &config.kafka, client_id: "c".to_owned(), metrics };
        settings.properties().get("session.timeout.ms").map(str::to_owned)
    }

    #[test]
    fn a_session_ends_after_fifteen_seconds_unless_the_user_or_the_brokers_say_otherwise() {
        assert_eq!(session_timeout("").as_deref(), Some("15000"));
        assert_eq!(session_timeout("\"session.timeout.ms\" = 45000").as_deref(), Some("45000"));
        assert_eq!(session_timeout("\"group.protocol\" = \"consumer\""), None);
        assert_eq!(session_timeout("\"group.instance.id\" = \"i\""), None);
    }
}
