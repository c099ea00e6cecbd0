//! Log ends: a thread that queries Kafka for the first and last offsets of partitions, and for access to the topics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::consumer::Consumer as _;

use crate::kafka::cause::{forget_errors, hand_over_errors, last_error};
use crate::kafka::consumer::Consumer;
use crate::kafka::list_offsets;
use crate::kafka::query::QueryError;
use crate::kafka::topic_ids::{DescribeError, Described, describe};
use crate::kafka::topics::Topics;
use crate::messages::events::{self, Event, Watermarks};
use crate::messages::requests::{CompareTopics, ReadLogEnds, WatchedPartitions};
use crate::observe::health::{Component, Health};
use crate::types::{Offset, TopicPartition};

/// Time-out of one query.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// Time-out of the very first query. A broker that refuses is named after it; one that is only slow is asked again.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

/// Time-out of the queries after one timed out in the same round: hundreds of partitions may have no leader.
const TIMEOUT_AFTER_FAILURE: Duration = Duration::from_millis(500);

pub(crate) struct LogEnds {
    pub queries: Consumer,
    /// The member of the group, whose errors are logged.
    pub consumer: Consumer,
    pub events: Sender<Event>,
    pub topic_ids: Sender<CompareTopics>,
    pub health: Arc<Health>,
    pub topics: Topics,
    /// The topics that were found last, if the sink subscribes to them by name.
    pub found: Vec<String>,
    pub watched: WatchedPartitions,
    pub interval: Duration,
    /// Whether to report the current ends once, for `--until-end`.
    pub wants_goal: bool,
    /// Every topic could be read when it was looked at last.
    pub all_readable: bool,
}

