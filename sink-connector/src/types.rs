//! Newtypes for partitions and offsets, and a limit of PostgreSQL.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// PostgreSQL silently cuts off the rest of longer identifiers, values of type `name`, and `application_name`
/// (`NAMEDATALEN - 1`).
pub(crate) const IDENTIFIER_MAX_BYTES: usize = 63;

/// A partition's number within its topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Partition(pub i32);

/// A place in a partition's log. A *position* is the offset of the next record to read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Offset(pub i64);

/// A partition of a topic. Cheap to clone: the name is shared.
#[derive(Clone, Eq, PartialOrd, Ord, Debug)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: Partition,
}

/// Compared several times for each record: names that are shared are not read.
impl PartialEq for TopicPartition {
    fn eq(&self, other: &Self) -> bool {
        self.partition == other.partition
            && (Arc::ptr_eq(&self.topic, &other.topic) || self.topic == other.topic)
    }
}

impl Hash for TopicPartition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.topic.hash(state);
        self.partition.hash(state);
    }
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition: Partition(partition) }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}
