//! The cause of a client's failures: a request only times out, while an earlier error names the address and the reason.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::LoginSource;
use super::certificate::Verifier;
use crate::repeated::RepeatedFailures;

/// How long an error counts. A client reports one that repeats every 30 s, and tries again every 2 s.
const COUNTS: Duration = Duration::from_secs(45);
/// Bound of remembered addresses. Errors of another one replace those of the address that failed longest ago.
const MOST_ADDRESSES: usize = 8;

/// Bytes that no response exceeds: librdkafka asks for 50 MB at most by default.
const LARGEST_RESPONSE: i64 = 1 << 28;

/// The errors of one client, from its callbacks.
#[derive(Debug, Default)]
pub struct Causes {
    /// The last error of each address since a broker has answered.
    last: Mutex<BTreeMap<String, (Instant, String)>>,
    /// `bootstrap.servers`
    bootstrap: String,
    failures: RepeatedFailures,
    /// Errors are logged at debug level: another client of the process reports the same ones.
    quiet: bool,
    verifier: Option<Verifier>,
    login: Option<LoginSource>,
}

impl Causes {
    /// For a client whose errors another client of the process reports as well: they are logged at debug level.
    #[must_use]
    pub fn quiet() -> Self {
        Self { quiet: true, ..Self::default() }
    }

    /// Says more of the refused certificates and logins of a client with these properties.
    #[must_use]
    pub fn explaining(self, config: &ClientConfig, login: Option<LoginSource>) -> Self {
        let bootstrap = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        Self { verifier: Some(Verifier::new(config)), login, bootstrap, ..self }
    }

    /// The last errors, which name address and reason; in the order of the addresses, so that the text stays the same.
    pub fn last(&self) -> Option<String> {
        let last = self.last.lock();
        let errors = last.values().filter(|(at, _)| at.elapsed() < COUNTS).map(|(_, error)| error.as_str());
        let errors: Vec<&str> = errors.collect();
        (!errors.is_empty()).then(|| errors.join("; "))
    }

    /// Why a request had no answer: the last errors, or the request's own error with the addresses that were asked.
    pub fn of(&self, error: &impl Display) -> String {
        self.last().unwrap_or_else(|| format!("no answer from {}: {error}", self.bootstrap))
    }

    /// The error callback of a client. Returns the error's text without counters.
    pub fn error(&self, error: &KafkaError, reason: &str) -> String {
        let reason = self.explained(plain(reason));
        self.warn(&reason);
        // "All brokers down" follows the error of a single broker, which has more detail.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.remember(&reason);
        }
        reason
    }

    fn remember(&self, reason: &str) {
        let mut last = self.last.lock();
        let address = address(reason);
        if last.len() == MOST_ADDRESSES && !last.contains_key(address) {
            let oldest = last.iter().min_by_key(|(_, (at, _))| *at).map(|(address, _)| address.clone());
            oldest.and_then(|oldest| last.remove(&oldest));
        }
        last.insert(address.to_owned(), (Instant::now(), reason.to_owned()));
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
                self.warn(&self.explained(plain(thread.map_or(message, |(_, message)| message))));
            }
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
    }

    /// An error with what librdkafka does not know of it: the reason why a certificate is refused, the files of a login.
    fn explained(&self, error: String) -> String {
        if let Some(explained) = self.verifier.as_ref().and_then(|verifier| verifier.explain(&error)) {
            return explained;
        }
        if refuses_client_certificate(&error) {
            return format!(
                "{error}; the broker demands a client certificate that it trusts (ssl.certificate.location, ssl.key.location)"
            );
        }
        match &self.login {
            Some(login)
                if error.contains("SASL authentication error") || error.contains("Authentication failed") =>
            {
                format!("{error}; {}", login.described())
            }
            _ => error,
        }
    }

    /// The brokers have answered: earlier errors are not the cause of a later failure.
    pub fn answered(&self) {
        self.last.lock().clear();
    }

    /// The brokers answer again: the next error is logged at once.
    pub fn recovered(&self) {
        self.answered();
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

/// Whether an error is a broker's answer to a client certificate: a TLS alert.
fn refuses_client_certificate(error: &str) -> bool {
    let alerts = [
        "bad certificate",
        "certificate required",
        "certificate expired",
        "certificate unknown",
        "unknown ca",
    ];
    error.split_once("alert ").is_some_and(|(_, alert)| alerts.iter().any(|known| alert.starts_with(known)))
}

/// Removes from an error text of librdkafka what differs between attempts and connections to one address: the counters at
/// the end, `GroupCoordinator` and the broker id at the beginning.
fn plain(reason: &str) -> String {
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    let reason = reason.strip_prefix("GroupCoordinator: ").unwrap_or(reason);
    let Some((connection, problem)) = reason.split_once(": ") else { return reason.to_owned() };
    match connection.rsplit_once('/') {
        Some((address, id)) if id == "bootstrap" || id.parse::<u32>().is_ok() => {
            format!("{address}: {}", not_kafka(problem).unwrap_or(problem))
        }
        _ => match not_kafka(problem) {
            Some(problem) => format!("{connection}: {problem}"),
            None => reason.to_owned(),
        },
    }
}

/// What a size means that no response of a broker has: it is the first bytes of another protocol, such as "HTTP".
fn not_kafka(problem: &str) -> Option<&'static str> {
    let (_, size) = problem.split_once("Invalid response size ")?;
    let size: i64 = size.split(' ').next()?.parse().ok()?;
    (!(0..=LARGEST_RESPONSE).contains(&size))
        .then_some("what answers is no broker, or expects TLS: correct the port, or set security.protocol")
}

