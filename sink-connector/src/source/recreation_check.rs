//! Before records that follow a pause of their topic are written, the source checks that the topic has not been
//! deleted and created again since its positions were stored.
//!
//! librdkafka follows a recreated topic to its new id and reads on at the old offset (`rdkafka_topic.c`, "an offset reset
//! must be triggered"). Before it does, the broker refuses a fetch with the old id, and librdkafka does not fetch that
//! partition for `fetch.error.backoff.ms`. So there is always a pause between the last record of the old topic and the
//! first of the new one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lane::Lane;
use super::{Command, Source};

/// A topic without a record for this long may have been recreated: well below `fetch.error.backoff.ms` (500 ms), and
/// longer than the time between two fetches of a busy topic.
const FETCH_PAUSE: Duration = Duration::from_millis(100);
/// How long a batch waits for the answer. It is then written without one: a broker that does not answer is no reason to
/// stop.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The topics of an open batch that may have been recreated. Pure.
#[derive(Clone, Debug)]
pub(crate) struct RecreationCheck {
    /// Each with the time of its latest record that followed a pause.
    topics: Vec<(Arc<str>, Instant)>,
    /// When the last query was sent.
    queried: Instant,
    /// A topic was added since then.
    query_needed: bool,
}

/// What happens to a batch that is due while its check is open.
#[derive(PartialEq, Eq, Debug)]
enum Due {
    /// The ids of these topics must be queried first.
    Query(Vec<Arc<str>>),
    /// The answer is outstanding.
    Wait,
    /// The answer is overdue: the batch is written without it.
    TimedOut,
}

impl RecreationCheck {
    /// A check of one topic, whose query is sent at `now`.
    fn queried(topic: Arc<str>, now: Instant) -> Self {
        Self { topics: vec![(topic, now)], queried: now, query_needed: false }
    }

    /// Adds a topic, or the same one after another pause. The query is sent when the batch is due, so that one query
    /// covers all topics that were added until then.
    fn add(&mut self, topic: &Arc<str>, now: Instant) {
        self.query_needed = true;
        match self.topics.iter_mut().find(|(known, _)| known == topic) {
            Some((_, since)) => *since = now,
            None => self.topics.push((Arc::clone(topic), now)),
        }
    }

    /// Since when the topic has been unconfirmed, if it is.
    fn since(&self, topic: &Arc<str>) -> Option<Instant> {
        self.topics.iter().find(|(known, _)| known == topic).map(|(_, since)| *since)
    }

    /// These topics were unchanged at `at`. True when no unconfirmed topic is left.
    fn confirm(&mut self, at: Instant, unchanged: &[Arc<str>]) -> bool {
        self.topics.retain(|(topic, since)| *since > at || !unchanged.contains(topic));
        self.topics.is_empty()
    }

    fn due(&mut self, now: Instant) -> Due {
        if std::mem::take(&mut self.query_needed) {
            self.queried = now;
            return Due::Query(self.topics.iter().map(|(topic, _)| Arc::clone(topic)).collect());
        }
        if now.saturating_duration_since(self.queried) < ANSWER_TIMEOUT { Due::Wait } else { Due::TimedOut }
    }
}

/// Pauses between the records of topics.
#[derive(Default, Debug)]
pub(super) struct Pauses {
    /// When the last record of each topic was taken.
    last_record: HashMap<Arc<str>, Instant>,
}

impl Pauses {
    /// Notes a record of the topic. True when it follows a pause, or nothing.
    pub(super) fn ended_by_record(&mut self, topic: &Arc<str>, now: Instant) -> bool {
        match self.last_record.get_mut(topic) {
            Some(last) => now.saturating_duration_since(std::mem::replace(last, now)) >= FETCH_PAUSE,
            None => {
                self.last_record.insert(Arc::clone(topic), now);
                true
            }
        }
    }

    /// The next record of the topic follows nothing: its position was read again.
    pub(super) fn begin(&mut self, topic: &Arc<str>) {
        self.last_record.remove(topic);
    }
}

