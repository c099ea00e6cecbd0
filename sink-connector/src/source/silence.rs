//! Records that come after a silence of their topic: whether it is still the one that the positions belong to is asked
//! before they are written.
//!
//! librdkafka follows a topic that was deleted and created again to its new id, and reads on at the old offset
//! (`rdkafka_topic.c`, "an offset reset must be triggered"). Before it does, the broker refuses a fetch with the old id,
//! and each partition is left alone for `fetch.error.backoff.ms`: no record comes from one to the other without a pause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Source;
use super::slot::Slot;

/// A topic without a record for so long may have become another: well below `fetch.error.backoff.ms` (500 ms), and above
/// what is between two fetches of a topic in use.
const SILENCE: Duration = Duration::from_millis(100);
/// How long a batch waits for the answer. A broker that says nothing has not said that the topic is another.
const ANSWER: Duration = Duration::from_secs(1);

/// The topics of an open batch that may have become others.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Each with the moment of its first record after a silence, the last such.
    topics: Vec<(Arc<str>, Instant)>,
    /// When they were last asked about.
    asked: Instant,
}

impl Source {
    /// A record of the topic came. True when it comes after a silence.
    pub(super) fn ends_silence(&mut self, topic: &Arc<str>, now: Instant) -> bool {
        match self.came.get_mut(topic) {
            Some(last) => now.saturating_duration_since(std::mem::replace(last, now)) >= SILENCE,
            None => {
                self.came.insert(Arc::clone(topic), now);
                true
            }
        }
    }

    /// The open batch of a writer has a record that came after a silence.
    pub(super) fn doubt(&mut self, writer: usize, topic: &Arc<str>, now: Instant) {
        match &mut self.slots[writer].doubt {
            // It is asked again when the batch is due: there may be more of them.
            Some(Doubt { topics, .. }) => match topics.iter_mut().find(|(known, _)| known == topic) {
                Some((_, since)) => *since = now,
                None => topics.push((Arc::clone(topic), now)),
            },
            doubt => {
                *doubt = Some(Doubt { topics: vec![(Arc::clone(topic), now)], asked: now });
                self.compare(vec![Arc::clone(topic)]);
            }
        }
    }

    /// These topics were the same at that instant, or their partitions have been stopped.
    pub(super) fn same_topics(&mut self, at: Instant, same: &[Arc<str>]) {
        for slot in &mut self.slots {
            if let Some(doubt) = &mut slot.doubt {
                doubt.topics.retain(|(topic, since)| *since > at || !same.contains(topic));
                if doubt.topics.is_empty() {
                    slot.doubt = None;
                }
            }
        }
    }

    /// The open batch of a writer that is idle is due, but waits for an answer. Nothing is polled meanwhile, or there
    /// might always be another question.
    pub(super) fn waits_for_answer(&mut self, writer: usize) -> bool {
        let Slot { first, open, doubt: Some(doubt), .. } = &mut self.slots[writer] else { return false };
        // What comes before the open batch has been with the writer.
        if !first.is_empty() || open.is_empty() {
            return false;
        }
        let now = Instant::now();
        if doubt.topics.iter().any(|(_, since)| *since > doubt.asked) {
            doubt.asked = now;
            let topics = doubt.topics.iter().map(|(topic, _)| Arc::clone(topic)).collect();
            self.compare(topics);
        } else if now.saturating_duration_since(doubt.asked) >= ANSWER {
            tracing::debug!(writer, "Kafka does not tell whether the topics are the same");
            return false;
        }
        true
    }

    fn compare(&self, topics: Vec<Arc<str>>) {
        if self.parts.identities.send(topics).is_err() {
            tracing::debug!("nobody compares the ids of topics any more");
        }
    }
}
