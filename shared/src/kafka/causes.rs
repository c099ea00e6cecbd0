//! The cause of a client's failures: a request only times out, while an earlier error names the address and the reason.

use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::RepeatedFailures;

/// The errors of one client, from its callbacks.
#[derive(Debug, Default)]
pub struct Causes {
    last: Mutex<Option<String>>,
    failures: RepeatedFailures,
    /// Errors are logged at debug level: another client of the process reports the same ones.
    quiet: bool,
}

impl Causes {
    /// For a client whose errors another client of the process reports as well: they are logged at debug level.
    #[must_use]
    pub fn quiet() -> Self {
        Self { quiet: true, ..Self::default() }
    }

    /// The last error, which names the address and the reason.
    pub fn last(&self) -> Option<String> {
        self.last.lock().clone()
    }

    /// The error callback of a client. Returns the error's text without counters.
    pub fn error(&self, error: &KafkaError, reason: &str) -> String {
        let reason = plain(reason);
        self.warn(&reason);
        // "All brokers down" follows the error of a single broker, which has more detail.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last.lock() = Some(reason.clone());
        }
        reason
    }

    /// The log callback of a client.
    pub fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                // The error callback gets most of these as well, without the name of the thread.
                let thread = message.starts_with("[thrd:").then(|| message.split_once("]: ")).flatten();
                self.warn(&plain(thread.map_or(message, |(_, message)| message)));
            }
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
    }

    /// Clears the last error, so that the next one is logged at once.
    pub fn recovered(&self) {
        *self.last.lock() = None;
        self.failures.ended();
    }

    /// Logs an error, unless it was logged within the last minute or another client of the process reports it.
    pub fn warn(&self, error: &str) {
        match self.failures.to_log(error, Instant::now()) {
            Some(times) if !self.quiet => tracing::warn!(error, times, "Kafka"),
            Some(times) => tracing::debug!(error, times, "Kafka"),
            None => {}
        }
    }
}

/// Removes from an error text of librdkafka what differs between attempts and connections to one address: the counters at
/// the end, `GroupCoordinator` and the broker id at the beginning.
fn plain(reason: &str) -> String {
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    let reason = reason.strip_prefix("GroupCoordinator: ").unwrap_or(reason);
    let Some((connection, problem)) = reason.split_once(": ") else { return reason.to_owned() };
    match connection.rsplit_once('/') {
        Some((address, id)) if id == "bootstrap" || id.parse::<u32>().is_ok() => {
            format!("{address}: {problem}")
        }
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_all_connections_to_one_address_read_alike() {
        let refused = "127.0.0.1:9092: Connect to ipv4#127.0.0.1:9092 failed: Connection refused";
        for connection in ["127.0.0.1:9092/bootstrap", "127.0.0.1:9092/1", "GroupCoordinator: 127.0.0.1:9092"]
        {
            let error = format!(
                "{connection}: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT, \
                 584 identical error(s) suppressed)"
            );
            assert_eq!(plain(&error), refused);
        }
        assert_eq!(plain("ssl://h:9093/12: SSL handshake failed"), "ssl://h:9093: SSL handshake failed");
        assert_eq!(plain("ssl://h:9093: SSL handshake failed"), "ssl://h:9093: SSL handshake failed");
        assert_eq!(plain("1/1 brokers are down"), "1/1 brokers are down");
    }

    #[test]
    fn the_error_of_a_broker_is_kept_when_all_are_down() {
        let causes = Causes::default();
        assert_eq!(causes.last(), None);
        let refused = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
        causes.error(&refused, "h:9092/bootstrap: Connection refused (after 1ms in state CONNECT)");
        causes.error(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(causes.last().as_deref(), Some("h:9092: Connection refused"));
        causes.recovered();
        assert_eq!(causes.last(), None);
    }
}
