//! The topics that are read: named ones, or all whose names match a pattern, including those created later.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use crate::config::Kafka;
use crate::config::pattern::{InvalidPattern, Pattern};
use crate::kafka::consumer::Consumer;

#[derive(Clone, Debug)]
pub(crate) enum Topics {
    Named(Vec<String>),
    Matching(Pattern, String),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TopicsError {
    #[error("cannot list the topics of the cluster: {0}")]
    Unreachable(#[from] KafkaError),
    #[error("no topic matches topics_regex {0:?}, or this client may not read any")]
    NoMatch(String),
}

impl Topics {
    pub(crate) fn of(kafka: &Kafka) -> Result<Self, InvalidPattern> {
        Ok(match &kafka.topics_regex {
            Some(text) => Self::Matching(Pattern::new(text)?, text.clone()),
            None => Self::Named(kafka.topics.clone()),
        })
    }

    /// The names to subscribe to. librdkafka treats a name that begins with `^` as a pattern.
    pub(crate) fn subscription(&self) -> Vec<&str> {
        match self {
            Self::Named(names) => names.iter().map(String::as_str).collect(),
            Self::Matching(_, text) => vec![text],
        }
    }

    /// The names of the topics that exist now.
    pub(crate) fn now(&self, consumer: &Consumer, timeout: Duration) -> Result<Vec<String>, TopicsError> {
        let (pattern, text) = match self {
            Self::Named(names) => return Ok(names.clone()),
            Self::Matching(pattern, text) => (pattern, text),
        };
        let metadata = consumer.fetch_metadata(None, timeout)?;
        let names = metadata
            .topics()
            .iter()
            .filter(|t| !t.partitions().is_empty())
            .map(rdkafka::metadata::MetadataTopic::name);
        let found = pattern.select(names);
        if found.is_empty() {
            return Err(TopicsError::NoMatch(text.clone()));
        }
        Ok(found.into_iter().map(str::to_owned).collect())
    }
}
