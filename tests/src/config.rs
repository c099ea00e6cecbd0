//! Configuration files for our binaries, from dotted keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::names;

/// Dotted key → value, in a file; environment variables; and which binary gets them, if not the one just built.
#[derive(Clone, Debug, Default)]
pub struct Config {
    table: Table,
    env: BTreeMap<String, String>,
    program: Option<PathBuf>,
}

impl Config {
    /// Sets a dotted key, making the tables above it. A value may be a table.
    ///
    /// # Panics
    /// When something above it is not a table.
    #[track_caller]
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.set_path(&key.split('.').collect::<Vec<_>>(), value.into());
    }

    /// Sets a key whose parts may hold dots themselves, as librdkafka's properties and topics do.
    ///
    /// # Panics
    /// When something above it is not a table.
    #[track_caller]
    pub fn set_path(&mut self, path: &[&str], value: Value) {
        let (last, above) = path.split_last().expect("a key");
        let mut table = &mut self.table;
        for part in above {
            let entry = table.entry(*part).or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().unwrap_or_else(|| panic!("{part} in {path:?} is not a table"));
        }
        table.insert((*last).to_owned(), value);
    }

    /// The value of a dotted key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let first = self.table.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        self.table.to_string()
    }

    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    pub(crate) fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }
}

// Both builders chain the same way.
macro_rules! builder {
    ($name:ident) => {
        impl $name {
            /// Sets a dotted key, e.g. `("batch.max_rows", 1)`.
            #[must_use]
            #[track_caller]
            pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
                self.config.set(key, value);
                self
            }

            /// A property of librdkafka (`kafka.properties`), whose name holds dots.
            #[must_use]
            #[track_caller]
            pub fn property(mut self, name: &str, value: &str) -> Self {
                self.config.set_path(&["kafka", "properties", name], value.into());
                self
            }

            /// An environment variable for the process.
            #[must_use]
            pub fn env(mut self, name: &str, value: &str) -> Self {
                self.config.env.insert(name.to_owned(), value.to_owned());
                self
            }

            /// Starts this binary.
            #[must_use]
            pub fn program(mut self, path: &Path) -> Self {
                self.config.program = Some(path.to_owned());
                self
            }

            /// The configuration so far.
            pub fn config(&self) -> &Config {
                &self.config
            }
        }
    };
}

/// The sink's configuration. Name and group are unique unless set, so that tests do not meet on shared services.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    config: Config,
}

builder!(SinkConfig);

impl SinkConfig {
    /// For these services; everything else as the sink defaults it.
    pub fn new(bootstrap: impl AsRef<str>, postgres_url: impl AsRef<str>) -> Self {
        let name = names::unique("sink");
        Self { config: Config::default() }
            .name(&name)
            .group(&name)
            .set("kafka.bootstrap_servers", bootstrap.as_ref())
            .set("postgres.url", postgres_url.as_ref())
    }

    /// The connector's name: the key of its positions.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.set("name", name)
    }

    /// The consumer group.
    #[must_use]
    pub fn group(self, group: &str) -> Self {
        self.set("kafka.group_id", group)
    }

    /// Reads this topic only.
    #[must_use]
    pub fn topic(self, topic: &str) -> Self {
        self.topics(&[topic])
    }

    /// Reads these topics.
    #[must_use]
    pub fn topics(self, topics: &[&str]) -> Self {
        self.set("kafka.topics", topics.iter().map(|topic| Value::from(*topic)).collect::<Vec<_>>())
    }

    /// Writes to this table.
    #[must_use]
    pub fn table(self, table: &str) -> Self {
        self.set("sink.table", table)
    }

    /// insert, insert_ignore or upsert.
    #[must_use]
    pub fn insert_mode(self, mode: &str) -> Self {
        self.set("sink.insert_mode", mode)
    }

    /// none, record_value, record_key or kafka.
    #[must_use]
    pub fn pk_mode(self, mode: &str) -> Self {
        self.set("sink.pk_mode", mode)
    }

    /// The key's columns.
    #[must_use]
    pub fn pk_fields(self, fields: &[&str]) -> Self {
        self.set("sink.pk_fields", fields.iter().map(|field| Value::from(*field)).collect::<Vec<_>>())
    }

    /// Inserts without a key.
    #[must_use]
    pub fn unkeyed(self) -> Self {
        self.insert_mode("insert").pk_mode("none")
    }

    /// The URL of the database.
    ///
    /// # Panics
    /// When it was set to something else than text.
    pub fn postgres_url(&self) -> &str {
        self.config.get("postgres.url").and_then(Value::as_str).expect("a URL")
    }

    /// A key of `[topics."topic"]`, which overrides `[sink]` for that topic.
    #[must_use]
    #[track_caller]
    pub fn topic_set(mut self, topic: &str, key: &str, value: impl Into<Value>) -> Self {
        self.config.set_path(&["topics", topic, key], value.into());
        self
    }

    /// The connector's name.
    ///
    /// # Panics
    /// When it was set to something else than text.
    pub fn connector(&self) -> &str {
        self.config.get("name").and_then(Value::as_str).expect("a name")
    }

    /// The consumer group's name.
    ///
    /// # Panics
    /// When it was set to something else than text.
    pub fn group_id(&self) -> &str {
        self.config.get("kafka.group_id").and_then(Value::as_str).expect("a group")
    }
}

/// The producer's configuration.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    config: Config,
}

builder!(ProducerConfig);

impl ProducerConfig {
    /// For this broker and topic.
    pub fn new(bootstrap: impl AsRef<str>, topic: &str) -> Self {
        Self { config: Config::default() }
            .set("kafka.bootstrap_servers", bootstrap.as_ref())
            .set("kafka.topic", topic)
    }
}

#[cfg(test)]
mod tests {
    use super::SinkConfig;

    #[test]
    fn dotted_keys_become_tables_and_dotted_names_stay() {
        let config = SinkConfig::new("127.0.0.1:1", "postgresql://x")
            .topic("t")
            .set("batch.max_rows", 1)
            .property("session.timeout.ms", "6000")
            .topic_set("a.b", "table", "c");
        let text = config.config().to_toml();
        let parsed: toml::Table = text.parse().unwrap();
        assert_eq!(parsed["batch"]["max_rows"].as_integer(), Some(1));
        assert_eq!(parsed["kafka"]["properties"]["session.timeout.ms"].as_str(), Some("6000"));
        assert_eq!(parsed["topics"]["a.b"]["table"].as_str(), Some("c"));
        assert_eq!(parsed["kafka"]["group_id"].as_str(), Some(config.group_id()));
    }
}
