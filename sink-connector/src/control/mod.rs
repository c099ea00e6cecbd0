//! The threads beside source and writers: PostgreSQL, log ends, topic ids, and the supervisor of writers.

pub(crate) mod log_ends;
pub(crate) mod postgres;
pub(crate) mod supervisor;
pub(crate) mod topic_ids;
