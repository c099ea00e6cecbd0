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

/// The topics of an open batch that may have become others. Pure.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Each with the moment of its first record after a silence, the last such.
    topics: Vec<(Arc<str>, Instant)>,
    /// When they were last asked about.
    asked: Instant,
    /// Some have not been asked about.
    unasked: bool,
}

/// What a batch that is due does about its doubt.
#[derive(PartialEq, Eq, Debug)]
enum Due {
    /// It asks.
    Asks(Vec<Arc<str>>),
    /// It waits for the answer.
    Waits,
    /// It has waited long enough.
    Goes,
}

impl Doubt {
    /// A topic came back at `now`, and is asked about.
    fn about(topic: Arc<str>, now: Instant) -> Self {
        Self { topics: vec![(topic, now)], asked: now, unasked: false }
    }

    /// Another did, or the same once more. It is asked about when the batch is due: there may be more of them.
    fn add(&mut self, topic: &Arc<str>, now: Instant) {
        self.unasked = true;
        match self.topics.iter_mut().find(|(known, _)| known == topic) {
            Some((_, since)) => *since = now,
            None => self.topics.push((Arc::clone(topic), now)),
        }
    }

    /// Since when the topic is in doubt, if it is.
    fn since(&self, topic: &Arc<str>) -> Option<Instant> {
        self.topics.iter().find(|(known, _)| known == topic).map(|(_, since)| *since)
    }

    /// These topics were the same at that instant. True when no other is left.
    fn answered(&mut self, at: Instant, same: &[Arc<str>]) -> bool {
        self.topics.retain(|(topic, since)| *since > at || !same.contains(topic));
        self.topics.is_empty()
    }

    fn due(&mut self, now: Instant) -> Due {
        if std::mem::take(&mut self.unasked) {
            self.asked = now;
            return Due::Asks(self.topics.iter().map(|(topic, _)| Arc::clone(topic)).collect());
        }
        if now.saturating_duration_since(self.asked) < ANSWER { Due::Waits } else { Due::Goes }
    }
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
            Some(doubt) => doubt.add(topic, now),
            doubt => {
                *doubt = Some(Doubt::about(Arc::clone(topic), now));
                self.compare(vec![Arc::clone(topic)]);
            }
        }
    }

    /// A record came of a topic that another writer's batch still has in doubt: so has this one's.
    pub(super) fn share_doubt(&mut self, writer: usize, topic: &Arc<str>, now: Instant) {
        let since = |slot: &Slot| slot.doubt.as_ref().and_then(|doubt| doubt.since(topic));
        if let Some(since) = self.slots.iter().find_map(since)
            && self.slots[writer].doubt.as_ref().is_none_or(|doubt| doubt.since(topic).is_none())
        {
            let none = || Doubt { topics: Vec::new(), asked: now, unasked: false };
            self.slots[writer].doubt.get_or_insert_with(none).add(topic, since);
        }
    }

    /// These topics were the same at that instant, or their partitions have been stopped.
    pub(super) fn same_topics(&mut self, at: Instant, same: &[Arc<str>]) {
        for slot in &mut self.slots {
            if slot.doubt.as_mut().is_some_and(|doubt| doubt.answered(at, same)) {
                slot.doubt = None;
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
        match doubt.due(Instant::now()) {
            Due::Asks(topics) => {
                self.compare(topics);
                true
            }
            Due::Waits => true,
            Due::Goes => {
                tracing::debug!(writer, "Kafka does not tell whether the topics are the same");
                false
            }
        }
    }

    fn compare(&self, topics: Vec<Arc<str>>) {
        if self.parts.identities.send(topics).is_err() {
            tracing::debug!("nobody compares the ids of topics any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_topic_is_in_doubt_until_an_answer_from_after_its_record() {
        let start = Instant::now();
        let mut doubt = Doubt::about(Arc::from("a"), start + ms(5));
        assert_eq!(doubt.due(start + ms(6)), Due::Waits, "it has been asked about");
        assert!(!doubt.answered(start, &topics(&["a"])), "that was before");
        assert!(!doubt.answered(start + ms(7), &topics(&["b"])), "that is another");
        assert!(doubt.answered(start + ms(7), &topics(&["a"])));
    }

    #[test]
    fn what_comes_meanwhile_even_at_the_same_instant_is_asked_about_when_the_batch_is_due() {
        let start = Instant::now();
        let mut doubt = Doubt::about(Arc::from("a"), start);
        doubt.add(&Arc::from("b"), start);
        assert!(!doubt.answered(start + ms(1), &topics(&["a"])));
        assert_eq!(doubt.due(start + ms(30)), Due::Asks(topics(&["b"])));
        assert_eq!(doubt.due(start + ms(31)), Due::Waits);
        doubt.add(&Arc::from("a"), start + ms(32));
        assert_eq!(doubt.due(start + ms(33)), Due::Asks(topics(&["b", "a"])));
        assert!(doubt.answered(start + ms(33), &topics(&["a", "b"])));
    }

    #[test]
    fn a_batch_does_not_wait_for_ever() {
        let start = Instant::now();
        let mut doubt = Doubt::about(Arc::from("a"), start);
        assert_eq!(doubt.due(start + ANSWER - ms(1)), Due::Waits);
        assert_eq!(doubt.due(start + ANSWER), Due::Goes);
    }
}