impl Source {
    /// The open batch of a writer has a record of the topic that followed a pause.
    pub(super) fn start_recreation_check(&mut self, writer: usize, topic: &Arc<str>, now: Instant) {
        match &mut self.lanes[writer].recreation_check {
            Some(check) => check.add(topic, now),
            check => {
                *check = Some(RecreationCheck::queried(Arc::clone(topic), now));
                self.query_topic_ids(vec![Arc::clone(topic)]);
            }
        }
    }

    /// A record was taken without a pause, but another writer's batch still checks its topic: this writer's batch must
    /// check it as well.
    pub(super) fn share_recreation_check(&mut self, writer: usize, topic: &Arc<str>, now: Instant) {
        let since = |lane: &Lane| lane.recreation_check.as_ref().and_then(|check| check.since(topic));
        if let Some(since) = self.lanes.iter().find_map(since)
            && self.lanes[writer].recreation_check.as_ref().is_none_or(|check| check.since(topic).is_none())
        {
            let none = || RecreationCheck { topics: Vec::new(), queried: now, query_needed: false };
            self.lanes[writer].recreation_check.get_or_insert_with(none).add(topic, since);
        }
    }

    /// These topics were unchanged at `at`, or their partitions have been stopped.
    pub(super) fn on_same_topics(&mut self, at: Instant, same: &[Arc<str>]) {
        for lane in &mut self.lanes {
            if lane.recreation_check.as_mut().is_some_and(|check| check.confirm(at, same)) {
                lane.recreation_check = None;
            }
        }
        self.breakers.on_same_topics(at, same);
    }

    /// Whether the open batch of an idle writer is due, but must wait for its check. The source does not poll
    /// meanwhile: new records could start another check each time.
    pub(super) fn waits_for_recreation_check(&mut self, writer: usize, now: Instant) -> bool {
        let Lane { queued, open, recreation_check: Some(check), .. } = &mut self.lanes[writer] else {
            return false;
        };
        // Queued batches go first, and were checked when they were open.
        if !queued.is_empty() || open.is_empty() {
            return false;
        }
        match check.due(now) {
            Due::Query(topics) => {
                self.query_topic_ids(topics);
                true
            }
            Due::Wait => true,
            Due::TimedOut => {
                tracing::debug!(writer, "no answer whether the topics were recreated; writing without it");
                false
            }
        }
    }

    fn query_topic_ids(&mut self, topics: Vec<Arc<str>>) {
        self.command(Command::CompareTopics(topics));
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
    fn a_topic_is_unconfirmed_until_an_answer_from_after_its_record() {
        let start = Instant::now();
        let mut check = RecreationCheck::queried(Arc::from("a"), start + ms(5));
        assert_eq!(check.due(start + ms(6)), Due::Wait, "the query is sent");
        assert!(!check.confirm(start, &topics(&["a"])), "the answer is from before the record");
        assert!(!check.confirm(start + ms(7), &topics(&["b"])), "the answer is for another topic");
        assert!(check.confirm(start + ms(7), &topics(&["a"])));
    }

    #[test]
    fn topics_added_meanwhile_even_at_the_same_instant_are_queried_when_the_batch_is_due() {
        let start = Instant::now();
        let mut check = RecreationCheck::queried(Arc::from("a"), start);
        check.add(&Arc::from("b"), start);
        assert!(!check.confirm(start + ms(1), &topics(&["a"])));
        assert_eq!(check.due(start + ms(30)), Due::Query(topics(&["b"])));
        assert_eq!(check.due(start + ms(31)), Due::Wait);
        check.add(&Arc::from("a"), start + ms(32));
        assert_eq!(check.due(start + ms(33)), Due::Query(topics(&["b", "a"])));
        assert!(check.confirm(start + ms(33), &topics(&["a", "b"])));
    }

    #[test]
    fn a_batch_does_not_wait_forever() {
        let start = Instant::now();
        let mut check = RecreationCheck::queried(Arc::from("a"), start);
        assert_eq!(check.due(start + ANSWER_TIMEOUT - ms(1)), Due::Wait);
        assert_eq!(check.due(start + ANSWER_TIMEOUT), Due::TimedOut);
    }
}
