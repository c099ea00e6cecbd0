//! Why Kafka does not answer: a request itself only times out, while the client knows the address and the reason.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::consumer::Consumer;

/// Polls that a client needs to hand over its errors, and how long one may wait.
const POLLS: u32 = 10;
const POLL: Duration = Duration::from_millis(10);

/// The last errors of a client, with their addresses.
pub(crate) fn last_error(consumer: &Consumer) -> Option<String> {
    hand_over_errors(consumer);
    consumer.context().causes().last()
}

/// Lets a client hand over its errors. They arrive with polls; those of a member are the source's.
pub(crate) fn hand_over_errors(consumer: &Consumer) {
    if consumer.context().is_member() {
        return;
    }
    for _ in 0..POLLS {
        if consumer.poll(POLL).is_none() && consumer.context().causes().last().is_some() {
            return;
        }
    }
}

/// The text of an error. If it says only that there was no answer: with the addresses, and the reason as far as it is known.
pub(crate) fn cause(consumer: &Consumer, error: &KafkaError) -> String {
    cause_of(consumer, error.rdkafka_error_code(), &error.to_string())
}

/// The same for a code and a text of librdkafka.
pub(crate) fn cause_of(consumer: &Consumer, code: Option<RDKafkaErrorCode>, text: &str) -> String {
    if !code.is_some_and(is_no_answer) {
        return text.to_owned();
    }
    hand_over_errors(consumer);
    consumer.context().causes().of(&text)
}

/// Why a request was not answered at all.
pub(crate) fn unanswered(consumer: &Consumer) -> String {
    cause_of(consumer, Some(RDKafkaErrorCode::OperationTimedOut), "time-out")
}

/// Whether an error comes from the client, which has no answer, and not from a broker.
pub(crate) fn is_no_answer(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::WaitingForCoordinator
    )
}
