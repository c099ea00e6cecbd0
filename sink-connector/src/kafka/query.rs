//! Why a query to Kafka has no answer.

use rdkafka::error::KafkaError;

use crate::kafka::cause::cause;
use crate::kafka::consumer::Consumer;
use crate::kafka::topic_ids::DescribeError;
use crate::kafka::topics::TopicsError;
use crate::types::TopicPartition;

/// A query without a usable answer. Another attempt may succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// What was asked for, and the partition or topic that it was asked of.
    #[error("cannot read {what} of {of}: {why}")]
    Failed { what: &'static str, of: String, why: String },
    #[error("{0}")]
    NoBroker(String),
    #[error("the end of {0} is not known yet")]
    EndUnknown(TopicPartition),
    #[error("topic {0} does not exist")]
    NoTopic(String),
    #[error("topic {0} does not exist, or this client may not read it")]
    NotVisible(String),
    #[error("not authorised to read topic {0}")]
    NotAuthorised(String),
    #[error(transparent)]
    Topics(#[from] TopicsError),
    #[error(transparent)]
    Describe(#[from] DescribeError),
}

impl QueryError {
    /// For `map_err`: the failed query of this client for `what` of a partition or topic.
    pub(crate) fn failed(
        consumer: &Consumer,
        what: &'static str,
        of: &impl ToString,
    ) -> impl FnOnce(KafkaError) -> Self {
        move |error| Self::Failed { what, of: of.to_string(), why: cause(consumer, &error) }
    }
}
