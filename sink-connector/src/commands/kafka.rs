//! Kafka as the operator's commands see it: questions and a look at records. It never joins the group.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::groups::GroupInfo;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use shared::settings::nearest;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::positions::KAFKA_TIMEOUT;
use crate::source::consumer::{self, Consumer};
use crate::source::topic_ids::topic_ids;
use crate::topics::Topics;
use crate::types::TopicPartition;

/// How often the group's coordinator is asked: a cluster that has just come up makes or loads its offsets topic first.
const GROUP_TRIES: u32 = 3;

/// The cluster, for questions.
pub struct Kafka {
    /// Asks in the name of the group, without being a member.
    pub consumer: Consumer,
    bootstrap_servers: String,
    group_id: String,
}

/// A failure, and what the operator can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {action}")]
pub struct Trouble {
    /// What is wrong, and where.
    pub problem: String,
    /// What to do.
    pub action: String,
}

impl Trouble {
    /// A problem and its remedy.
    pub fn new(problem: impl Into<String>, action: impl Into<String>) -> Self {
        Self { problem: problem.into(), action: action.into() }
    }
}

impl Kafka {
    /// A client that has not asked anything yet.
    ///
    /// # Errors
    /// What librdkafka refuses of `[kafka.properties]`.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let properties = config.kafka.librdkafka().map(|(k, v)| (k.to_owned(), v.to_owned()));
        let (servers, group) = (&config.kafka.bootstrap_servers, &config.kafka.group_id);
        let metrics = Arc::new(Metrics::new(&config.name));
        let consumer = consumer::observer(servers, group, "kafka-sink-operator", properties, metrics)
            .context("kafka.properties")?;
        Ok(Self { consumer, bootstrap_servers: servers.clone(), group_id: group.clone() })
    }

    /// The cluster's id: whether anybody answers.
    pub fn cluster_id(&self) -> Result<String, Trouble> {
        self.consumer.client().fetch_cluster_id(KAFKA_TIMEOUT).ok_or_else(|| {
            let why = self.last_error().map(|why| format!(": {why}")).unwrap_or_default();
            Trouble::new(
                format!("no broker answers at {} within {KAFKA_TIMEOUT:?}{why}", self.bootstrap_servers),
                "correct kafka.bootstrap_servers and the security settings of [kafka.properties], or start the broker",
            )
        })
    }

    /// The configuration with the topics that its pattern matches now in the place of named ones.
    pub fn with_topics<'a>(&self, config: &'a Config) -> Result<Cow<'a, Config>, Trouble> {
        let trouble = |problem: String| {
            Trouble::new(
                problem,
                "correct kafka.topics_regex, create a topic, or grant DESCRIBE and READ on it",
            )
        };
        let topics = config.kafka.subscribed().map_err(|error| trouble(error.to_string()))?;
        if matches!(topics, Topics::Named(_)) {
            return Ok(Cow::Borrowed(config));
        }
        self.cluster_id()?;
        let mut config = config.clone();
        config.kafka.topics = topics.now(&self.consumer, KAFKA_TIMEOUT).map_err(trouble)?;
        config.kafka.topics.sort_unstable();
        Ok(Cow::Owned(config))
    }

    /// The partitions of a topic.
    pub fn partitions(&self, topic: &str) -> Result<Vec<TopicPartition>, Trouble> {
        let asked = self.consumer.fetch_metadata(Some(topic), KAFKA_TIMEOUT).map_err(|error| {
            Trouble::new(format!("cannot ask for topic {topic}: {error}"), "see that the brokers answer")
        })?;
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
                Err(Trouble::new(format!("topic {topic} cannot be read: {error}"), "see the brokers' log"))
            }
        }
    }

    fn no_topic(&self, topic: &str) -> Trouble {
        let all = self.consumer.fetch_metadata(None, KAFKA_TIMEOUT);
        let names: Vec<&str> = all
            .as_ref()
            .map(|all| all.topics().iter().map(MetadataTopic::name).collect())
            .unwrap_or_default();
        let meant = nearest(topic, names.into_iter().filter(|name| !name.starts_with("__")));
        Trouble::new(
            format!("topic {topic:?} does not exist, or this user may not see it"),
            match meant {
                Some(meant) => format!("did you mean {meant:?}? Correct kafka.topics, or create the topic"),
                None => "create it, correct kafka.topics, or grant DESCRIBE and READ on it".to_owned(),
            },
        )
    }

    /// The trouble of a topic that may not be read.
    pub fn not_authorised(&self, topic: &str) -> Trouble {
        Trouble::new(
            format!("not authorised to read topic {topic:?}"),
            format!(
                "grant READ and DESCRIBE: kafka-acls --add --allow-principal User:… --operation Read --operation \
                 Describe --topic {topic}"
            ),
        )
    }

    /// The ids of topics that have one.
    pub fn ids(&self, topics: &[&str]) -> Result<HashMap<String, String>, Trouble> {
        topic_ids(&self.consumer, topics, KAFKA_TIMEOUT).map_err(|error| {
            Trouble::new(format!("cannot ask for the topics' ids: {error}"), "see the brokers' log")
        })
    }

    /// The living members of the group, for people. `partition` is any that the sink reads.
    pub fn members(&self, partition: &TopicPartition) -> Result<Vec<String>, Trouble> {
        // A group that may not be described looks like one without members; its offsets tell the difference.
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition.0);
        let group = &self.group_id;
        let mut tries = 0;
        loop {
            let held = self.consumer.committed_offsets(list.clone(), KAFKA_TIMEOUT);
            let held =
                held.and_then(|held| held.elements().iter().try_for_each(TopicPartitionListElem::error));
            let Err(error) = held else { break };
            let trouble = self.refused(format!("cannot ask for the offsets of group {group:?}: {error}"));
            tries += 1;
            if tries == GROUP_TRIES || trouble == self.no_group() {
                return Err(trouble);
            }
        }
        let list = self.consumer.fetch_group_list(Some(group), KAFKA_TIMEOUT * 2).map_err(|error| {
            self.refused(format!("cannot ask for the members of group {group:?}: {error}"))
        })?;
        Ok(list
            .groups()
            .iter()
            .filter(|found| found.name() == group)
            .flat_map(GroupInfo::members)
            .map(|member| {
                format!("{} at {}", member.client_id(), member.client_host().trim_start_matches('/'))
            })
            .collect())
    }

    /// The trouble behind a question about the group that failed: its error often says no more than that it timed out,
    /// and the reason comes with a poll.
    pub fn refused(&self, problem: String) -> Trouble {
        let denied = Some(RDKafkaErrorCode::GroupAuthorizationFailed);
        let polled = (0..20).filter_map(|_| self.consumer.poll(Duration::from_millis(10)));
        let said = polled.filter_map(Result::err).any(|error| error.rdkafka_error_code() == denied);
        if said || problem.contains("GroupAuthorizationFailed") {
            return self.no_group();
        }
        Trouble::new(problem, "see that every partition has a leader, and the brokers' log")
    }

    /// The trouble of a group that may not be used.
    fn no_group(&self) -> Trouble {
        let group = &self.group_id;
        Trouble::new(
            format!("not authorised to use the consumer group {group:?}"),
            format!(
                "grant READ on it: kafka-acls --add --allow-principal User:… --operation Read --group {group}"
            ),
        )
    }

    /// What the client complained about, if anything.
    pub fn last_error(&self) -> Option<String> {
        // Complaints come with polls.
        for _ in 0..10 {
            if self.consumer.poll(Duration::from_millis(10)).is_none()
                && self.consumer.context().last_error().is_some()
            {
                break;
            }
        }
        self.consumer.context().last_error()
    }
}
