//! Reports of the writers to the source.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::retry_limits::Needs;
use crate::batch::{Batch, Skip};
use crate::observe::rejections::LatestRejection;
use crate::rejects::policy::RejectedRecord;
use crate::types::TopicPartition;

/// What a committed batch has written.
#[derive(Debug, Default)]
pub(crate) struct BatchCounts {
    /// Rows inserted or updated, by the label of the table.
    pub written: Vec<(String, u64)>,
    /// Rows deleted by tombstones, by the label of the table.
    pub deleted: Vec<(String, u64)>,
    /// Skipped records: partition, reason, count.
    pub skipped: Vec<(TopicPartition, Skip, u64)>,
    /// Dead letters: partition, reason.
    pub dead_letters: Vec<(TopicPartition, &'static str)>,
    /// For people: the last rejected record of each reason, and the last of all.
    pub rejections: Vec<LatestRejection>,
}

/// The size that a batch must have to make progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    /// The batch exceeded statement_timeout or the deadline.
    Smaller,
    /// A record fails with an error that may be a configuration error, and no other record of its table succeeds. More
    /// records are needed to decide.
    Larger,
}

/// Why the table of a batch cannot be written.
#[derive(Debug)]
pub(crate) struct TableTrouble {
    /// The table's label.
    pub table: Arc<str>,
    /// For people.
    pub reason: String,
    /// What the next attempt at it needs.
    pub needs: Needs,
}

/// How a writer has finished with a batch.
#[derive(Debug)]
pub(crate) enum Report {
    /// Committed. The batch is returned to reuse its memory.
    Committed {
        writer: usize,
        /// A replaced writer may still report, with an older generation.
        generation: u64,
        batch: Batch,
        counts: BatchCounts,
        /// The rejected records that the error policy does not tolerate; the batch was cut before them.
        rejected: Vec<RejectedRecord>,
    },
    /// The batch has opened breakers. Nothing is committed.
    Tripped {
        writer: usize,
        generation: u64,
        batch: Batch,
        /// The topics whose breakers are open, and why.
        topics: BTreeMap<Arc<str>, String>,
    },
    /// The batch is not written and must be sent again in another size.
    Returned {
        /// The writer's number.
        writer: usize,
        generation: u64,
        batch: Batch,
        /// The size that is needed.
        size: Size,
    },
    /// One of the tables of the batch cannot be written. Nothing of it is written yet.
    Divided {
        /// The writer's number.
        writer: usize,
        /// Its generation.
        generation: u64,
        /// The batch.
        batch: Batch,
    },
    /// The only table of the batch cannot be written for now. Nothing of it is written.
    Parked {
        /// The writer's number.
        writer: usize,
        /// Its generation.
        generation: u64,
        /// The batch.
        batch: Batch,
        /// Why.
        trouble: TableTrouble,
    },
    /// The stored positions are not the ones that the batch expects: read them again.
    Fenced {
        /// The writer's number.
        writer: usize,
        generation: u64,
        /// The batch, not written.
        batch: Batch,
    },
    /// Shutdown was requested, or the writer was replaced, while the batch could not be written.
    Abandoned { writer: usize, generation: u64 },
}

impl Report {
    pub(crate) fn sender(&self) -> (usize, u64) {
        match self {
            Self::Committed { writer, generation, .. }
            | Self::Tripped { writer, generation, .. }
            | Self::Returned { writer, generation, .. }
            | Self::Divided { writer, generation, .. }
            | Self::Parked { writer, generation, .. }
            | Self::Fenced { writer, generation, .. }
            | Self::Abandoned { writer, generation } => (*writer, *generation),
        }
    }
}
