//! `consumer.override.*`: properties of the Java client become librdkafka's.

use std::collections::BTreeMap;
use std::path::Path;

use shared::kafka::{addresses, broken_properties};
use shared::settings::is_secret_property;

use super::report::Outcome;
use super::translation::{Translation, is_reference};
use crate::config::owned;

const PREFIX: &str = "consumer.override.";
const WORKER: &str = "the worker resolves it: put in its value, and translate again";

/// Java properties under another name in librdkafka.
const RENAMED: &[(&str, &str)] = &[
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("sasl.kerberos.kinit.cmd", "sasl.kerberos.kinit.cmd"),
    ("request.timeout.ms", "socket.timeout.ms"),
];

/// What the sink does in another way.
const NOT_NEEDED: &[(&str, &str)] = &[
    ("max.poll.records", "batch.max_rows bounds a transaction"),
    ("key.deserializer", "records are read as bytes"),
    ("value.deserializer", "records are read as bytes"),
    ("default.api.timeout.ms", "the sink waits for as long as it takes"),
    ("exclude.internal.topics", "Kafka's own topics are never read"),
    ("metrics.recording.level", "metrics are served on http.listen"),
    ("metric.reporters", "metrics are served on http.listen"),
    ("interceptor.classes", "they are Java classes"),
];

pub(super) fn convert(t: &mut Translation) {
    let keys: Vec<String> = t.input.keys().filter(|key| key.starts_with(PREFIX)).cloned().collect();
    for key in keys {
        let property = key[PREFIX.len()..].to_owned();
        let value = t.input[&key].trim().to_owned();
        one(t, &key, &property, &value);
    }
    for (prefix, why) in [
        ("producer.override.", "the producer of dead letters needs no settings"),
        ("admin.override.", "no topic is created"),
    ] {
        for key in t.input.keys().filter(|key| key.starts_with(prefix)).cloned().collect::<Vec<_>>() {
            t.not_needed(&key, why);
        }
    }
}

fn one(t: &mut Translation, key: &str, property: &str, value: &str) {
    match property {
        "group.id" | "bootstrap.servers" | "auto.offset.reset" if is_reference(value) => {
            return t.not_supported(key, WORKER);
        }
        // See `identity`.
        "group.id" if t.report.has(key) => return,
        "bootstrap.servers" => {
            return match addresses::problem(value) {
                None => t.take(key, &["kafka", "bootstrap_servers"], value),
                Some(problem) => t.not_supported(key, format!("kafka.bootstrap_servers: {problem}")),
            };
        }
        "auto.offset.reset" => {
            return match value {
                "earliest" | "latest" => t.take(key, &["kafka", "auto_offset_reset"], value),
                "none" => t.take(key, &["kafka", "auto_offset_reset"], "error"),
                _ => t.not_supported(key, "is earliest, latest or none"),
            };
        }
        "isolation.level" if value == "read_uncommitted" => {
            return t.not_supported(key, "aborted records are never read");
        }
        "sasl.jaas.config" => return jaas(t, key, value),
        "ssl.truststore.location" | "ssl.keystore.location" => return store(t, key, property, value),
        _ => {}
    }
    if let Some((_, why)) = NOT_NEEDED.iter().find(|(name, _)| *name == property) {
        return t.not_needed(key, *why);
    }
    if let Some(why) = owned(property) {
        return t.not_needed(key, why);
    }
    if property.starts_with("ssl.truststore")
        || property.starts_with("ssl.keystore")
        || property == "ssl.key.password"
    {
        return t.not_supported(
            key,
            "librdkafka reads PEM files: ssl.ca.location, ssl.certificate.location, ssl.key.location",
        );
    }
    if is_secret_property(property) {
        return secret(t, key, property);
    }
    if is_reference(value) {
        return t.not_supported(key, WORKER);
    }
    let own = RENAMED.iter().find(|(java, _)| *java == property).map_or(property, |(_, own)| own);
    property_of_librdkafka(t, key, own, value);
}

fn property_of_librdkafka(t: &mut Translation, key: &str, own: &str, value: &str) {
    // The mechanism is a key of its own, which may come later.
    let mut one = BTreeMap::from([("sasl.mechanism".to_owned(), "PLAIN".to_owned())]);
    one.insert(own.to_owned(), value.to_owned());
    match broken_properties(&one, &BTreeMap::new()).first() {
        None => t.take(key, &["kafka", "properties", own], value),
        Some(broken) => t.not_supported(key, format!("{own}: {}", broken.problem)),
    }
}

