//! The recreation check: a thread that compares the ids of topics with those seen before.
//!
//! It has its own Kafka client, because a query on the consumer's connection can wait `fetch.wait.max.ms` behind a fetch.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use crate::kafka::consumer::Consumer;
use crate::kafka::topic_ids::{DescribeError, topic_ids};
use crate::messages::events::{self, Event};
use crate::messages::requests::CompareTopics;
use crate::positions::first::KAFKA_TIMEOUT;

pub(crate) struct TopicIds {
    consumer: Consumer,
    events: Sender<Event>,
    /// The ids that topics had when they were last seen.
    known: HashMap<Arc<str>, String>,
}

impl TopicIds {
    pub(crate) fn new(consumer: Consumer, events: Sender<Event>) -> Self {
        Self { consumer, events, known: HashMap::new() }
    }

    /// Runs until the channel is closed.
    pub(crate) fn run(mut self, requests: &Receiver<CompareTopics>) {
        for topics in requests {
            let topics = topics.into_iter().chain(requests.try_iter().flatten()).collect();
            if let Err(error) = self.compare(topics) {
                // If it lasts, the log-ends thread reports it; the source waits for a short time only.
                tracing::debug!(%error, "cannot compare the ids of topics");
            }
        }
    }

    fn compare(&mut self, topics: BTreeSet<Arc<str>>) -> Result<(), DescribeError> {
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        if names.is_empty() {
            return Ok(());
        }
        let requested = Instant::now();
        let ids = topic_ids(&self.consumer, &names, KAFKA_TIMEOUT)?;
        let mut same = Vec::with_capacity(topics.len());
        for topic in topics {
            match (self.known.get(&topic), ids.get(&*topic)) {
                // Deleted, or not known to this broker yet: inconclusive.
                (Some(_), None) => continue,
                (Some(before), Some(id)) if before != id => {
                    let why = format!(
                        "topic {topic} was deleted and recreated (id {before}, now {id}): the stored position is not valid \
                         in the new topic. Set it with `sink-connector offsets reset`"
                    );
                    events::send(&self.events, Event::Recreated { topic: Arc::clone(&topic), why });
                }
                // A broker before 2.8 has no topic ids.
                (_, _) => {}
            }
            if let Some(id) = ids.get(&*topic) {
                self.known.insert(Arc::clone(&topic), id.clone());
            }
            same.push(topic);
        }
        events::send(&self.events, Event::SameTopics { at: requested, topics: same });
        Ok(())
    }
}
