//! The producer's configuration: TOML files, then environment variables `PRODUCER__…`, then flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use shared::live_score::TOPIC;
use shared::log::LogFormat;
use shared::settings::properties::{self, property_key, property_of};
use shared::settings::{Key, Layers, RuleError, Schema, Secret, SettingsErrors, millis};

/// Every key that the producer understands.
pub static SCHEMA: Schema = Schema {
    prefix: "PRODUCER",
    keys: &[
        Key::text("kafka.bootstrap_servers", "Brokers to begin with, `host:port`, comma-separated.")
            .or("localhost:9092"),
        Key::text("kafka.topic", "Topic to publish to.").or(TOPIC),
        Key::properties(
            "kafka.properties",
            "Any librdkafka property, except those that hold the producer's guarantees. `\"sasl.password_file\"` reads \
             `sasl.password` from a file; so does any name with `_file` at its end.",
        ),
        Key::integer("producer.batch_size", 1, 1_000_000_000, "records", "Records per batch.")
            .or_integer(100),
        Key::integer(
            "producer.interval_ms",
            0,
            86_400_000,
            "ms",
            "From the beginning of one batch to the beginning of the next, in `run`.",
        )
        .or_integer(5000),
        Key::integer(
            "producer.seed",
            0,
            i64::MAX,
            "",
            "The same seed gives the same records, ids included: the clock then is an instant that the seed \
             determines. Without it both seed and clock are those of the hour.",
        ),
        Key::choice(
            "producer.scenario",
            &["matches"],
            "What is generated: `matches`, every record a match of its own.",
        )
        .or("matches"),
        Key::text("http.listen", "Address that `run` serves metrics and probes on.").or("0.0.0.0:9465"),
        Key::choice("log.format", &["text", "json"], "How log lines are written.").or("text"),
    ],
};

/// Properties that hold what the producer promises, and are therefore not for the configuration to set.
const OWNED_PROPERTIES: [(&str, &str); 6] = [
    ("bootstrap.servers", "set kafka.bootstrap_servers"),
    ("metadata.broker.list", "set kafka.bootstrap_servers"),
    ("acks", "the producer waits for all replicas"),
    ("request.required.acks", "the producer waits for all replicas"),
    ("enable.idempotence", "the producer is idempotent"),
    ("transactional.id", "the producer does not use transactions"),
];

/// The two names of one librdkafka property.
const DELIVERY_TIMEOUT: [&str; 2] = ["message.timeout.ms", "delivery.timeout.ms"];

/// How long a record may wait to be acknowledged when no property says otherwise.
const DEFAULT_DELIVERY_TIMEOUT_MS: u64 = 30_000;

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to publish.
    pub kafka: Kafka,
    /// What to publish.
    pub producer: Producing,
    /// Metrics and probes.
    pub http: Http,
    /// Logs.
    pub log: Log,
}

/// `[kafka]`: where to publish.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to begin with, `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Topic to publish to.
    pub topic: String,
    /// librdkafka properties, by name.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// What `…_file` properties held, by the name without `_file`.
    #[serde(skip)]
    secrets: BTreeMap<String, Secret>,
}

/// `[producer]`: what to publish.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producing {
    /// Records per batch.
    pub batch_size: u64,
    /// From the beginning of one batch to the beginning of the next.
    #[serde(rename = "interval_ms", with = "millis")]
    pub interval: Duration,
    /// Seed of the generator; none for a run unlike any other.
    pub seed: Option<u64>,
    /// What is generated.
    pub scenario: Scenario,
}

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Every record is a match of its own.
    Matches,
}

/// `[http]`: metrics and probes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address that `run` listens on.
    pub listen: String,
}

/// `[log]`: logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How log lines are written.
    pub format: LogFormat,
}

impl Kafka {
    /// The user's librdkafka properties, those from files included: secrets in clear.
    pub fn librdkafka(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::librdkafka(&self.properties, &self.secrets)
    }

    /// How long a record may wait to be acknowledged; after that it has failed.
    pub fn delivery_timeout(&self) -> Duration {
        let given = DELIVERY_TIMEOUT.iter().find_map(|name| self.properties.get(*name));
        // A number, or the rules below have refused it.
        let millis = given.and_then(|millis| millis.parse().ok()).unwrap_or(DEFAULT_DELIVERY_TIMEOUT_MS);
        Duration::from_millis(millis)
    }
}

impl Http {
    /// The address as a socket address.
    ///
    /// # Errors
    /// When it is none; [`Settings::load`] has refused such settings.
    pub fn listen(&self) -> Result<SocketAddr, std::net::AddrParseError> {
        self.listen.parse()
    }
}

