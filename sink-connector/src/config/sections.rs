//! The sections of the configuration that belong to the whole sink.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::settings::{RuleError, Secret, millis, properties, redact_url, redacted};

use crate::pattern::{InvalidPattern, Pattern};
use crate::topics::Topics;

/// `[kafka]`: what is read.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to start from, comma-separated.
    pub bootstrap_servers: String,
    /// Topics to read; empty with `topics_regex`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Topics to read by a regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics_regex: Option<String>,
    /// The consumer group.
    pub group_id: String,
    /// Where a partition begins that has no position anywhere.
    pub auto_offset_reset: AutoOffsetReset,
    /// librdkafka properties as given; [`Kafka::librdkafka`] is what librdkafka gets.
    #[serde(default, serialize_with = "redacted::properties", skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// What `…_file` properties held, by the name without `_file`.
    #[serde(skip)]
    pub(super) secrets: BTreeMap<String, Secret>,
}

impl Kafka {
    /// What to subscribe to.
    ///
    /// # Errors
    /// Why `topics_regex` is no pattern, for people.
    pub fn subscribed(&self) -> Result<Topics, InvalidPattern> {
        Ok(match &self.topics_regex {
            Some(text) => Topics::Matching(Pattern::new(text)?, text.clone()),
            None => Topics::Named(self.topics.clone()),
        })
    }

    /// Whether a topic of this name is read.
    pub fn reads(&self, topic: &str) -> bool {
        match &self.topics_regex {
            Some(text) => Pattern::new(text).is_ok_and(|pattern| pattern.matches(topic)),
            None => self.topics.iter().any(|read| read == topic),
        }
    }

    /// The user's librdkafka properties, those from files included: secrets in clear.
    pub fn librdkafka(&self) -> impl Iterator<Item = (&str, &str)> {
        // A pattern such as ^.* means no topic of Kafka's own, unless the user says otherwise after this.
        let hidden = self.topics_regex.as_ref().map(|_| ("topic.blacklist", "^__"));
        hidden.into_iter().chain(properties::librdkafka(&self.properties, &self.secrets))
    }
}

/// Where a partition begins that has no position anywhere.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoOffsetReset {
    /// At its first record.
    Earliest,
    /// After its last record.
    Latest,
    /// Nowhere: the partition stops with an error.
    Error,
}

/// `[postgres]`: what is written to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// libpq URL. May hold a password: [`Postgres::redacted_url`] is for people.
    pub url: PostgresUrl,
    /// File with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Writing connections.
    pub writers: usize,
    /// Longest time of one transaction.
    #[serde(rename = "deadline_ms", with = "millis")]
    pub deadline: Duration,
    /// What `password_file` held.
    #[serde(skip)]
    pub password: Option<Secret>,
}

impl Postgres {
    /// The URL without its password.
    #[must_use]
    pub fn redacted_url(&self) -> String {
        redact_url(&self.url.0)
    }
}

/// A libpq URL; printing it shows no password.
#[derive(Clone, Deserialize, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PostgresUrl(#[serde(serialize_with = "redacted::url")] String);

impl PostgresUrl {
    /// The URL with its password, for the one place that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&redact_url(&self.0))
    }
}

/// `[batch]`: when a batch is handed to its writer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Records, at most.
    pub max_rows: usize,
    /// Bytes of payload, about, at most.
    pub max_bytes: usize,
    /// Wait for more records, at most.
    #[serde(rename = "linger_ms", with = "millis")]
    pub linger: Duration,
}

/// `[offsets]`: the positions.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Offsets {
    /// Their table, schema-qualified or not.
    pub table: String,
}

/// `[errors]`: what happens to rejected records.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// Go on, or stop.
    pub tolerance: Tolerance,
    /// Where dead letters go.
    pub dead_letters: DeadLetters,
    /// Their table, schema-qualified or not.
    pub dead_letter_table: String,
    /// Their topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_topic: Option<String>,
    /// Share of rejected records above which the breaker opens, 0 to 1.
    pub breaker_ratio: f64,
    /// Records in the breaker's window.
    pub breaker_window_records: usize,
    /// How often an open breaker tries again.
    #[serde(rename = "breaker_retry_ms", with = "millis")]
    pub breaker_retry: Duration,
}

/// What a rejected record does to the sink.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// It becomes a dead letter, and the sink goes on.
    All,
    /// The sink stops before it.
    None,
}

/// Where dead letters go.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetters {
    /// A table, in the transaction of their batch.
    Table,
    /// A Kafka topic, at least once.
    Topic,
}

/// `[http]`: the server of metrics and probes.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// `host:port`; port 0 takes a free one.
    pub listen: String,
}

/// `[log]`: the log on standard error.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: a JSON object per line.
    Json,
}

impl super::Config {
    /// Reads the files that hold secrets.
    pub(super) fn read_secrets(&mut self) -> Vec<RuleError> {
        let mut broken = Vec::new();
        if let Some(path) = &self.postgres.password_file {
            match Secret::read(path) {
                Ok(secret) => self.postgres.password = Some(secret),
                Err(error) => broken.push(RuleError::new(["postgres.password_file"], error.to_string())),
            }
        }
        let (secrets, unread) = properties::read_property_files(&self.kafka.properties);
        self.kafka.secrets = secrets;
        broken.extend(unread);
        broken
    }
}
