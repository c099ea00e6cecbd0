//! Events for the source. They share one channel, so that it can wait for all of them at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::messages::report::Report;
use crate::positions::stopped::Stopped;
use crate::types::{Offset, TopicPartition};

#[derive(Debug)]
pub(crate) enum Event {
    /// A writer has finished with a batch.
    Report(Box<Report>),
    /// A writer exceeded its deadline and was replaced. The records of its batch are read again.
    Replaced {
        writer: usize,
        batches: crossbeam_channel::Sender<crate::batch::Batch>,
        /// The new writer's generation. Reports of older generations do not move positions.
        generation: u64,
        /// The writer was writing rows, so its batch may be too large for the deadline.
        took_too_long: bool,
    },
    /// The topics whose names match the pattern, if the sink subscribes to them by name.
    Topics(Vec<String>),
    /// The positions of newly assigned (or fenced) partitions, each with the epoch of its query.
    Resolved(Vec<(TopicPartition, u64, Result<Offset, Stopped>)>),
    /// The beginnings and ends of the logs of assigned partitions.
    Watermarks(Vec<(TopicPartition, Watermarks)>),
    /// A topic was deleted and created again.
    Recreated {
        topic: Arc<str>,
        /// A message for the operator.
        why: String,
    },
    /// These topics have the same ids as before, or their `Recreated` event has been sent.
    SameTopics {
        /// When the query was sent.
        at: Instant,
        topics: Vec<Arc<str>>,
    },
    /// The ends at which `--until-end` stops, of all partitions of the topics, assigned to this member or not.
    Goal(HashMap<TopicPartition, Offset>),
    /// Stored positions of all partitions of the topics, assigned to this member or not.
    Stored(Vec<(TopicPartition, Offset)>),
}

/// Sends an event to the source, which ends only when the process does.
pub(crate) fn send(events: &crossbeam_channel::Sender<Event>, event: Event) {
    if events.send(event).is_err() {
        tracing::debug!("the source has ended");
    }
}

/// The beginning and end of a partition's log, for a reader of committed records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermarks {
    pub low: Offset,
    /// The offset after the last readable record.
    pub high: Offset,
}
