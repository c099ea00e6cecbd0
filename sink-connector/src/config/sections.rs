//! The sections of the configuration that belong to the whole sink.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::kafka::{LoginSource, StartFiles, TokenCommand};
use shared::log::LogFormat;
use shared::settings::{RuleError, Secret, millis, properties, redact_url, redacted};
use smart_default::SmartDefault;

use crate::config::pattern::Pattern;

/// The topic of the bundled configuration.
pub(super) const DEFAULT_TOPIC: &str = "livescores_topic";

/// `[kafka]`: what is read.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to start from: `host:port`, comma-separated.
    #[default = "localhost:9092"]
    pub bootstrap_servers: String,
    /// Topics to read.
    // Empty with `topics_regex`.
    #[default(vec![DEFAULT_TOPIC.to_owned()])]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-default" = "`[\"livescores_topic\"]`, without `topics_regex`"))]
    pub topics: Vec<String>,
    /// Reads the topics that match this regular expression, instead of `topics`. It starts with `^`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics_regex: Option<String>,
    /// Consumer group.
    #[default = "ipl_consumer_group"]
    pub group_id: String,
    /// Where to start a partition that has neither a stored position nor a group offset.
    #[default(AutoOffsetReset::Earliest)]
    pub auto_offset_reset: AutoOffsetReset,
    /// Where tokens for OAUTHBEARER come from.
    #[serde(flatten)]
    pub token: TokenCommand,
    /// Any librdkafka property that the sink does not own. `"sasl.password_file"` reads `sasl.password` from a file; so
    /// does any name with `_file` at its end.
    // As given; `librdkafka` returns what librdkafka gets.
    #[serde(serialize_with = "redacted::properties", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties::schema")]
    pub properties: BTreeMap<String, String>,
    // What `…_file` properties held, by the name without `_file`.
    #[serde(skip)]
    pub(super) secrets: BTreeMap<String, Secret>,
}

impl Kafka {
    /// Whether a topic of this name is read.
    pub fn reads(&self, topic: &str) -> bool {
        match &self.topics_regex {
            Some(text) => Pattern::new(text).is_ok_and(|pattern| pattern.matches(topic)),
            None => self.topics.iter().any(|read| read == topic),
        }
    }

    /// What the files of `…_file` properties held, by the name without `_file`.
    pub(crate) fn secrets(&self) -> &BTreeMap<String, Secret> {
        &self.secrets
    }

    /// Where the login comes from, if it may change while the sink runs.
    pub(crate) fn login(&self) -> Option<LoginSource> {
        LoginSource::of(&self.properties, &self.token)
    }

    /// The files that are read only at the start, as they are now.
    pub(crate) fn start_files(&self) -> StartFiles {
        StartFiles::of(&self.properties, self.login().is_some())
    }

    /// The user's librdkafka properties, those from files included: secrets in clear.
    pub fn librdkafka(&self) -> impl Iterator<Item = (&str, &str)> {
        // A pattern such as ^.* means no topic of Kafka's own, unless the user says otherwise after this.
        let hidden = self.topics_regex.as_ref().map(|_| ("topic.blacklist", "^__"));
        hidden.into_iter().chain(properties::librdkafka(&self.properties, &self.secrets))
    }
}

