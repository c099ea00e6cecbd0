//! What the poll thread is told by the others. One channel, so that it can wait for all of it at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::ledger::Stopped;
use crate::types::{Offset, TopicPartition};
use crate::writer::Report;

/// One piece of news.
#[derive(Debug)]
pub enum Event {
    /// A writer is done with a batch.
    Report(Box<Report>),
    /// A writer was past its deadline and has been replaced; its batch is lost to us, and read again.
    Replaced {
        /// The writer's number.
        writer: usize,
        /// The channel of its successor.
        batches: crossbeam_channel::Sender<crate::batch::Batch>,
        /// The successor's generation: reports of an older one are void.
        generation: u64,
    },
    /// The positions of newly assigned (or fenced) partitions, each with the epoch of its question.
    Resolved(Vec<(TopicPartition, u64, Result<Offset, Stopped>)>),
    /// Where the logs begin and end.
    Watermarks(Vec<(TopicPartition, Watermarks)>),
    /// A topic was deleted and created again.
    Recreated {
        /// The topic.
        topic: Arc<str>,
        /// For people.
        why: String,
    },
    /// Topics are what they were before, but for those that were told to be created again.
    SameTopics {
        /// The instant of which that is known.
        at: Instant,
        /// The topics.
        topics: Vec<Arc<str>>,
    },
    /// The ends that `--until-end` goes to, of all partitions of the topics, ours or not.
    Goal(HashMap<TopicPartition, Offset>),
    /// Stored positions of all partitions, ours or not.
    Stored(Vec<(TopicPartition, Offset)>),
}

/// Where a partition's log begins and ends, for a reader of committed records.
#[derive(Clone, Copy, Debug)]
pub struct Watermarks {
    /// The first offset that is still there.
    pub low: Offset,
    /// The offset after the last record that can be read.
    pub high: Offset,
}
