//! Why Kafka does not answer: a request itself only times out, while the client knows the address and the reason.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::consumer::Consumer;

/// How long to wait for errors that a client has not reported yet, and how many times.
const POLL: Duration = Duration::from_millis(10);
const POLLS: u32 = 10;
/// Bound of the errors that are taken at once. A client reports one that repeats every 30 s.
const MOST_ERRORS: u32 = 1000;

/// The last errors of a client, with their addresses.
pub(crate) fn last_error(consumer: &Consumer) -> Option<String> {
    hand_over_errors(consumer);
    consumer.context().causes().last()
}

/// Lets a client hand over its errors, and waits a moment for the first. Those of a member are the source's.
pub(crate) fn hand_over_errors(consumer: &Consumer) {
    if consumer.context().is_member() {
        return;
    }
    for _ in 0..POLLS {
        take_errors(consumer);
        if consumer.context().causes().last().is_some() {
            return;
        }
    }
}

/// The brokers have answered: errors until now are not the cause of a later failure, nor are those that still wait in the
/// queue of the client.
pub(crate) fn forget_errors(consumer: &Consumer) {
    if !consumer.context().is_member() {
        take_errors(consumer);
    }
    consumer.context().answered();
}

/// Empties the queue of a client for queries. Errors arrive with polls.
fn take_errors(consumer: &Consumer) {
    (0..MOST_ERRORS).take_while(|_| consumer.poll(POLL).is_some()).for_each(drop);
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::kafka::consumer::ClientSettings;
    use crate::observe::metrics::Metrics;

    #[test]
    fn an_error_that_still_waits_in_the_queue_is_not_the_cause_of_a_failure_after_an_answer() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!("kafka.bootstrap_servers = \"{address}\"\nkafka.group_id = \"g\"");
        let config = Config::from_text(&config, &[]).unwrap();
        let metrics = Arc::new(Metrics::new("c"));
        let settings = ClientSettings { kafka: &config.kafka, client_id: "c".to_owned(), metrics };
        let consumer = settings.query_client().unwrap();
        // Nobody polls meanwhile, and nobody listens.
        consumer.fetch_metadata(None, Duration::from_millis(500)).map(drop).unwrap_err();
        let listener = TcpListener::bind(address).unwrap();
        let connection = listener.accept().unwrap();
        forget_errors(&consumer);
        assert_eq!(unanswered(&consumer), format!("no answer from {address}: time-out"));
        drop(connection);
    }
}
