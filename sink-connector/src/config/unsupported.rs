//! Values of the contract that this version does not implement yet. An implemented one loses its line here.

use shared::settings::RuleError;

use super::rules::TopicKeys;
use super::{PkMode, TableConfig};

/// What is wanted of one topic, but not there yet.
pub(super) fn of_topic(keys: &TopicKeys<'_>, table: &TableConfig) -> Vec<RuleError> {
    let wanted = [
        ("pk_mode", table.pk_mode == PkMode::RecordKey, "pk_mode = \"record_key\""),
        ("pk_mode", table.pk_mode == PkMode::Kafka, "pk_mode = \"kafka\""),
        ("delete_enabled", table.delete_enabled, "delete_enabled = true"),
        ("version_field", table.version_field.is_some(), "version_field"),
        ("metadata", !table.metadata.is_empty(), "[sink.metadata]"),
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
