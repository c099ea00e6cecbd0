//! Maps the configuration to the target of each topic.

use std::collections::HashMap;

use shared::settings::RuleError;

use crate::config::{Config, DdlError, PkMode, TableConfig, UnknownFields};
use crate::decode::Options;
use crate::postgres::sql::TableName;
use crate::table::metadata_columns::MetadataColumn;
use crate::table::plan::Wanted;
use crate::table::plan_cache::{Ddl, Target, TargetOf};

/// The targets of the configured topics, by topic.
pub(crate) fn targets(config: &Config) -> Result<HashMap<String, Target>, DdlError> {
    config.tables().into_iter().map(|(topic, table)| Ok((topic, target(&table)?))).collect()
}

/// The DDL files that cannot be read.
pub(crate) fn broken(config: &Config) -> Vec<RuleError> {
    let unreadable = config.tables().into_values().filter_map(|table| table.ddl().err());
    let mut broken: Vec<RuleError> =
        unreadable.map(|error| RuleError::new(["sink.ddl_file"], error.reason())).collect();
    broken.dedup();
    broken
}

/// Creates the targets of topics that match the pattern, if one is configured.
pub(crate) fn target_of(config: &Config) -> Option<TargetOf> {
    config.kafka.topics_regex.as_ref()?;
    let config = config.clone();
    Some(Box::new(move |topic| target(&config.topic(topic))))
}

/// The target of a topic with this configuration.
pub(crate) fn target(table: &TableConfig) -> Result<Target, DdlError> {
    let ddl = table.ddl()?.map(|sql| Ddl {
        file: table.ddl_file.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        sql,
    });
    let wanted = Wanted {
        table: TableName::parse(&table.table),
        mode: table.insert_mode,
        key: if table.pk_mode == PkMode::None { Vec::new() } else { table.pk_fields.clone() },
        record_key: table.pk_mode == PkMode::RecordKey,
        deletes: table.delete_enabled,
        allow_unlogged: table.allow_unlogged,
        read_before_write: table.read_before_write,
        version_field: table.version_field.clone(),
        metadata: metadata(table),
        rename: table.rename.iter().map(|(field, column)| (field.clone(), column.clone())).collect(),
        unavailable_value_placeholder: table.unavailable_value_placeholder.clone(),
        options: Options {
            value_format: table.value_format,
            reject_unknown_fields: table.unknown_fields == UnknownFields::Reject,
            unwrap_single_element_arrays: table.unwrap_single_element_arrays,
            null_bytes: table.null_bytes,
            json_strings: table.json_strings,
        },
    };
    Ok(Target { wanted, ddl })
}

/// The metadata columns: those of `[sink.metadata]`, and those of the key with `pk_mode = "kafka"`.
fn metadata(table: &TableConfig) -> Vec<(MetadataColumn, String)> {
    let of_key = [MetadataColumn::Topic, MetadataColumn::Partition, MetadataColumn::Offset]
        .into_iter()
        .zip(table.pk_fields.clone());
    let key = of_key.filter(|_| table.pk_mode == PkMode::Kafka);
    let named = table.metadata.iter();
    named
        .filter_map(|(name, column)| Some((MetadataColumn::named(name)?, column.clone())))
        .chain(key)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::MetadataColumn;
    use crate::config::SCHEMA;

    #[test]
    fn the_configuration_names_every_metadata_column() {
        let names = &SCHEMA.json()["properties"]["sink"]["properties"]["metadata"]["propertyNames"]["enum"];
        let names = names.as_array().unwrap();
        assert_eq!(names.len(), 6);
        for name in names {
            assert!(MetadataColumn::named(name.as_str().unwrap()).is_some(), "{name}");
        }
    }
}
