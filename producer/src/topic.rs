//! Whether the topic exists, before records wait for it: librdkafka takes a missing topic for one that was just created, and
//! records only time out.

use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use shared::signal::Shutdown;
use thiserror::Error;

/// How long the topic may stay missing: brokers that create topics need a moment.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time limit of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The wait between two requests.
const BETWEEN: Duration = Duration::from_millis(200);

/// Why nothing can be published to the topic.
#[derive(Debug, Error)]
pub enum TopicError {
    /// No such topic, also after the brokers had time to create it.
    #[error("{}", missing(.0))]
    Missing(String),
    /// The brokers allow no topic of this name.
    #[error("the brokers refuse {0:?} as the name of a topic: correct kafka.topic")]
    Invalid(String),
    /// The user may not write to it.
    #[error(
        "not authorised to use topic {0:?}: grant WRITE and DESCRIBE on it, for example with kafka-acls --add \
         --allow-principal User:… --operation Write --operation Describe --topic {0}"
    )]
    NotAuthorised(String),
}

/// The message for a topic that does not exist.
pub(crate) fn missing(topic: &str) -> String {
    format!(
        "topic {topic:?} does not exist, or this user may not see it: create it (kafka-topics --create --topic {topic}), \
         correct kafka.topic, or set auto.create.topics.enable=true on the brokers"
    )
}

/// What the brokers know of the topic.
enum Seen {
    Exists,
    Missing,
    Invalid,
    NotAuthorised,
    /// No broker has answered, or the topic is being created.
    Unknown,
}

/// Waits until the topic exists, or until nothing more can be learned: no broker answers, and false is returned. `poll`
/// serves the callbacks.
///
/// # Errors
/// See [`TopicError`].
pub(crate) fn find<C: ClientContext + ProducerContext>(
    producer: &BaseProducer<C>,
    topic: &str,
    shutdown: &Shutdown,
    mut poll: impl FnMut(),
) -> Result<bool, TopicError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = look(producer, topic);
        poll();
        let late = Instant::now() >= until;
        match seen {
            Seen::Exists => return Ok(true),
            Seen::Invalid => return Err(TopicError::Invalid(topic.to_owned())),
            Seen::NotAuthorised => return Err(TopicError::NotAuthorised(topic.to_owned())),
            Seen::Missing if late => return Err(TopicError::Missing(topic.to_owned())),
            // The records wait for the brokers, and the delivery reports say what became of them.
            Seen::Unknown if late => return Ok(false),
            Seen::Missing | Seen::Unknown => {}
        }
        if shutdown.wait_timeout(BETWEEN) {
            return Ok(true);
        }
    }
}

/// Asks for the topic, which makes brokers create it that are configured to.
fn look<C: ClientContext + ProducerContext>(producer: &BaseProducer<C>, topic: &str) -> Seen {
    let metadata = match producer.client().fetch_metadata(Some(topic), REQUEST_TIMEOUT) {
        Ok(metadata) => metadata,
        Err(KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
            return Seen::NotAuthorised;
        }
        Err(KafkaError::MetadataFetch(RDKafkaErrorCode::InvalidTopic)) => return Seen::Invalid,
        Err(_) => return Seen::Unknown,
    };
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Seen::Missing;
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None if !found.partitions().is_empty() => Seen::Exists,
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Seen::Missing,
        Some(RDKafkaErrorCode::InvalidTopic) => Seen::Invalid,
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Seen::NotAuthorised,
        _ => Seen::Unknown,
    }
}
