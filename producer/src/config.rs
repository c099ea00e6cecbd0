//! The producer's configuration: TOML files, then environment variables `PRODUCER__…`, then flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::types::RDKafkaType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::http;
use shared::kafka::{
    LoginSource, TokenCommand, addresses, broken_client, broken_properties, broken_token_command, is_topic,
    not_a_topic,
};
use shared::live_score::TOPIC;
use shared::log::LogFormat;
use shared::settings::properties::{self, property_key, property_of};
use shared::settings::{Layers, RuleError, Schema, Secret, SettingsErrors, millis, redacted};
use smart_default::SmartDefault;

/// Every key that the producer understands.
pub static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::of::<Settings>("PRODUCER"));

/// Properties that the guarantees of the producer need. The configuration cannot set them.
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

/// Defaults of properties, under any of their names. The queue is bounded at 64 MiB; lz4 costs the least CPU.
const DEFAULT_PROPERTIES: [(&[&str], &str); 6] = [
    (&["client.id"], "producer"),
    (&["compression.type", "compression.codec"], "lz4"),
    (&["linger.ms", "queue.buffering.max.ms"], "5"),
    (&["message.timeout.ms", "delivery.timeout.ms"], "30000"),
    (&["queue.buffering.max.messages"], "100000"),
    (&["queue.buffering.max.kbytes"], "65536"),
];

/// How long a record may wait for its acknowledgement by default.
const DEFAULT_DELIVERY_TIMEOUT_MS: u64 = 30_000;

/// librdkafka's default of `message.max.bytes`, which has no other name.
const DEFAULT_MAX_BYTES: usize = 1_000_000;

/// All settings.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
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
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to start from: `host:port`, comma-separated.
    #[default = "localhost:9092"]
    pub bootstrap_servers: String,
    /// Topic to publish to.
    #[default(TOPIC.to_owned())]
    pub topic: String,
    /// Topic for the single balls of live matches, one record for each; unset: they are not published. In the scenario
    /// `live` and in `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries_topic: Option<String>,
    /// Where tokens for OAUTHBEARER come from.
    #[serde(flatten)]
    pub token: TokenCommand,
    /// Any librdkafka property that the producer does not own. `"sasl.password_file"` reads `sasl.password` from a file;
    /// so does any name with `_file` at its end.
    #[serde(serialize_with = "redacted::properties", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties::schema")]
    pub properties: BTreeMap<String, String>,
    // Values of the `…_file` properties, by the name without `_file`.
    #[serde(skip)]
    secrets: BTreeMap<String, Secret>,
}

/// `[producer]`: what to publish.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Producing {
    /// Records per batch.
    #[default = 100]
    #[schemars(range(min = 1, max = 1_000_000_000), extend("x-unit" = "records"))]
    pub batch_size: u64,
    /// Time from the start of one batch to the start of the next, in `run`.
    #[default(Duration::from_secs(5))]
    #[serde(rename = "interval_ms", with = "millis")]
    #[schemars(with = "u64", range(min = 0, max = 86_400_000), extend("x-unit" = "ms"))]
    pub interval: Duration,
    /// The same seed gives the same records, ids and times included. Without one, the seed is random and the times are the
    /// system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What is generated. `matches`: every record is a match of its own; `live`: matches are played ball by ball, and each
    /// ball publishes the record of its match again, with a higher `version`.
    #[default(Scenario::Matches)]
    pub scenario: Scenario,
    /// Live matches that are played at the same time.
    #[default = 4]
    #[schemars(range(min = 1, max = 1000), extend("x-unit" = "matches"))]
    pub concurrent_matches: usize,
    /// Live matches in all, after which `run`, `once` and `print` end; unset: another one begins whenever one ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("x-unit" = "matches"))]
    pub matches: Option<u64>,
}

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Every record is a match of its own.
    Matches,
    /// Matches are played ball by ball, and each ball publishes the record of its match again.
    Live,
}

/// `[http]`: metrics and probes.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address of the page at `/`, metrics and probes in `run`, or `off`. The images and the chart set `0.0.0.0:9465`: all
    /// addresses of the container.
    #[default = "127.0.0.1:9465"]
    pub listen: String,
}

/// `[log]`: logs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Format of log lines, on standard error.
    pub format: LogFormat,
}

impl Scenario {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Matches => "matches",
            Self::Live => "live",
        }
    }
}

impl Kafka {
    /// The librdkafka properties, with those from files. Secrets are in clear text.
    pub fn librdkafka(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::librdkafka(&self.properties, &self.secrets)
    }

    /// Where the login comes from, if it may change while the producer runs.
    pub(crate) fn login(&self) -> Option<LoginSource> {
        LoginSource::of(&self.properties, &self.token)
    }

