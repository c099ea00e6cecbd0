//! The sink's configuration: what files, variables and flags say, checked as a whole before anything is touched.
//!
//! [`SCHEMA`] declares every key; the structs of `sections` and `table` receive the values; `rules` holds what
//! one key demands of another. A key is added in the schema and in one struct, and a test holds them together.

mod librdkafka;
mod rules;
mod schema;
mod sections;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shared::settings::{Layers, SettingsErrors, millis};

pub use schema::SCHEMA;
pub use sections::{
    AutoOffsetReset, Batch, DeadLetters, Errors, Http, Kafka, Log, LogFormat, Offsets, Postgres, PostgresUrl,
    Tolerance,
};
pub use table::{
    DdlError, InsertMode, NullBytes, PkMode, TableConfig, TableOverrides, UnknownFields, ValueFormat,
};

/// The whole configuration of one sink.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Key of the offset rows, label `connector` on metrics, part of the sessions' `application_name`.
    pub name: String,
    /// From SIGTERM to exit, at most.
    #[serde(rename = "shutdown_timeout_ms", with = "millis")]
    pub shutdown_timeout: std::time::Duration,
    /// `[kafka]`
    pub kafka: Kafka,
    /// `[postgres]`
    pub postgres: Postgres,
    /// `[sink]`, the defaults of every topic; [`Config::topic`] resolves them for one.
    pub sink: TableConfig,
    /// `[batch]`
    pub batch: Batch,
    /// `[offsets]`
    pub offsets: Offsets,
    /// `[errors]`
    pub errors: Errors,
    /// `[http]`
    pub http: Http,
    /// `[log]`
    pub log: Log,
    /// `[topics."…"]`, by topic.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, TableOverrides>,
}

/// Command-line flags that set keys: the flag's name, the dotted key, the value if it was given.
pub type Flag<'a> = (&'a str, &'a str, Option<&'a str>);

impl Config {
    /// Loads and checks the configuration: defaults, `files` in order, `variables` that begin with `SINK__`, `flags`.
    /// Without any of them it is the configuration of `config/sink-connector.toml`.
    ///
    /// # Errors
    /// All of them at once: of every layer, of the rules between keys, of secret files.
    pub fn load<K: Into<OsString>, V: Into<OsString>>(
        files: &[PathBuf],
        variables: impl IntoIterator<Item = (K, V)>,
        flags: &[Flag<'_>],
    ) -> Result<Self, SettingsErrors> {
        let layers = files.iter().fold(Layers::new(&SCHEMA), |layers, file| layers.file(file));
        Self::from_layers(
            flags.iter().fold(layers.environment(variables), |layers, (flag, key, value)| {
                layers.flag(flag, key, *value)
            }),
        )
    }

    fn from_layers(layers: Layers) -> Result<Self, SettingsErrors> {
        let mut loaded = layers.load::<Self>()?;
        let topics_given = loaded.origin("kafka.topics").is_some();
        let config = &mut loaded.settings;
        if !topics_given && config.kafka.topics_regex.is_none() {
            config.kafka.topics = vec![schema::DEFAULT_TOPIC.to_owned()];
        }
        let mut broken = config.read_secrets();
        broken.extend(rules::check(config));
        loaded.finish(broken)
    }

    /// How the records of a topic go to their table: `[sink]` under `[topics."…"]`, with `${topic}` replaced and the
    /// defaults that depend on the table filled in.
    #[must_use]
    pub fn topic(&self, topic: &str) -> TableConfig {
        self.sink.resolve(topic, self.topics.get(topic))
    }

    /// The subscribed topics with their resolved tables.
    #[must_use]
    pub fn tables(&self) -> BTreeMap<String, TableConfig> {
        self.kafka.topics.iter().map(|topic| (topic.clone(), self.topic(topic))).collect()
    }

    /// Topics with a table of overrides that are not subscribed to: worth a warning, for a typing mistake looks so.
    #[must_use]
    pub fn unused_topics(&self) -> Vec<&str> {
        self.topics.keys().filter(|topic| !self.kafka.reads(topic)).map(String::as_str).collect()
    }

    /// The effective configuration as TOML, without secrets. It loads again, to the same.
    ///
    /// # Errors
    /// None that is known: every value has a TOML form.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&self.shown())
    }

    /// The configuration with the defaults that depend on the table filled in; serializing it leaves secrets out.
    #[must_use]
    pub fn shown(&self) -> Self {
        let mut shown = self.clone();
        for topic in &self.kafka.topics {
            let resolved = self.topic(topic);
            if self.topics.is_empty() && self.kafka.topics.len() == 1 {
                shown.sink.pk_fields = resolved.pk_fields;
                shown.sink.ddl_file = resolved.ddl_file;
            } else if resolved.pk_fields != self.sink.pk_fields || resolved.ddl_file != self.sink.ddl_file {
                let overrides = shown.topics.entry(topic.clone()).or_default();
                overrides.pk_fields = Some(resolved.pk_fields);
                overrides.ddl_file = resolved.ddl_file;
            }
        }
        shown
    }
}
