//! Values of the contract that this version does not implement yet. An implemented one loses its line here.

use shared::settings::RuleError;

use super::rules::TopicKeys;
use super::{Config, DeadLetters, TableConfig, Tolerance, ValueFormat};

/// What is wanted of the whole sink, but not there yet.
pub(super) fn of_sink(config: &Config) -> Vec<RuleError> {
    let wanted = [
        ("kafka.topics_regex", config.kafka.topics_regex.is_some(), "topics_regex"),
        ("errors.tolerance", config.errors.tolerance == Tolerance::None, "tolerance = \"none\""),
        ("errors.dead_letters", config.errors.dead_letters == DeadLetters::Topic, "dead_letters = \"topic\""),
    ];
    wanted
        .into_iter()
        .filter(|(_, wanted, _)| *wanted)
        .map(|(key, _, what)| refuse(key.to_owned(), what))
        .collect()
}

/// What is wanted of one topic, but not there yet.
pub(super) fn of_topic(keys: &TopicKeys<'_>, table: &TableConfig) -> Vec<RuleError> {
    let wanted = [
        ("value_format", table.value_format == ValueFormat::JsonSchema, "value_format = \"json_schema\""),
        ("value_format", table.value_format == ValueFormat::Debezium, "value_format = \"debezium\""),
    ];
    wanted
        .into_iter()
        .filter(|(_, wanted, _)| *wanted)
        .map(|(key, _, what)| refuse(keys.key(key), what))
        .collect()
}

fn refuse(key: String, what: &str) -> RuleError {
    RuleError::new([key], format!("{what} is not supported by this version"))
}