impl LogEnds {
    /// Runs until the channel is closed.
    pub(crate) fn run(mut self, requests: &Receiver<ReadLogEnds>) {
        let mut timeout = FIRST_TIMEOUT;
        loop {
            match self.read(timeout) {
                Ok(()) => self.recovered(),
                Err(_) if timeout == FIRST_TIMEOUT && last_error(&self.queries).is_none() => {}
                Err(error) => self.health.fail(Component::Kafka, error.to_string()),
            }
            timeout = KAFKA_TIMEOUT;
            let wait = if self.wants_goal || !self.all_readable || !self.health.is_ok(&Component::Kafka) {
                Duration::from_millis(500)
            } else {
                self.interval
            };
            match requests.recv_timeout(wait) {
                Ok(ReadLogEnds) => while requests.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn recovered(&self) {
        forget_errors(&self.queries);
        if !self.health.is_ok(&Component::Kafka) {
            self.consumer.context().recovered();
            self.health.recovered(&Component::Kafka);
        }
    }

    fn read(&mut self, timeout: Duration) -> Result<(), QueryError> {
        hand_over_errors(&self.queries);
        let topics = self.topics.now(&self.queries, timeout)?;
        self.subscribe(&topics);
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        if self.topic_ids.send(names.iter().map(|name| Arc::from(*name)).collect()).is_err() {
            tracing::debug!("the thread that compares topic ids has ended");
        }
        let described = describe(&self.queries, &names, timeout);
        // One broker was asked, and the leaders may be others.
        let unanswered = matches!(described, Err(DescribeError::Unreachable(_)));
        // An error of one topic or partition must not hide the ends of the others.
        let unreadable = described.map_err(QueryError::from).and_then(|now| self.unreadable(&names, &now));
        let (unreadable, mut trouble) = match unreadable {
            Ok(unreadable) => (unreadable, None),
            Err(error) => (BTreeMap::new(), Some(error)),
        };
        if trouble.is_none() {
            self.health.topics(names.len(), &unreadable);
            self.all_readable = unreadable.is_empty();
        }
        if self.wants_goal && trouble.is_none() {
            trouble = self.goal(&topics).err();
        }
        let mut watched = self.watched.lock().clone();
        watched.retain(|partition| !unreadable.contains_key(&*partition.topic));
        let timeout = |failed| if failed { TIMEOUT_AFTER_FAILURE } else { KAFKA_TIMEOUT };
        let mut known = self.ends(&watched, timeout(unanswered));
        let all = watched.len();
        let mut found = Vec::with_capacity(all);
        for partition in watched {
            match known.remove(&partition) {
                Some(watermarks) => found.push((partition, watermarks)),
                // Hundreds of queries would only time out.
                None if unanswered => {}
                None => match self.watermarks(&partition, timeout(trouble.is_some())) {
                    Ok(watermarks) => found.push((partition, watermarks)),
                    Err(error) => trouble = trouble.or(Some(error)),
                },
            }
        }
        let leaders_answer = unanswered && all > 0 && found.len() == all;
        events::send(&self.events, Event::Watermarks(found));
        trouble.filter(|_| !leaders_answer).map_or(Ok(()), Err)
    }

    fn subscribe(&mut self, topics: &[String]) {
        let mut topics = topics.to_vec();
        topics.sort_unstable();
        if self.topics.by_name() && topics != self.found {
            self.found.clone_from(&topics);
            events::send(&self.events, Event::Topics(topics));
        }
    }

    /// The ends of the partitions that have a leader. The others are queried one by one, and the errors say what is wrong.
    fn ends(&self, partitions: &[TopicPartition], timeout: Duration) -> HashMap<TopicPartition, Watermarks> {
        let listed = list_offsets::log_ends(&self.queries, partitions, timeout).unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot list the log ends at once");
            HashMap::new()
        });
        listed.into_iter().map(|(partition, (low, high))| (partition, Watermarks { low, high })).collect()
    }

    fn watermarks(&self, partition: &TopicPartition, timeout: Duration) -> Result<Watermarks, QueryError> {
        let (low, high) = self
            .queries
            .fetch_watermarks(&partition.topic, partition.partition.0, timeout)
            .map_err(QueryError::failed(&self.queries, "the end", partition))?;
        Ok(Watermarks { low: Offset(low), high: Offset(high) })
    }

    fn goal(&mut self, topics: &[String]) -> Result<(), QueryError> {
        let mut all = Vec::new();
        for topic in topics {
            let metadata = self
                .queries
                .fetch_metadata(Some(topic), KAFKA_TIMEOUT)
                .map_err(QueryError::failed(&self.queries, "the partitions", topic))?;
            let found = metadata.topics().iter().find(|t| t.name() == topic);
            let partitions = found.map(rdkafka::metadata::MetadataTopic::partitions).unwrap_or_default();
            if partitions.is_empty() {
                return Err(QueryError::NoTopic(topic.clone()));
            }
            all.extend(partitions.iter().map(|p| TopicPartition::new(topic.as_str(), p.id())));
        }
        let mut known = self.ends(&all, KAFKA_TIMEOUT);
        let mut ends = HashMap::with_capacity(all.len());
        for partition in all {
            let known = known.remove(&partition).map(Ok);
            // Includes empty logs: a position before the end of one means that records were deleted unread.
            let Watermarks { high, .. } =
                known.unwrap_or_else(|| self.watermarks(&partition, KAFKA_TIMEOUT))?;
            ends.insert(partition, high);
        }
        self.wants_goal = false;
        events::send(&self.events, Event::Goal(ends));
        Ok(())
    }

    /// The topics that do not exist or may not be read, and why.
    fn unreadable(&self, topics: &[&str], now: &Described) -> Result<BTreeMap<String, String>, QueryError> {
        // The group assigns a topic that may not be read like any other, and no record arrives.
        let refused =
            now.unreadable.iter().map(|topic| (topic.clone(), QueryError::NotAuthorised(topic.clone())));
        let mut unreadable: BTreeMap<String, String> =
            refused.map(|(topic, error)| (topic, error.to_string())).collect();
        // A broker before 2.8 has no topic ids; the metadata shows whether the topic exists.
        for topic in topics.iter().filter(|topic| !now.ids.contains_key(**topic)) {
            let metadata = self
                .queries
                .fetch_metadata(Some(topic), KAFKA_TIMEOUT)
                .map_err(QueryError::failed(&self.queries, "the partitions", topic))?;
            if metadata.topics().iter().all(|t| t.name() != *topic || t.partitions().is_empty()) {
                let error = QueryError::NotVisible((*topic).to_owned());
                unreadable.insert((*topic).to_owned(), error.to_string());
            }
        }
        Ok(unreadable)
    }
}
