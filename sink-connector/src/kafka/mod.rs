//! The Kafka client: the consumer, its commits, queries, topics and their ids.

pub(crate) mod cause;
pub(crate) mod client;
pub(crate) mod commits;
pub(crate) mod consumer;
pub(crate) mod group;
pub(crate) mod headers;
pub(crate) mod list_offsets;
mod native;
pub(crate) mod packed_headers;
pub(crate) mod query;
pub(crate) mod record;
pub(crate) mod rules;
pub(crate) mod topic_ids;
pub(crate) mod topics;
