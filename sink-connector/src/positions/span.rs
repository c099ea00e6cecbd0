//! How far a batch moves one partition.

use crate::types::{Offset, TopicPartition};

/// How far a batch moves one partition.
#[derive(Clone, Debug)]
pub struct Span {
    pub partition: TopicPartition,
    /// The stored position that the batch starts from: what the fence compares.
    pub expected: Offset,
    /// The position that it stores.
    pub next: Offset,
    /// Records of this partition in the batch.
    pub records: u64,
    /// Their size in bytes: keys and values.
    pub bytes: u64,
}
