//! What a writer tells the poll thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::transaction::Counts;
use crate::batch::Batch;
use crate::policy::Refusal;

/// What size of a batch would get on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// Its statements take longer than the server allows.
    Smaller,
    /// Records fail that may be at fault, and no neighbour passes by which that could be told: more records may.
    Larger,
}

/// What a writer tells the poll thread.
#[derive(Debug)]
pub enum Report {
    /// The batch is committed; its memory comes back.
    Committed {
        /// The writer's number.
        writer: usize,
        /// Its generation: a writer that was replaced may still report.
        generation: u64,
        /// The batch.
        batch: Batch,
        /// What it came to.
        counts: Counts,
        /// The records that it had to stop before, by the error policy.
        refused: Vec<Refusal>,
    },
    /// The breakers of these topics are open, and why: nothing of the batch is committed.
    Tripped {
        /// The writer's number.
        writer: usize,
        /// Its generation.
        generation: u64,
        /// The batch, not written.
        batch: Batch,
        /// Why each of the breakers is open.
        topics: BTreeMap<Arc<str>, String>,
    },
    /// The batch is not written, and is to come back in another size.
    Returned {
        /// The writer's number.
        writer: usize,
        /// Its generation.
        generation: u64,
        /// The batch.
        batch: Batch,
        /// What would help.
        size: Size,
    },
    /// The stored positions are not those that the batch was read from: read them again.
    Fenced {
        /// The writer's number.
        writer: usize,
        /// Its generation.
        generation: u64,
        /// The batch, not written.
        batch: Batch,
    },
    /// Shutdown was requested, or the writer was replaced, while the batch could not be written.
    Abandoned {
        /// The writer's number.
        writer: usize,
        /// Its generation.
        generation: u64,
    },
}

impl Report {
    /// The writer that reports, and its generation.
    pub fn from(&self) -> (usize, u64) {
        match self {
            Self::Committed { writer, generation, .. }
            | Self::Tripped { writer, generation, .. }
            | Self::Returned { writer, generation, .. }
            | Self::Fenced { writer, generation, .. }
            | Self::Abandoned { writer, generation } => (*writer, *generation),
        }
    }
}
