//! Records that come after a silence: whether their topic is still the one that the position belongs to is asked before
//! they are written.
//!
//! librdkafka follows a topic that was deleted and created again to its new id, and reads on at the old offset
//! (`rdkafka_topic.c`, "an offset reset must be triggered"). Before it does, the broker refuses a fetch with the old id,
//! and the partition is left alone for `fetch.error.backoff.ms`: no record comes from one to the other without a pause.

use std::time::{Duration, Instant};

use super::Source;
use super::slot::Slot;
use crate::watcher::Look;

/// A partition that had no record for so long may have become another: well below `fetch.error.backoff.ms` (500 ms), and above
/// what is between two fetches of a topic in use.
const SILENCE: Duration = Duration::from_millis(100);
/// How long a batch waits for the answer. A broker that says nothing has not said that the topic is another.
const ANSWER: Duration = Duration::from_secs(1);

/// The records of an open batch that came after a silence.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// When the last of them came.
    since: Instant,
    /// When it was last asked.
    asked: Instant,
}

/// Whether a record that comes now comes after a silence.
pub(super) fn is_over(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= SILENCE)
}

impl Source {
    /// A record came after a silence.
    pub(super) fn doubt(&mut self, writer: usize, now: Instant) {
        let answered = |doubt: &Doubt| self.same_topics.is_some_and(|at| at >= doubt.since);
        match &mut self.slots[writer].doubt {
            // It is asked again when the batch is due: there may be more of them.
            Some(doubt) if !answered(doubt) => doubt.since = now,
            doubt => {
                *doubt = Some(Doubt { since: now, asked: now });
                self.look(Look::Ids);
            }
        }
    }

    /// The topics were the same at that instant, or the partitions of those that were not have been stopped.
    pub(super) fn same_topics(&mut self, at: Instant) {
        self.same_topics = self.same_topics.max(Some(at));
        self.hand_over_due(Instant::now());
    }

    /// The open batch of a writer that is idle is due, but waits for an answer. Nothing is polled meanwhile, or there
    /// might always be another question.
    pub(super) fn waits_for_answer(&mut self, writer: usize) -> bool {
        let Slot { first, open, doubt: Some(doubt), .. } = &mut self.slots[writer] else { return false };
        // What comes before the open batch has been with the writer.
        if !first.is_empty() || open.is_empty() || self.same_topics.is_some_and(|at| at >= doubt.since) {
            return false;
        }
        let now = Instant::now();
        if doubt.asked < doubt.since {
            doubt.asked = now;
            self.look(Look::Ids);
        } else if now.saturating_duration_since(doubt.asked) >= ANSWER {
            tracing::debug!(writer, "Kafka does not tell whether the topics are the same");
            return false;
        }
        true
    }
}
