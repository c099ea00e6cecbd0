//! The topics that are read: named ones, or all whose names match a pattern, including those created later.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use crate::config::Kafka;
use crate::config::librdkafka::consumer_protocol;
use crate::config::pattern::{InvalidPattern, Pattern};
use crate::kafka::cause::cause;
use crate::kafka::consumer::Consumer;

#[derive(Clone, Debug)]
pub(crate) enum Topics {
    Named(Vec<String>),
    Matching {
        pattern: Pattern,
        text: String,
        /// With the consumer protocol, the brokers would match the pattern: in another dialect, whole names, and without
        /// `topic.blacklist`.
        by_name: bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TopicsError {
    #[error("cannot list the topics of the cluster: {0}")]
    Unreachable(String),
    #[error("no topic matches topics_regex {0:?}, or this client may not read any")]
    NoMatch(String),
}

impl Topics {
    pub(crate) fn of(kafka: &Kafka) -> Result<Self, InvalidPattern> {
        Ok(match &kafka.topics_regex {
            Some(text) => Self::Matching {
                pattern: Pattern::new(text)?,
                text: text.clone(),
                by_name: consumer_protocol(kafka.librdkafka()),
            },
            None => Self::Named(kafka.topics.clone()),
        })
    }

    /// The names to subscribe to at the start, unless [`by_name`](Self::by_name). librdkafka treats a name that begins with
    /// `^` as a pattern, which it matches itself.
    pub(crate) fn subscription(&self) -> Vec<&str> {
        match self {
            Self::Named(names) => names.iter().map(String::as_str).collect(),
            Self::Matching { text, .. } => vec![text],
        }
    }

    /// Whether the names that match are subscribed to when they are known, and again when they change.
    pub(crate) fn by_name(&self) -> bool {
        matches!(self, Self::Matching { by_name: true, .. })
    }

    /// The names of the topics that exist now.
    pub(crate) fn now(&self, consumer: &Consumer, timeout: Duration) -> Result<Vec<String>, TopicsError> {
        let (pattern, text) = match self {
            Self::Named(names) => return Ok(names.clone()),
            Self::Matching { pattern, text, .. } => (pattern, text),
        };
        let metadata = consumer.fetch_metadata(None, timeout);
        let metadata = metadata.map_err(|error| TopicsError::Unreachable(cause(consumer, &error)))?;
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
