//! Kafka for the commands: metadata, offsets and members of the group. It never joins the group.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{Metadata, MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use shared::settings::nearest;

use crate::config::Config;
use crate::kafka::cause::{cause, last_error};
use crate::kafka::consumer::{ClientSettings, Consumer};
use crate::kafka::group::{self, Member};
use crate::kafka::topic_ids::topic_ids;
use crate::kafka::topics::Topics;
use crate::observe::metrics::Metrics;
use crate::positions::first::KAFKA_TIMEOUT;
use crate::types::TopicPartition;

/// Attempts to reach the group's coordinator: a cluster that has just started creates or loads its offsets topic first.
const GROUP_ATTEMPTS: u32 = 3;

/// A client of the cluster.
pub struct Kafka {
    /// Uses the group's id without being a member.
    pub consumer: Consumer,
    bootstrap_servers: String,
    group_id: String,
}

/// Why a command failed, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {action}")]
pub struct CommandError {
    /// What is wrong, and where.
    pub problem: String,
    /// What to do.
    pub action: String,
}

/// Members, for people.
pub(super) fn names(members: &[Member]) -> String {
    let name = |member: &Member| {
        let instance = member.instance.as_ref();
        let instance =
            instance.map(|id| format!(" (static member, group.instance.id {id:?})")).unwrap_or_default();
        format!("{} at {}{instance}", member.client_id, member.host)
    };
    members.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl CommandError {
    pub fn new(problem: impl Into<String>, action: impl Into<String>) -> Self {
        Self { problem: problem.into(), action: action.into() }
    }
}

impl Kafka {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// If librdkafka does not accept `[kafka.properties]`.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let kafka = &config.kafka;
        let metrics = Arc::new(Metrics::new(&config.name));
        let settings = ClientSettings { kafka, client_id: "kafka-sink-operator".to_owned(), metrics };
        let consumer = settings.observer().context("kafka.properties")?;
        let (bootstrap_servers, group_id) = (kafka.bootstrap_servers.clone(), kafka.group_id.clone());
        Ok(Self { consumer, bootstrap_servers, group_id })
    }

    /// The cluster's id; an error if no broker answers.
    pub fn cluster_id(&self) -> Result<String, CommandError> {
        self.consumer.client().fetch_cluster_id(KAFKA_TIMEOUT).ok_or_else(|| {
            let why = self.last_error().map(|why| format!(": {why}")).unwrap_or_default();
            CommandError::new(
                format!("no broker answers at {} within {KAFKA_TIMEOUT:?}{why}", self.bootstrap_servers),
                "correct kafka.bootstrap_servers and the security settings of [kafka.properties], or start the broker",
            )
        })
    }

    /// The configuration, with `kafka.topics` set to the topics that its pattern matches now.
    pub fn with_topics<'a>(&self, config: &'a Config) -> Result<Cow<'a, Config>, CommandError> {
        let failed = |problem: String| {
            CommandError::new(
                problem,
                "correct kafka.topics_regex, create a topic, or grant DESCRIBE and READ on it",
            )
        };
        let topics = Topics::of(&config.kafka).map_err(|error| failed(error.to_string()))?;
        if matches!(topics, Topics::Named(_)) {
            return Ok(Cow::Borrowed(config));
        }
        self.cluster_id()?;
        let mut config = config.clone();
        config.kafka.topics = topics.now(&self.consumer, KAFKA_TIMEOUT).map_err(|e| failed(e.to_string()))?;
        config.kafka.topics.sort_unstable();
        Ok(Cow::Owned(config))
    }

    pub fn partitions(&self, topic: &str) -> Result<Vec<TopicPartition>, CommandError> {
        let asked = self.metadata(topic)?;
        let found = asked.topics().iter().find(|t| t.name() == topic);
        match found.map(|t| (t.error().map(RDKafkaErrorCode::from), t.partitions())) {
            Some((None, partitions)) if !partitions.is_empty() => {
                let mut list: Vec<_> =
                    partitions.iter().map(|p| TopicPartition::new(topic, p.id())).collect();
                list.sort_unstable();
                Ok(list)
            }
            Some((Some(RDKafkaErrorCode::TopicAuthorizationFailed), _)) => Err(self.not_authorised(topic)),
            None | Some((None | Some(RDKafkaErrorCode::UnknownTopicOrPartition), _)) => {
                Err(self.no_topic(topic))
            }
            Some((Some(error), _)) => {
                Err(CommandError::new(format!("cannot read topic {topic}: {error}"), "see the brokers' log"))
            }
        }
    }

    fn metadata(&self, topic: &str) -> Result<Metadata, CommandError> {
        self.consumer.fetch_metadata(Some(topic), KAFKA_TIMEOUT).map_err(|error| {
            CommandError::new(
                format!("cannot read the metadata of topic {topic}: {}", cause(&self.consumer, &error)),
                "make sure that the brokers are reachable",
            )
        })
    }

    /// The partitions of a topic that have no leader. A request about one of them only times out.
    pub fn leaderless(&self, topic: &str) -> Result<BTreeSet<i32>, CommandError> {
        let found = self.metadata(topic)?;
        let of_topic = found.topics().iter().filter(|found| found.name() == topic);
        let without = of_topic.flat_map(MetadataTopic::partitions).filter(|partition| partition.leader() < 0);
        Ok(without.map(MetadataPartition::id).collect())
    }

    fn no_topic(&self, topic: &str) -> CommandError {
        let all = self.consumer.fetch_metadata(None, KAFKA_TIMEOUT);
        let names: Vec<&str> = all
            .as_ref()
            .map(|all| all.topics().iter().map(MetadataTopic::name).collect())
            .unwrap_or_default();
        let similar = nearest(topic, names.into_iter().filter(|name| !name.starts_with("__")));
        CommandError::new(
            format!("topic {topic:?} does not exist, or this user is not allowed to see it"),
            match similar {
                Some(similar) => {
                    format!("did you mean {similar:?}? Correct kafka.topics, or create the topic")
                }
                None => "create it, correct kafka.topics, or grant DESCRIBE and READ on it".to_owned(),
            },
        )
    }

    /// The error for a topic that this user may not read.
    pub fn not_authorised(&self, topic: &str) -> CommandError {
        CommandError::new(
            format!("not authorised to read topic {topic:?}"),
            format!(
                "grant READ and DESCRIBE: kafka-acls --add --allow-principal User:… --operation Read --operation \
                 Describe --topic {topic}"
            ),
        )
    }

    pub fn ids(&self, topics: &[&str]) -> Result<HashMap<String, String>, CommandError> {
        topic_ids(&self.consumer, topics, KAFKA_TIMEOUT).map_err(|error| {
            CommandError::new(format!("cannot read the ids of the topics: {error}"), "see the brokers' log")
        })
    }

    /// The active members of the group. `partition` is any that the sink reads.
    pub(crate) fn members(&self, partition: &TopicPartition) -> Result<Vec<Member>, CommandError> {
        // A group that this user may not describe looks like one without members. Reading its offsets shows the difference.
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition.0);
        let group = &self.group_id;
        let mut attempts = 0;
        loop {
            let committed = self.consumer.committed_offsets(list.clone(), KAFKA_TIMEOUT);
            let committed = committed
                .and_then(|offsets| offsets.elements().iter().try_for_each(TopicPartitionListElem::error));
            let Err(error) = committed else { break };
            let error = self.group_error(format!("cannot read the offsets of group {group:?}: {error}"));
            attempts += 1;
            if attempts == GROUP_ATTEMPTS || error == self.not_authorised_for_group() {
                return Err(error);
            }
        }
        group::members(&self.consumer, group, KAFKA_TIMEOUT * 2)
            .map_err(|error| self.group_error(format!("cannot read the members of group {group:?}: {error}")))
    }

    /// The error for a failed request about the group. Often the request only times out, and a poll returns the reason.
    pub fn group_error(&self, problem: String) -> CommandError {
        let denied = Some(RDKafkaErrorCode::GroupAuthorizationFailed);
        let polled = (0..20).filter_map(|_| self.consumer.poll(Duration::from_millis(10)));
        let is_denied = polled.filter_map(Result::err).any(|error| error.rdkafka_error_code() == denied);
        if is_denied || problem.contains("GroupAuthorizationFailed") {
            return self.not_authorised_for_group();
        }
        let problem = match self.last_error() {
            Some(why) => format!("{problem}: {why}"),
            None => problem,
        };
        CommandError::new(problem, "make sure that every partition has a leader, and see the brokers' log")
    }

    fn not_authorised_for_group(&self) -> CommandError {
        let group = &self.group_id;
        CommandError::new(
            format!("not authorised to use the consumer group {group:?}"),
            format!(
                "grant READ on it: kafka-acls --add --allow-principal User:… --operation Read --group {group}"
            ),
        )
    }

    /// The client's last error, if any.
    pub fn last_error(&self) -> Option<String> {
        last_error(&self.consumer)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn partitions_without_a_leader_are_known_at_once() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 3, 1).unwrap();
        cluster.partition_leader("t", 1, None).unwrap();
        let mut config = Config::default();
        config.kafka.bootstrap_servers = cluster.bootstrap_servers();
        let kafka = Kafka::new(&config).unwrap();
        assert_eq!(kafka.leaderless("t").unwrap(), BTreeSet::from([1]));
    }
}