/// Where a partition begins that has no position anywhere.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// libpq URL (`postgresql://…`) or `keyword=value` string: hosts, sslmode, sslrootcert, sslcert, target_session_attrs,
    /// options and others. It is percent-decoded.
    // May hold a password: `redacted_url` is for people.
    #[default(PostgresUrl("postgresql://postgres@localhost:5432/postgres".to_owned()))]
    #[schemars(with = "String")]
    pub url: PostgresUrl,
    /// File with the password, read again for each new connection. A line ending at the end of the file is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Program and arguments, run for each new connection. What it prints is the password; one line ending at the end is
    /// ignored. For tokens that expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_command: Option<Vec<String>>,
    /// Longest time of `password_command`; after that it is killed.
    #[default(Duration::from_secs(10))]
    #[serde(rename = "password_command_timeout_ms", with = "millis")]
    #[schemars(with = "u64", range(min = 100, max = 600_000), extend("x-unit" = "ms"))]
    pub password_command_timeout: Duration,
    /// Connections that write. The pool has one more.
    #[default = 2]
    #[schemars(range(min = 1, max = 64), extend("x-unit" = "connections"))]
    pub writers: usize,
    /// Longest time of one transaction; after that the writer is replaced.
    #[default(Duration::from_secs(60))]
    #[serde(rename = "deadline_ms", with = "millis")]
    #[schemars(with = "u64", range(min = 100, max = 3_600_000), extend("x-unit" = "ms"))]
    pub deadline: Duration,
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
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Most records of one transaction. With a backlog, transactions grow from 5,000 records to this while each takes less than
    /// 250 ms. While the sink keeps up, a transaction has what arrived during the one before it.
    #[default = 20_000]
    #[schemars(range(min = 1, max = 1_000_000), extend("x-unit" = "records"))]
    pub max_rows: usize,
    /// Most bytes of payload of one transaction, approximately.
    #[default = 6_291_456]
    #[schemars(range(min = 1, max = 1_073_741_824), extend("x-unit" = "bytes"))]
    pub max_bytes: usize,
    /// How long a batch that is not full waits for more records while its writer is idle. While the writer is busy, the next
    /// batch fills anyway. It bounds the commits per second: at most 1000 / `linger_ms` for each writer.
    #[default(Duration::from_millis(5))]
    #[serde(rename = "linger_ms", with = "millis")]
    #[schemars(with = "u64", range(min = 0, max = 60_000), extend("x-unit" = "ms"))]
    pub linger: Duration,
}

/// `[offsets]`: the positions.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Offsets {
    /// Table of the positions, schema-qualified or not. The sink creates it when it is missing.
    #[default = "sink_offsets"]
    pub table: String,
}

/// `[errors]`: what happens to rejected records.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Errors {
    /// What happens at a rejected record. `all`: it becomes a dead letter and the sink continues; `none`: the sink stops
    /// before it.
    #[default(Tolerance::All)]
    pub tolerance: Tolerance,
    /// Where dead letters go. `table`: a table, in the transaction of their batch; `topic`: a Kafka topic, at least once.
    #[default(DeadLetters::Table)]
    pub dead_letters: DeadLetters,
    /// Table of dead letters, schema-qualified or not. The sink creates it when it is missing.
    #[default = "sink_dead_letters"]
    pub dead_letter_table: String,
    /// Topic of dead letters, with `dead_letters = "topic"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_topic: Option<String>,
    /// A larger share of rejected records in a full window pauses the topic. 1 never pauses.
    #[default = 0.5]
    #[schemars(range(min = 0, max = 1))]
    pub breaker_ratio: f64,
    /// Records in the window of the breaker.
    #[default = 1000]
    #[schemars(range(min = 1, max = 1_000_000), extend("x-unit" = "records"))]
    pub breaker_window_records: usize,
    /// How often an open breaker tries again.
    #[default(Duration::from_secs(30))]
    #[serde(rename = "breaker_retry_ms", with = "millis")]
    #[schemars(with = "u64", range(min = 100, max = 3_600_000), extend("x-unit" = "ms"))]
    pub breaker_retry: Duration,
}

/// What a rejected record does to the sink.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// It becomes a dead letter, and the sink goes on.
    All,
    /// The sink stops before it.
    None,
}

/// Where dead letters go.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetters {
    /// A table, in the transaction of their batch.
    Table,
    /// A Kafka topic, at least once.
    Topic,
}

/// `[http]`: the server of metrics and probes.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address of the page at `/`, `/metrics`, `/livez`, `/readyz`, `/status` and `/runbook`: `host:port`, or `off`. Port 0
    /// takes a free port. The images and the chart set `0.0.0.0:9464`: all addresses of the container.
    #[default = "127.0.0.1:9464"]
    pub listen: String,
}

/// `[log]`: the log on standard error.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Format of log lines, on standard error.
    pub format: LogFormat,
}

impl super::Config {
    /// Reads the files that hold secrets. Only those of Kafka are kept: the others are read for each connection.
    pub(super) fn read_secrets(&mut self) -> Vec<RuleError> {
        let mut broken = Vec::new();
        if let Some(path) = &self.postgres.password_file
            && let Err(error) = Secret::read(path)
        {
            broken.push(RuleError::new(["postgres.password_file"], error.to_string()));
        }
        let (secrets, unread) = properties::read_property_files(&self.kafka.properties);
        self.kafka.secrets = secrets;
        broken.extend(unread);
        broken
    }
}