/// The address that an error of [`plain`] is about. An error without one is about all of them.
fn address(reason: &str) -> &str {
    reason.split_once(": ").map_or("", |(address, _)| address)
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
    fn an_answer_of_another_service_is_no_reason_for_larger_responses() {
        let size = |size: &str| {
            format!(
                "h:80/bootstrap: Receive failed: Invalid response size {size} (0..100000000): increase receive.message.max.bytes"
            )
        };
        // "HTTP", an error of PostgreSQL, a TLS alert.
        for other in ["1213486160", "1157627904", "352518912", "-1"] {
            assert!(plain(&size(other)).starts_with("h:80: what answers is no broker"), "{other}");
            assert!(plain(&size(other).replace("/bootstrap", "")).starts_with("h:80: what answers is no"));
        }
        assert!(plain(&size("150000000")).ends_with("increase receive.message.max.bytes"));
    }

    #[test]
    fn a_refused_or_missing_client_certificate_is_named_with_its_properties() {
        let error = "ssl://h:9093: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42";
        let explained = Causes::default().explained(error.to_owned());
        assert!(
            explained.starts_with(error) && explained.contains("ssl.certificate.location"),
            "{explained}"
        );
        let other = "ssl://h:9093: SSL handshake failed: alert handshake failure";
        assert_eq!(Causes::default().explained(other.to_owned()), other);
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

    #[test]
    fn the_errors_of_several_addresses_make_one_text_whatever_their_order() {
        let texts = [["a:1", "b:2", "b:2"], ["b:2", "b:2", "a:1"]].map(|order| {
            let causes = Causes::default();
            let refused = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
            for address in order {
                causes.error(&refused, &format!("{address}/bootstrap: Connection refused (after 1ms)"));
            }
            causes.last().unwrap_or_default()
        });
        assert_eq!(texts, ["a:1: Connection refused; b:2: Connection refused"; 2]);
    }

    #[test]
    fn a_request_that_only_times_out_names_the_addresses_that_were_asked() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "h:9092,i:9092");
        let causes = Causes::default().explaining(&config, None);
        assert_eq!(causes.of(&"timed out"), "no answer from h:9092,i:9092: timed out");
        causes.error(&KafkaError::Global(RDKafkaErrorCode::Resolve), "h:9092/bootstrap: Failed to resolve");
        assert_eq!(causes.of(&"timed out"), "h:9092: Failed to resolve");
        causes.answered();
        assert_eq!(causes.of(&"timed out"), "no answer from h:9092,i:9092: timed out");
    }
}