impl Settings {
    /// The settings of all layers, judged by the rules between keys.
    ///
    /// # Errors
    /// Every mistake of every layer, each with its key and its origin.
    pub fn load(layers: Layers) -> Result<Self, SettingsErrors> {
        let mut loaded = layers.load::<Self>()?;
        let settings = &mut loaded.settings;
        let (secrets, mut broken) = properties::read_property_files(&settings.kafka.properties);
        settings.kafka.secrets = secrets;
        if settings.http.listen().is_err() {
            broken.push(RuleError::new(["http.listen"], "is not an address and port such as 0.0.0.0:9465"));
        }
        for (name, why) in OWNED_PROPERTIES {
            for entry in settings.kafka.properties.keys().filter(|entry| property_of(entry) == name) {
                broken.push(RuleError::new([property_key(entry)], format!("cannot be set: {why}")));
            }
        }
        // Whoever waits for records must know it, so that it stands in the settings themselves.
        for entry in settings.kafka.secrets.keys().filter(|entry| DELIVERY_TIMEOUT.contains(&entry.as_str()))
        {
            let key = property_key(&format!("{entry}_file"));
            broken.push(RuleError::new([key], format!("is no secret: set {entry} itself")));
        }
        for name in DELIVERY_TIMEOUT {
            let Some(millis) = settings.kafka.properties.get(name) else { continue };
            // 0 is librdkafka's word for ever.
            if !millis.parse::<u32>().is_ok_and(|millis| millis > 0) {
                let key = property_key(name);
                broken.push(RuleError::new([key], "must be a number of milliseconds, more than 0"));
            }
        }
        loaded.finish(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_VARIABLES: [(&str, &str); 0] = [];
    const DEFAULTS: &str = include_str!("../../config/producer.toml");

    fn errors(text: &str) -> String {
        Settings::load(Layers::new(&SCHEMA).text("a.toml", text)).unwrap_err().to_string()
    }

    #[test]
    fn the_default_file_says_what_is_true_without_it() {
        let without = Settings::load(Layers::new(&SCHEMA).environment(NO_VARIABLES)).unwrap();
        let with = Settings::load(Layers::new(&SCHEMA).text("producer.toml", DEFAULTS)).unwrap();
        assert_eq!(format!("{with:?}"), format!("{without:?}"));
        assert_eq!(with.producer.interval, Duration::from_secs(5));
        assert_eq!(with.kafka.delivery_timeout(), Duration::from_secs(30));
        assert_eq!(with.http.listen().unwrap().port(), 9465);
        // Every key stands in the file, if only as a comment.
        for key in SCHEMA.keys {
            let name = key.path.rsplit('.').next().unwrap();
            assert!(DEFAULTS.contains(name), "{name}");
        }
    }

    #[test]
    fn the_environment_is_laid_over_files_and_flags_over_both() {
        let layers = Layers::new(&SCHEMA)
            .text("a.toml", "[kafka]\nbootstrap_servers = 'a:1'\ntopic = 'a'")
            .environment([
                ("PRODUCER__KAFKA__BOOTSTRAP_SERVERS", "b:1,c:1"),
                ("PRODUCER__KAFKA__TOPIC", "b"),
                ("PRODUCER__KAFKA__PROPERTIES__DELIVERY_TIMEOUT_MS", "500"),
            ])
            .flag("--topic", "kafka.topic", Some("c"));
        let settings = Settings::load(layers).unwrap();
        assert_eq!(settings.kafka.bootstrap_servers, "b:1,c:1");
        assert_eq!(settings.kafka.topic, "c");
        assert_eq!(settings.kafka.delivery_timeout(), Duration::from_millis(500));
    }

    #[test]
    fn secrets_are_read_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "s3cret\n").unwrap();
        let text =
            format!("[kafka.properties]\n'sasl.username' = 'u'\n'sasl.password_file' = '{}'", file.display());
        let settings = Settings::load(Layers::new(&SCHEMA).text("a.toml", &text)).unwrap();
        let given: Vec<_> = settings.kafka.librdkafka().collect();
        assert_eq!(given, [("sasl.username", "u"), ("sasl.password", "s3cret")]);
        assert!(!format!("{settings:?}").contains("s3cret"));

        let text = format!(
            "[kafka.properties]\nacks_file = '{0}'\n'message.timeout.ms_file' = '{0}'\n\
             'sasl.password_file' = '/nowhere'",
            file.display()
        );
        let errors = errors(&text);
        for part in ["acks_file: cannot be set", "set message.timeout.ms itself", "cannot read /nowhere"] {
            assert!(errors.contains(part), "{part} is missing in:\n{errors}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let errors = errors(
            "[kafka.properties]\nacks = '0'\n'message.timeout.ms' = 0\n[producer]\nbatchsize = 1\n[http]\nlisten = 'x'",
        );
        for part in [
            "kafka.properties.acks: cannot be set",
            "more than 0",
            "producer.batch_size?",
            "http.listen: is not",
        ] {
            assert!(errors.contains(part), "{part} is missing in:\n{errors}");
        }
    }
}
