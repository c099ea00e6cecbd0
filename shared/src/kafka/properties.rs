//! What librdkafka refuses of `kafka.properties`. Errors name the property, never its value: it may be a secret, also under
//! a mistyped name.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::builds::{missing_default, missing_mechanism, unsupported};
use crate::settings::properties::{property_key, property_of};
use crate::settings::{RuleError, Secret, is_secret_property, nearest};

/// Properties that are suggested for mistyped ones.
const COMMON: &[&str] = &[
    "allow.auto.create.topics",
    "api.version.request",
    "batch.size",
    "broker.address.family",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "delivery.timeout.ms",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "linger.ms",
    "max.in.flight",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "statistics.interval.ms",
];

/// The entries of `kafka.properties` that librdkafka refuses: all of them, each with its key.
#[must_use]
pub fn broken_properties(
    given: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Secret>,
) -> Vec<RuleError> {
    let mut broken = Vec::new();
    let mechanism_given =
        given.keys().any(|entry| matches!(property_of(entry), "sasl.mechanism" | "sasl.mechanisms"));
    for (entry, value) in given {
        let property = property_of(entry);
        // The file of a secret that could not be read is an error of its own.
        let value =
            if property == entry { Some(value.as_str()) } else { secrets.get(property).map(Secret::expose) };
        let Some(value) = value else { continue };
        let problem = missing_mechanism(property, value).or_else(|| refused(property, value));
        let problem =
            problem.or_else(|| if mechanism_given { None } else { missing_default(property, value) });
        broken.extend(problem.map(|problem| RuleError::new([property_key(entry)], problem)));
    }
    broken
}

/// Why librdkafka refuses a value, if it does.
fn refused(property: &str, value: &str) -> Option<String> {
    let error = ClientConfig::new().set(property, value).create_native_config().err()?;
    Some(refusal(property, &error))
}

/// Why a client cannot be created with these properties, if `error` says so: properties that contradict each other, files
/// of TLS that cannot be read. `secrets` are values that must not be shown.
#[must_use]
pub fn broken_client<'a>(
    error: &KafkaError,
    properties: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> RuleError {
    let text = match error {
        KafkaError::ClientCreation(text) => text.clone(),
        // `broken_properties` has named it.
        KafkaError::ClientConfig(_, _, property, _) => format!("librdkafka refuses {property}"),
        other => other.to_string(),
    };
    let shown = properties
        .into_iter()
        .any(|(name, value)| is_secret_property(name) && !value.is_empty() && text.contains(value));
    let problem = if shown { "librdkafka refuses a secret property".to_owned() } else { text };
    RuleError::new(["kafka.properties"], problem)
}

/// The reason without the value, which librdkafka's own text repeats.
fn refusal(property: &str, error: &KafkaError) -> String {
    let KafkaError::ClientConfig(result, text, ..) = error else {
        return "librdkafka refuses it".to_owned();
    };
    if *result == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN {
        let suggestion = nearest(property, COMMON.iter().copied());
        let suggestion = suggestion.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        return format!("librdkafka has no such property{suggestion}");
    }
    if let Some(missing) = unsupported(text) {
        return missing;
    }
    let after = |words: &str| text.find(words).map(|at| text[at..].trim_end_matches(['\n', '.']).to_owned());
    // Both texts go on with constants of librdkafka.
    match (after("not supported in this build"), after("outside allowed range")) {
        (Some(unsupported), _) => unsupported,
        (_, Some(range)) => format!("the value is {range}"),
        _ => "librdkafka does not accept the value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(properties: &[(&str, &str)]) -> Vec<String> {
        let given =
            properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = broken_properties(&given, &BTreeMap::new());
        found.iter().map(|rule| format!("{}: {}", rule.keys[0], rule.problem)).collect()
    }

    #[test]
    fn each_refused_property_is_named_with_its_reason_and_without_its_value() {
        let canary = "c4n4ry";
        let found = broken(&[
            ("sasl.pasword", canary),
            ("sasl.username", "u"),
            ("security.protocol", canary),
            ("session.timeout.ms", "-7654321"),
            ("socket.timeout.ms", canary),
            ("sasl.oauthbearer.client.secret", canary),
            ("debug", canary),
            ("nonsense", canary),
        ]);
        let mut expected = vec![
            "kafka.properties.debug: librdkafka does not accept the value",
            "kafka.properties.nonsense: librdkafka has no such property",
            "kafka.properties.\"sasl.oauthbearer.client.secret\": needs OIDC, which this build does not have",
            "kafka.properties.\"sasl.pasword\": librdkafka has no such property; did you mean sasl.password?",
            "kafka.properties.\"security.protocol\": librdkafka does not accept the value",
            "kafka.properties.\"session.timeout.ms\": the value is outside allowed range 1..3600000",
            "kafka.properties.\"socket.timeout.ms\": librdkafka does not accept the value",
        ];
        if cfg!(feature = "oidc") {
            expected.retain(|expected| !expected.contains("OIDC"));
        }
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
            assert!(!found.contains(canary) && !found.contains("7654321"), "{found}");
        }
    }

    #[test]
    fn a_login_with_kerberos_is_refused_by_the_property_that_asks_for_it() {
        let needs = |key: &str| {
            let refused = format!("kafka.properties.\"{key}\": needs ");
            if cfg!(feature = "gssapi") { vec![] } else { vec![refused] }
        };
        for (properties, key) in [
            (&[("sasl.mechanism", "GSSAPI"), ("security.protocol", "SASL_SSL")][..], "sasl.mechanism"),
            (&[("sasl.mechanisms", "GSSAPI")], "sasl.mechanisms"),
            (&[("security.protocol", "sasl_plaintext")], "security.protocol"),
        ] {
            let found = broken(properties);
            assert_eq!(found.len(), needs(key).len(), "{found:?}");
            assert!(
                found.iter().zip(needs(key)).all(|(found, needs)| found.starts_with(&needs)),
                "{found:?}"
            );
        }
        assert_eq!(broken(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")]), [""; 0]);
    }

    #[test]
    fn the_error_of_a_client_shows_no_secret() {
        let error = KafkaError::ClientCreation("ssl.key.pem failed: c4n4ry".to_owned());
        let shown = |name| broken_client(&error, [(name, "c4n4ry")]).problem;
        assert_eq!(shown("ssl.key.pem"), "librdkafka refuses a secret property");
        assert_eq!(shown("ssl.ca.location"), "ssl.key.pem failed: c4n4ry");
    }

    #[test]
    fn every_suggestion_is_a_property() {
        for name in COMMON {
            let refused = ClientConfig::new().set(*name, "~").create_native_config().err();
            let unknown =
                matches!(refused, Some(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)));
            assert!(!unknown, "{name}");
        }
    }
}
