//! What the source wants done. The shell does it, in this order, before the next record is taken.

use std::sync::Arc;

use crate::batch::Batch;
use crate::messages::requests::Request;
use crate::types::{Offset, TopicPartition};

/// Something for the shell to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send the batch to this writer, which is idle.
    Send(usize, Box<Batch>),
    /// Subscribe to these topics and to no others.
    Subscribe(Vec<String>),
    /// Fetch these partitions from these positions, whether they are assigned already or not.
    /// [`super::Input::Moved`] says for which assigned ones it succeeded.
    Fetch(Vec<(TopicPartition, Offset)>),
    /// Move the client of a partition; answered by [`super::Input::Moved`].
    Seek(Move),
    /// Stop fetching these partitions.
    Pause(Vec<TopicPartition>),
    /// Fetch these partitions again.
    Resume(Vec<TopicPartition>),
    /// Read the client's own positions of these partitions; answered by [`super::Input::ClientPositions`].
    ReadClientPositions(Vec<TopicPartition>),
    /// Commit these positions to Kafka.
    Commit(Vec<(TopicPartition, Offset)>),
    /// Read the outcomes of commits; answered by [`super::Input::CommitOutcome`].
    ReadCommitOutcomes,
    /// Send a request to the PostgreSQL control thread.
    Request(Request),
    /// Read the log ends of all partitions now.
    ReadLogEnds,
    /// Read the log ends of these partitions from now on.
    Watch(Vec<TopicPartition>),
    /// Compare the ids of these topics with those that they had.
    CompareTopics(Vec<Arc<str>>),
    /// The breaker of this topic is closed: records of it may be rejected again.
    CloseBreaker(Arc<str>),
    /// This table cannot be written for now, for this reason.
    TableParked(Arc<str>, Arc<str>),
    /// This table is not parked any more.
    TableUnparked(Arc<str>),
    /// Log an error of Kafka.
    Warn(String),
    /// Publish the status of every partition.
    Publish,
    /// Publish which breakers are open.
    PublishBreakers,
    /// Begin the metrics of an assigned partition.
    BeginMetrics(TopicPartition),
    /// End the metrics of a revoked partition.
    EndMetrics(TopicPartition),
    /// The group refuses this member, for this reason.
    GroupRefused(String),
    /// The group accepts this member again.
    GroupAccepted,
    /// Ask all threads to stop waiting: the time of the run is over.
    RequestShutdown,
}

/// A partition whose next record the client is to deliver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Move {
    pub partition: TopicPartition,
    pub position: Offset,
    /// Nothing was delivered for a while, so the client's own position is meaningful after it was moved.
    pub while_idle: bool,
}
