//! The Kafka consumer: its properties, and a rebalance callback that does no I/O.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::metrics::Metrics;
use crate::types::{Offset, TopicPartition};

/// The consumer, shared between the poll thread and those who ask Kafka something.
pub type Consumer = Arc<BaseConsumer<Context>>;

/// How long a poll waits while the consumer is being closed.
const LEAVING: Duration = Duration::from_millis(10);

/// What happened to the assignment. The poll thread acts on it after the poll that brought it.
#[derive(Debug)]
pub enum Rebalanced {
    /// These are ours now; they are not fetched before their positions are known.
    Assigned(Vec<TopicPartition>),
    /// These are not ours any more; they are unassigned already.
    Revoked(Vec<TopicPartition>),
}

/// The callbacks' side of the poll thread.
pub struct Context {
    rebalances: Mutex<Vec<Rebalanced>>,
    last_error: Mutex<Option<String>>,
    metrics: Arc<Metrics>,
    /// Another client says the same.
    quiet: bool,
}

impl Context {
    /// Rebalances since the last call.
    pub fn take_rebalances(&self) -> Vec<Rebalanced> {
        std::mem::take(&mut *self.rebalances.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// What the client last complained about, for people: a request that failed says only that it timed out.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn note(&self, rebalanced: Rebalanced, kind: &str) {
        self.metrics.rebalances.with_label_values(&[kind]).inc();
        self.rebalances.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(rebalanced);
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        if self.quiet {
            tracing::debug!(%error, reason, "Kafka");
        } else {
            tracing::warn!(%error, reason, "Kafka");
        }
        // That all brokers are down only follows from what was said of one before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some(reason.to_owned());
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
                if !self.quiet =>
            {
                tracing::warn!(facility, message, "librdkafka");
            }
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
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
        // Only what was assigned can be unassigned: a position may still be on its way.
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

/// Whether partitions come and go one by one.
pub fn cooperative(consumer: &BaseConsumer<Context>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Makes the consumer. `properties` are the user's; what the sink owns stands above them.
pub fn create(
    bootstrap_servers: &str,
    group_id: &str,
    client_id: &str,
    properties: impl IntoIterator<Item = (String, String)>,
    metrics: Arc<Metrics>,
) -> KafkaResult<Consumer> {
    with_context(&settings(bootstrap_servers, group_id, client_id, properties), metrics, false)
}

/// Makes a consumer that asks and looks, and never joins the group: for the operator's commands. Partitions are
/// assigned to it by hand, and it says where they end.
pub fn observer(
    bootstrap_servers: &str,
    group_id: &str,
    client_id: &str,
    properties: impl IntoIterator<Item = (String, String)>,
    metrics: Arc<Metrics>,
) -> KafkaResult<Consumer> {
    let mut config = settings(bootstrap_servers, group_id, client_id, properties);
    config.set("enable.partition.eof", "true");
    with_context(&config, metrics, false)
}

/// Makes a consumer that only asks, beside one that reads: what is wrong, that one says.
pub fn asker(
    bootstrap_servers: &str,
    group_id: &str,
    client_id: &str,
    properties: impl IntoIterator<Item = (String, String)>,
    metrics: Arc<Metrics>,
) -> KafkaResult<Consumer> {
    with_context(&settings(bootstrap_servers, group_id, client_id, properties), metrics, true)
}

fn with_context(config: &ClientConfig, metrics: Arc<Metrics>, quiet: bool) -> KafkaResult<Consumer> {
    let context = Context { rebalances: Mutex::default(), last_error: Mutex::default(), metrics, quiet };
    let consumer: BaseConsumer<Context> = config.create_with_context(context)?;
    Ok(Arc::new(consumer))
}

fn settings(
    bootstrap_servers: &str,
    group_id: &str,
    client_id: &str,
    properties: impl IntoIterator<Item = (String, String)>,
) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Memory: what librdkafka may hold ready. 8 MiB is some 10,000 records of the live scores: enough to keep two
    // writers busy, little enough to be stopped by a slow database without anybody noticing. What a fetch brings is
    // compressed and comes on top, several times larger once it is read: so fetches are small.
    config.set("queued.max.messages.kbytes", "8192");
    config.set("queued.min.messages", "20000");
    config.set("fetch.message.max.bytes", "262144");
    config.set("fetch.max.bytes", "4194304");
    // The default of 1000 leaves the queue empty for most of a second each time it was full.
    config.set("fetch.queue.backoff.ms", "10");
    config.set("fetch.wait.max.ms", "100");
    config.set("client.id", client_id);
    config.set("topic.metadata.refresh.interval.ms", "10000");
    for (name, value) in properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", bootstrap_servers);
    config.set("group.id", group_id);
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    // librdkafka would move a position that is out of range, silently.
    config.set("auto.offset.reset", "error");
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "false");
    config.set("allow.auto.create.topics", "false");
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// Waits for the answers to what was committed, and leaves the group. Returns when Kafka knows; that may be never.
pub fn leave(consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
    if cooperative(consumer) {
        // An assignment whose positions are not known yet has not been answered, and librdkafka would wait for that.
        consumer.incremental_assign(&TopicPartitionList::new())?;
    }
    consumer.close_queue()?;
    while !consumer.closed() {
        consumer.poll(LEAVING);
    }
    Ok(())
}

/// The partitions of a list.
pub fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

/// A list of partitions with positions.
pub fn list_of<'a>(
    positions: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, position) in positions {
        list.add_partition_offset(&partition.topic, partition.partition.0, KafkaOffset::Offset(position.0))?;
    }
    Ok(list)
}
