//! Why a query to Kafka has no answer.

use rdkafka::error::KafkaError;

use crate::kafka::topic_ids::DescribeError;
use crate::kafka::topics::TopicsError;
use crate::types::TopicPartition;

/// A query without a usable answer. Another attempt may succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// What was asked for, and the partition or topic that it was asked of.
    #[error("cannot read {what} of {of}: {source}")]
    Failed { what: &'static str, of: String, source: KafkaError },
    #[error("the brokers do not answer")]
    NoBroker,
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
    #[error(transparent)]
    Client(#[from] KafkaError),
}

impl QueryError {
    /// For `map_err`: the failed query for `what` of a partition or topic.
    pub(crate) fn failed(what: &'static str, of: &impl ToString) -> impl FnOnce(KafkaError) -> Self {
        let of = of.to_string();
        move |source| Self::Failed { what, of, source }
    }
}
