//! Requests of the source to the control threads.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::types::TopicPartition;

/// A query for the position of a partition.
#[derive(Clone, Debug)]
pub(crate) struct PositionQuery {
    pub partition: TopicPartition,
    /// Returned with the answer; an answer with an older epoch is ignored.
    pub epoch: u64,
    /// A position has been read since the assignment. If it is missing now, it was lost; the group's offset in Kafka does
    /// not replace it.
    pub known: bool,
}

#[derive(Debug)]
pub(crate) enum Request {
    Resolve(Vec<PositionQuery>),
    /// Drop the queries of these revoked partitions.
    Forget(Vec<TopicPartition>),
    /// Read the stored positions of all partitions of these topics.
    ReadAll(BTreeSet<String>),
}

/// The assigned partitions whose log ends are read. Written by the source, read by the log ends thread.
pub(crate) type WatchedPartitions = Arc<Mutex<Vec<TopicPartition>>>;

/// A request to read the log ends now, not at the next interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReadLogEnds;

/// A request to compare the ids of these topics with those they had before.
pub(crate) type CompareTopics = Vec<Arc<str>>;