/// Login needs a mechanism, a user and a password; what is not known gets a value that fails and can be found.
pub(super) fn complete(t: &mut Translation) {
    const KEY: &str = "consumer.override.security.protocol";
    let property = |t: &Translation, name: &str| t.text(&["kafka", "properties", name]).to_owned();
    if !property(t, "security.protocol").to_uppercase().starts_with("SASL") {
        return without_login(t);
    }
    let mechanism = [property(t, "sasl.mechanism"), property(t, "sasl.mechanisms")].concat();
    if !["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&mechanism.as_str()) {
        const WHY: &str = "only PLAIN and SCRAM are translated: set kafka.properties yourself";
        t.not_supported(KEY, WHY);
        no_login_from(t, |key| key == KEY || key.contains(".sasl."), Outcome::NotSupported, WHY);
        t.todo.push(
            "[kafka.properties] \"security.protocol\", \"sasl.mechanism\" and what belongs to them"
                .to_owned(),
        );
        return t.remove_properties(|name| name == "security.protocol" || name.starts_with("sasl."));
    }
    for name in ["sasl.username", "sasl.password"] {
        if property(t, name).is_empty() {
            t.set(&["kafka", "properties", name], "CHANGE-ME");
        }
    }
    t.todo.push("[kafka.properties] \"sasl.password_file\" = \"/run/secrets/kafka/password\" instead of \"sasl.password\"".to_owned());
}

/// The keys that were taken for a login that is not there.
fn no_login_from(t: &mut Translation, of: impl Fn(&str) -> bool, outcome: Outcome, why: &str) {
    let keys: Vec<String> =
        t.input.keys().filter(|key| key.starts_with(PREFIX) && of(key)).cloned().collect();
    for key in keys.iter().filter(|key| t.report.is_taken(key)).collect::<Vec<_>>() {
        t.report.replace(key, outcome, why);
    }
}

/// librdkafka refuses a mechanism that it has no user for.
fn without_login(t: &mut Translation) {
    let (outcome, why) = if t.get("consumer.override.security.protocol").is_some() {
        (Outcome::NotNeeded, "security.protocol has no login")
    } else {
        (
            Outcome::NotSupported,
            "security.protocol is not given: set kafka.properties \"security.protocol\" and \"sasl.mechanism\" as the workers \
             have them",
        )
    };
    no_login_from(
        t,
        |key| key.ends_with(".sasl.mechanism") || key.ends_with(".sasl.mechanisms"),
        outcome,
        why,
    );
    t.remove_properties(|name| name == "sasl.mechanism" || name == "sasl.mechanisms");
}

/// Secrets are not copied.
fn secret(t: &mut Translation, key: &str, property: &str) {
    let file = format!("{property}_file");
    t.taken(key, format!("not copied: put it into the file that kafka.properties.{file:?} names"));
    t.todo.push(format!("[kafka.properties] {file:?} = \"/run/secrets/kafka/{property}\"   # {key}"));
}

/// `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`
fn jaas(t: &mut Translation, key: &str, value: &str) {
    let option = |name: &str| {
        let (_, rest) = value.split_once(&format!("{name}="))?;
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        rest[1..].split(quote).next().map(str::to_owned)
    };
    let known = value.contains("PlainLoginModule") || value.contains("ScramLoginModule");
    match option("username").filter(|user| known && !is_reference(user)) {
        Some(user) => {
            t.take(key, &["kafka", "properties", "sasl.username"], user);
            t.taken(key, "its password is not copied");
        }
        None => t.not_supported(
            key,
            "only the login modules for PLAIN and SCRAM have something like it: set the properties sasl.* of librdkafka",
        ),
    }
}

/// A store in PEM is a file that librdkafka reads, too.
fn store(t: &mut Translation, key: &str, property: &str, value: &str) {
    let own = if property.contains("truststore") { "ssl.ca.location" } else { "ssl.certificate.location" };
    let pem = [".pem", ".crt", ".cer"].iter().any(|end| value.ends_with(end));
    if pem && Path::new(value).exists() {
        return t.take(key, &["kafka", "properties", own], value);
    }
    t.todo.push(format!("[kafka.properties] {own:?} = \"/run/secrets/kafka/ca.crt\"   # {key}, as PEM"));
    t.not_supported(key, format!("librdkafka reads PEM files: set kafka.properties.{own:?}"));
}
