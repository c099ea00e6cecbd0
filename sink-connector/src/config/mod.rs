//! The sink's configuration: what files, variables and flags say, checked as a whole before anything is touched.
//!
//! The structs of `sections` and `table` declare every key with its default, bounds and help; the reference and the
//! schema of the chart are made from them. `rules` holds what one key demands of another.

mod connect_keys;
pub(crate) mod librdkafka;
pub mod pattern;
mod rules;
mod sections;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

pub(crate) use librdkafka::owned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::settings::{Layers, RuleError, Schema, SettingsErrors, millis};
use smart_default::SmartDefault;
use toml::Table;

pub use sections::{
    AutoOffsetReset, Batch, DeadLetters, Errors, Http, Kafka, Log, Offsets, Postgres, PostgresUrl, Tolerance,
};
pub use table::{DdlError, InsertMode, PkMode, TableConfig, UnknownFields};

/// The sink's keys.
pub static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::of::<Config>("SINK"));

/// The whole configuration of one sink.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Key of the offset rows and label `connector` on metrics. A sink with another name starts from its own positions.
    /// At most 52 characters of ASCII.
    // Also part of the sessions' `application_name`.
    #[default = "ipl-livescores"]
    pub name: String,
    /// Longest time from SIGTERM to exit.
    #[default(Duration::from_secs(25))]
    #[serde(rename = "shutdown_timeout_ms", with = "millis")]
    #[schemars(with = "u64", range(min = 100, max = 3_600_000), extend("x-unit" = "ms"))]
    pub shutdown_timeout: Duration,
    /// What is read.
    pub kafka: Kafka,
    /// What is written to.
    pub postgres: Postgres,
    /// How records become rows, for every topic.
    // `Config::topic` resolves it for one.
    pub sink: TableConfig,
    /// What is written in one transaction.
    pub batch: Batch,
    /// The positions.
    pub offsets: Offsets,
    /// What happens to rejected records.
    pub errors: Errors,
    /// The server of metrics and probes.
    pub http: Http,
    /// The log.
    pub log: Log,
    /// Any key of `[sink]` for one topic: `[topics."other_topic"]`. Lists and maps replace those of `[sink]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, TableConfig>", extend("x-section" = "sink"))]
    pub topics: BTreeMap<String, Table>,
    // `sink.table` was given. Its default is for the default topic only.
    #[serde(skip)]
    table_given: bool,
}

/// Command-line flags that set keys: the flag's name, the dotted key, the value if it was given.
pub type Flag<'a> = (&'a str, &'a str, Option<&'a str>);

/// A check of the merged settings, by the part of the sink that knows what may be wrong.
pub type Check = fn(&Config) -> Vec<RuleError>;

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
        Self::load_with(files, variables, flags, &[Self::rules])
    }

    /// As [`Config::load`], with these checks of the merged settings.
    ///
    /// # Errors
    /// As those of [`Config::load`], together with those of the checks.
    pub fn load_with<K: Into<OsString>, V: Into<OsString>>(
        files: &[PathBuf],
        variables: impl IntoIterator<Item = (K, V)>,
        flags: &[Flag<'_>],
        checks: &[Check],
    ) -> Result<Self, SettingsErrors> {
        Self::finish(Self::layers(files, variables, flags), checks)
    }

    /// The configuration that is the text of one file, with these checks.
    ///
    /// # Errors
    /// As those of [`Config::load_with`].
    pub(crate) fn from_text(text: &str, checks: &[Check]) -> Result<Self, SettingsErrors> {
        Self::finish(Layers::new(&SCHEMA).text("", text), checks)
    }

    /// The rules between keys.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleError> {
        rules::check(self)
    }

    /// The rules between keys without those of tables, for a command that proposes tables.
    #[must_use]
    pub fn rules_without_tables(&self) -> Vec<RuleError> {
        rules::without_tables(self)
    }

    fn layers<K: Into<OsString>, V: Into<OsString>>(
        files: &[PathBuf],
        variables: impl IntoIterator<Item = (K, V)>,
        flags: &[Flag<'_>],
    ) -> Layers {
        let layers = files.iter().fold(Layers::new(&SCHEMA), |layers, file| layers.file(file));
        flags
            .iter()
            .fold(layers.environment(variables), |layers, (flag, key, value)| layers.flag(flag, key, *value))
    }

    #[cfg(test)]
    fn from_layers(layers: Layers) -> Result<Self, SettingsErrors> {
        Self::finish(layers, &[Self::rules])
    }

    fn finish(layers: Layers, checks: &[Check]) -> Result<Self, SettingsErrors> {
        let mut loaded = layers.load::<Self>()?;
        let table_given = loaded.origin("sink.table").is_some();
        let topics_given = loaded.origin("kafka.topics").is_some();
        let config = &mut loaded.settings;
        config.table_given = table_given;
        if !topics_given && config.kafka.topics_regex.is_some() {
            config.kafka.topics.clear();
        }
        let mut broken = config.read_secrets();
        for check in checks {
            let reported: Vec<RuleError> = check(config);
            // One line for each key: the first check that names it says more.
            let named =
                |rule: &RuleError| broken.iter().any(|earlier| earlier.keys.first() == rule.keys.first());
            let new: Vec<RuleError> = reported.into_iter().filter(|rule| !named(rule)).collect();
            broken.extend(new);
        }
        loaded.finish(broken).map_err(connect_keys::explain)
    }

    /// How the records of a topic go to their table: `[sink]` under `[topics."…"]`, with `${topic}` replaced and the
    /// defaults that depend on the table filled in.
    #[must_use]
    pub fn topic(&self, topic: &str) -> TableConfig {
        self.sink.resolve(topic, self.topics.get(topic), self.has_table(topic))
    }

    /// Whether the topic's table was given, or is the default of the default topic.
    #[must_use]
    pub fn has_table(&self, topic: &str) -> bool {
        let overridden = self.topics.get(topic).is_some_and(|overrides| overrides.contains_key("table"));
        self.table_given || overridden || topic == sections::DEFAULT_TOPIC
    }

    /// The topics to read if `topic` is to be read as well.
    #[must_use]
    pub fn topics_with(&self, topic: &str) -> Vec<String> {
        let given =
            self.kafka.topics.iter().filter(|given| self.table_given || *given != sections::DEFAULT_TOPIC);
        given.cloned().chain([topic.to_owned()]).collect()
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
                overrides.insert("pk_fields".to_owned(), resolved.pk_fields.into());
                let ddl_file = resolved.ddl_file.map(|file| file.display().to_string().into());
                overrides.extend(ddl_file.map(|file| ("ddl_file".to_owned(), file)));
            }
        }
        shown
    }
}
