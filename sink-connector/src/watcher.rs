//! The watcher: a thread that asks Kafka where the logs begin and end, and whether the topics can be read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::consumer::Consumer as _;

use crate::events::{Event, Watermarks};
use crate::health::{Component, Health};
use crate::identities;
use crate::source::consumer::Consumer;
use crate::source::topic_ids::describe;
use crate::topics::Topics;
use crate::types::{Offset, TopicPartition};

/// How long it waits for Kafka to answer one question.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// … once another question of the same look had no answer: there may be hundreds of partitions without a leader.
const IN_TROUBLE: Duration = Duration::from_millis(500);

/// The partitions that the poll thread wants watched; it writes, the watcher reads.
pub type Watched = Arc<Mutex<Vec<TopicPartition>>>;

/// Asks the watcher to look now, not at the next interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LookNow;

/// The thread's state.
pub struct Watcher {
    /// The consumer.
    pub consumer: Consumer,
    /// Where news goes.
    pub events: Sender<Event>,
    /// Who compares the ids of the topics.
    pub identities: Sender<identities::Topics>,
    /// Where trouble is noted.
    pub health: Arc<Health>,
    /// What was subscribed to.
    pub topics: Topics,
    /// The partitions to watch.
    pub watched: Watched,
    /// How often to look.
    pub interval: Duration,
    /// `--until-end` wants to know the ends as they are at the start.
    pub wants_goal: bool,
}

impl Watcher {
    /// Works until the channel is closed.
    pub fn run(mut self, requests: &Receiver<LookNow>) {
        loop {
            match self.look() {
                Ok(()) => self.health.well(&Component::Kafka),
                Err(reason) => self.health.fail(Component::Kafka, reason),
            }
            let wait = if self.wants_goal || !self.health.is_well(&Component::Kafka) {
                Duration::from_millis(500)
            } else {
                self.interval
            };
            match requests.recv_timeout(wait) {
                Ok(LookNow) => while requests.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) -> Result<(), String> {
        let topics = self.topics.now(&self.consumer, KAFKA_TIMEOUT)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        if self.identities.send(names.iter().map(|name| Arc::from(*name)).collect()).is_err() {
            tracing::debug!("nobody compares the ids of topics any more");
        }
        // What is wrong with one topic or partition must not hide where the others stand.
        let mut trouble = self.readable(&names).err();
        if self.wants_goal && trouble.is_none() {
            trouble = self.goal(&topics).err();
        }
        let watched = self.watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let mut found = Vec::with_capacity(watched.len());
        for partition in watched {
            let timeout = if trouble.is_none() { KAFKA_TIMEOUT } else { IN_TROUBLE };
            match self.watermarks(&partition, timeout) {
                Ok(watermarks) => found.push((partition, watermarks)),
                Err(reason) => trouble = trouble.or(Some(reason)),
            }
        }
        self.tell(Event::Watermarks(found));
        trouble.map_or(Ok(()), Err)
    }

    fn watermarks(&self, partition: &TopicPartition, timeout: Duration) -> Result<Watermarks, String> {
        let (low, high) = self
            .consumer
            .fetch_watermarks(&partition.topic, partition.partition.0, timeout)
            .map_err(|error| format!("cannot ask Kafka for the end of {partition}: {error}"))?;
        Ok(Watermarks { low: Offset(low), high: Offset(high) })
    }

    fn goal(&mut self, topics: &[String]) -> Result<(), String> {
        let mut ends = HashMap::new();
        for topic in topics {
            let metadata = self
                .consumer
                .fetch_metadata(Some(topic), KAFKA_TIMEOUT)
                .map_err(|error| format!("cannot ask Kafka for the partitions of {topic}: {error}"))?;
            let found = metadata.topics().iter().find(|t| t.name() == topic);
            let partitions = found.map(rdkafka::metadata::MetadataTopic::partitions).unwrap_or_default();
            if partitions.is_empty() {
                return Err(format!("topic {topic} does not exist"));
            }
            for partition in partitions {
                let partition = TopicPartition::new(topic.as_str(), partition.id());
                // An empty log as well: a position before its end says that records were deleted unread.
                let Watermarks { high, .. } = self.watermarks(&partition, KAFKA_TIMEOUT)?;
                ends.insert(partition, high);
            }
        }
        self.wants_goal = false;
        self.tell(Event::Goal(ends));
        Ok(())
    }

    /// Whether the topics are there and may be read.
    fn readable(&self, topics: &[&str]) -> Result<(), String> {
        let now = describe(&self.consumer, topics, KAFKA_TIMEOUT)?;
        // Such a topic is assigned like any other, and then silent.
        if !now.unreadable.is_empty() {
            return Err(format!("not authorised to read topic {}", now.unreadable.join(", ")));
        }
        // A broker without topic ids (before 2.8) names none; whether the topic is there, its metadata tells.
        for topic in topics.iter().filter(|topic| !now.ids.contains_key(**topic)) {
            let metadata =
                self.consumer.fetch_metadata(Some(topic), KAFKA_TIMEOUT).map_err(|e| e.to_string())?;
            if metadata.topics().iter().all(|t| t.name() != *topic || t.partitions().is_empty()) {
                return Err(format!("topic {topic} does not exist, or this client may not read it"));
            }
        }
        Ok(())
    }

    fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::debug!("nobody is there to be told");
        }
    }
}
