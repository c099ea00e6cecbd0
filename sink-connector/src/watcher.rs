//! The watcher: a thread that asks Kafka where the logs begin and end, and whether the topics are still the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::consumer::Consumer as _;

use crate::events::{Event, Watermarks};
use crate::health::{Component, Health};
use crate::source::consumer::Consumer;
use crate::source::topic_ids::{Described, describe};
use crate::topics::Topics;
use crate::types::{Offset, TopicPartition};

/// How long it waits for Kafka to answer one question.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// … once another question of the same look had no answer: there may be hundreds of partitions without a leader.
const IN_TROUBLE: Duration = Duration::from_millis(500);

/// How long until the next look after one that was not satisfied.
const SOON: Duration = Duration::from_millis(500);

/// The partitions that the poll thread wants watched; it writes, the watcher reads.
pub type Watched = Arc<Mutex<Vec<TopicPartition>>>;

/// Asks the watcher to look now, not at the next interval.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Look {
    /// At the topics' ids: a single question.
    Ids,
    /// At everything.
    All,
}

/// The thread's state.
pub struct Watcher {
    /// The consumer.
    pub consumer: Consumer,
    /// Where news goes.
    pub events: Sender<Event>,
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
    pub fn run(mut self, requests: &Receiver<Look>) {
        let mut ids: HashMap<String, String> = HashMap::new();
        let mut looks = Look::All;
        let mut all_due = Instant::now();
        loop {
            let mut asked = None;
            if looks == Look::All {
                match self.look(&mut ids, || {
                    let looks = requests.try_iter().max();
                    asked = asked.max(looks);
                    looks.is_some()
                }) {
                    Ok(()) => self.health.well(&Component::Kafka),
                    Err(reason) => self.health.fail(Component::Kafka, reason),
                }
                let soon = self.wants_goal || !self.health.is_well(&Component::Kafka);
                all_due = Instant::now() + if soon { SOON } else { self.interval };
            } else {
                if let Err(reason) = self.compare_known(&mut ids) {
                    // Looking at everything tells whether this is trouble.
                    tracing::debug!(reason, "cannot compare the ids of the topics");
                    all_due = Instant::now();
                }
            }
            let wait = if asked == Some(Look::All) {
                Duration::ZERO
            } else {
                all_due.saturating_duration_since(Instant::now())
            };
            looks = match requests.recv_timeout(wait) {
                Ok(look) => requests.try_iter().fold(look, Look::max),
                Err(RecvTimeoutError::Timeout) => Look::All,
                Err(RecvTimeoutError::Disconnected) => return,
            };
        }
    }

    /// Looks at everything. `asked` tells whether somebody has asked for something meanwhile.
    fn look(
        &mut self,
        ids: &mut HashMap<String, String>,
        mut asked: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let topics = self.topics.now(&self.consumer, KAFKA_TIMEOUT)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        // What is wrong with one topic or partition must not hide where the others stand.
        let mut trouble = self.readable(&names, ids).err();
        if self.wants_goal && trouble.is_none() {
            trouble = self.goal(&topics).err();
        }
        let watched = self.watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let mut found = Vec::with_capacity(watched.len());
        for partition in watched {
            // There may be hundreds, and batches wait for this answer.
            if asked() && trouble.is_none() {
                trouble = self.compare_known(ids).err();
            }
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

    /// Whether the topics that have had an id still have it.
    fn compare_known(&self, ids: &mut HashMap<String, String>) -> Result<(), String> {
        let known: Vec<String> = ids.keys().cloned().collect();
        if known.is_empty() {
            // A broker without ids has nothing to tell.
            self.tell(Event::SameTopics(Instant::now()));
            return Ok(());
        }
        self.compare_ids(&known.iter().map(String::as_str).collect::<Vec<_>>(), ids).map(drop)
    }

    /// A topic that has another id than before was created again.
    fn compare_ids(&self, topics: &[&str], ids: &mut HashMap<String, String>) -> Result<Described, String> {
        let asked = Instant::now();
        let now = describe(&self.consumer, topics, KAFKA_TIMEOUT)?;
        for (topic, id) in &now.ids {
            match ids.insert(topic.clone(), id.clone()) {
                Some(before) if before != *id => {
                    let why = format!(
                        "topic {topic} was deleted and created again (id {before} is now {id}): the position means \
                         nothing in the new one. Choose one with `sink-connector offsets reset`"
                    );
                    self.tell(Event::Recreated { topic: topic.clone(), why });
                }
                _ => {}
            }
        }
        self.tell(Event::SameTopics(asked));
        Ok(now)
    }

    /// Compares the ids of the topics that are read, and says which of them cannot be.
    fn readable(&self, topics: &[&str], ids: &mut HashMap<String, String>) -> Result<(), String> {
        let now = self.compare_ids(topics, ids)?;
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