    /// The settings of the client. Secrets are in clear text.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (names, value) in DEFAULT_PROPERTIES {
            if !self.librdkafka().any(|(given, _)| names.contains(&given)) {
                config.set(names[0], value);
            }
        }
        for (name, value) in self.librdkafka() {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("acks", "all").set("enable.idempotence", "true");
        // The filter of our log decides.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// Why librdkafka refuses the properties. No broker is contacted.
    fn broken_properties(&self) -> Vec<RuleError> {
        let mut broken = broken_properties(&self.properties, &self.secrets);
        broken.extend(broken_token_command(&self.token, self.librdkafka()));
        let servers = addresses::problem(&self.bootstrap_servers);
        broken.extend(servers.map(|problem| RuleError::new(["kafka.bootstrap_servers"], problem)));
        if !broken.is_empty() {
            return broken;
        }
        // What contradicts what is decided when a client is created.
        let mut settings = self.client();
        settings.remove("bootstrap.servers");
        let created = settings.create_native_config().and_then(|native| {
            Client::new(&settings, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext).map(drop)
        });
        created.err().map(|error| broken_client(&error, self.librdkafka())).into_iter().collect()
    }

    /// The size of a record's key and value together, at most.
    pub fn max_bytes(&self) -> usize {
        let given = self.librdkafka().find(|(name, _)| *name == "message.max.bytes");
        // librdkafka refuses anything but a number.
        given.and_then(|(_, bytes)| bytes.parse().ok()).unwrap_or(DEFAULT_MAX_BYTES)
    }

    /// How long a record may wait for its acknowledgement before it fails.
    pub fn delivery_timeout(&self) -> Duration {
        let given = DELIVERY_TIMEOUT.iter().find_map(|name| self.properties.get(*name));
        // The rules below refuse anything but a number.
        let millis = given.and_then(|millis| millis.parse().ok()).unwrap_or(DEFAULT_DELIVERY_TIMEOUT_MS);
        Duration::from_millis(millis)
    }
}

impl Http {
    /// The address as a socket address; `None` if it is `off`.
    ///
    /// # Errors
    /// The address is not valid, which [`Settings::load`] refuses.
    pub fn listen(&self) -> Result<Option<SocketAddr>, std::net::AddrParseError> {
        if self.listen == http::OFF { Ok(None) } else { self.listen.parse().map(Some) }
    }
}

impl Settings {
    /// The effective settings as TOML, without secrets. They load again, to the same.
    ///
    /// # Errors
    /// None that is known: every value has a TOML form.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Loads the settings of all layers and checks the rules between keys.
    ///
    /// # Errors
    /// All errors of all layers.
    pub fn load(layers: Layers) -> Result<Self, SettingsErrors> {
        let mut loaded = layers.load::<Self>()?;
        let settings = &mut loaded.settings;
        let (secrets, mut broken) = properties::read_property_files(&settings.kafka.properties);
        settings.kafka.secrets = secrets;
        if settings.http.listen().is_err() {
            broken.push(RuleError::new(
                ["http.listen"],
                "is not an address and port such as 127.0.0.1:9465, or off",
            ));
        }
        let only_live = [
            ("kafka.deliveries_topic", settings.kafka.deliveries_topic.is_some()),
            ("producer.matches", settings.producer.matches.is_some()),
        ];
        for (key, given) in only_live {
            if given && settings.producer.scenario != Scenario::Live {
                broken.push(RuleError::new([key, "producer.scenario"], "needs producer.scenario = \"live\""));
            }
        }
        let topics = [
            ("kafka.topic", Some(&settings.kafka.topic)),
            ("kafka.deliveries_topic", settings.kafka.deliveries_topic.as_ref()),
        ];
        for (key, topic) in topics {
            if let Some(topic) = topic.filter(|topic| !is_topic(topic)) {
                broken.push(RuleError::new([key], not_a_topic(topic)));
            }
        }
        if settings.kafka.deliveries_topic.as_ref() == Some(&settings.kafka.topic) {
            let keys = ["kafka.deliveries_topic", "kafka.topic"];
            broken.push(RuleError::new(keys, "must be another topic than kafka.topic"));
        }
        broken.extend(settings.kafka.broken_properties());
        for (name, why) in OWNED_PROPERTIES {
            for entry in settings.kafka.properties.keys().filter(|entry| property_of(entry) == name) {
                broken.push(RuleError::new([property_key(entry)], format!("cannot be set: {why}")));
            }
        }
        // The publisher waits as long as this property says, so it must be in the settings.
        for entry in settings.kafka.secrets.keys().filter(|entry| DELIVERY_TIMEOUT.contains(&entry.as_str()))
        {
            let key = property_key(&format!("{entry}_file"));
            broken.push(RuleError::new([key], format!("is no secret: set {entry} itself")));
        }
        for name in DELIVERY_TIMEOUT {
            let Some(millis) = settings.kafka.properties.get(name) else { continue };
            // librdkafka waits for ever with 0.
            if !millis.parse::<u32>().is_ok_and(|millis| millis > 0) {
                let key = property_key(name);
                broken.push(RuleError::new([key], "must be a number of milliseconds, more than 0"));
            }
        }
        loaded.finish(broken)
    }
}

#[cfg(test)]
mod tests;
