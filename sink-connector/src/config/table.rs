//! How the records of one topic go to a table: `[sink]`, overridden per topic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::schema::{DEFAULT_DDL_FILE, DEFAULT_KAFKA_PK_FIELDS, DEFAULT_PK_FIELD, DEFAULT_TABLE};

const BUNDLED_DDL: &str = include_str!("../../../config/ipl_livescores.sql");

/// How the records of a topic go to a table. As `[sink]` it holds what was given; as the result of
/// [`super::Config::topic`] it is complete.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// The target, schema-qualified or not. As `[sink]` it may hold `${topic}`.
    pub table: String,
    /// What happens to a record whose key the table holds.
    pub insert_mode: InsertMode,
    /// Where the key comes from.
    pub pk_mode: PkMode,
    /// Columns of the key; empty with [`PkMode::None`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pk_fields: Vec<String>,
    /// A tombstone deletes by key.
    pub delete_enabled: bool,
    /// The target may be UNLOGGED.
    pub allow_unlogged: bool,
    /// SQL that makes the table; [`TableConfig::ddl`] reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ddl_file: Option<PathBuf>,
    /// What happens to a field without a column.
    pub unknown_fields: UnknownFields,
    /// An array of one element goes into a scalar column as its element.
    pub unwrap_single_element_arrays: bool,
    /// What happens to U+0000.
    pub null_bytes: NullBytes,
    /// What a value looks like.
    pub value_format: ValueFormat,
    /// The field whose older values do not overwrite newer ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_field: Option<String>,
    /// Field → column, for fields stored under another name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// `topic`, `partition`, `offset`, `timestamp`, `key` or `headers` → column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// `[topics."…"]`: what one topic has otherwise. The fields are those of [`TableConfig`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableOverrides {
    /// See [`TableConfig::table`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// See [`TableConfig::insert_mode`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insert_mode: Option<InsertMode>,
    /// See [`TableConfig::pk_mode`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pk_mode: Option<PkMode>,
    /// See [`TableConfig::pk_fields`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pk_fields: Option<Vec<String>>,
    /// See [`TableConfig::delete_enabled`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_enabled: Option<bool>,
    /// See [`TableConfig::allow_unlogged`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_unlogged: Option<bool>,
    /// See [`TableConfig::ddl_file`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ddl_file: Option<PathBuf>,
    /// See [`TableConfig::unknown_fields`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_fields: Option<UnknownFields>,
    /// See [`TableConfig::unwrap_single_element_arrays`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwrap_single_element_arrays: Option<bool>,
    /// See [`TableConfig::null_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_bytes: Option<NullBytes>,
    /// See [`TableConfig::value_format`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_format: Option<ValueFormat>,
    /// See [`TableConfig::version_field`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_field: Option<String>,
    /// See [`TableConfig::rename`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<BTreeMap<String, String>>,
    /// See [`TableConfig::metadata`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// What happens to a record whose key the table holds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InsertMode {
    /// It is rejected.
    Insert,
    /// It is skipped: the first record of a key wins.
    InsertIgnore,
    /// It wins, field by field.
    Upsert,
}

/// Where a row's key comes from.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PkMode {
    /// Rows have no key.
    None,
    /// Fields of the value.
    RecordValue,
    /// The record's key.
    RecordKey,
    /// Topic, partition and offset.
    Kafka,
}

/// What happens to a field without a column.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownFields {
    /// It is left out.
    Ignore,
    /// The record is rejected.
    Reject,
}

/// What happens to U+0000 in text.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NullBytes {
    /// The record is rejected.
    Reject,
    /// It is left out.
    Strip,
    /// It becomes U+FFFD.
    Replace,
}

/// What a record's value looks like.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueFormat {
    /// A JSON object of fields.
    Json,
    /// Connect's `{"schema", "payload"}` envelope.
    JsonSchema,
    /// Debezium's change events.
    Debezium,
}

/// A DDL file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("ddl_file {path}: {source}")]
pub struct DdlError {
    path: String,
    source: io::Error,
}

impl TableConfig {
    /// This section for one topic, complete.
    pub(super) fn resolve(&self, topic: &str, overrides: Option<&TableOverrides>) -> Self {
        let mut resolved =
            overrides.map_or_else(|| self.clone(), |overrides| self.overridden(overrides.clone()));
        resolved.table = resolved.table.replace("${topic}", topic);
        let bundled = resolved.table == DEFAULT_TABLE;
        match resolved.pk_mode {
            PkMode::None => resolved.pk_fields.clear(),
            _ if !resolved.pk_fields.is_empty() => {}
            PkMode::Kafka => resolved.pk_fields = DEFAULT_KAFKA_PK_FIELDS.map(str::to_owned).to_vec(),
            PkMode::RecordValue | PkMode::RecordKey if bundled => {
                resolved.pk_fields = vec![DEFAULT_PK_FIELD.to_owned()];
            }
            PkMode::RecordValue | PkMode::RecordKey => {}
        }
        if bundled && resolved.ddl_file.is_none() {
            resolved.ddl_file = Some(PathBuf::from(DEFAULT_DDL_FILE));
        }
        resolved
    }

    fn overridden(&self, overrides: TableOverrides) -> Self {
        let base = self.clone();
        Self {
            table: overrides.table.unwrap_or(base.table),
            insert_mode: overrides.insert_mode.unwrap_or(base.insert_mode),
            pk_mode: overrides.pk_mode.unwrap_or(base.pk_mode),
            pk_fields: overrides.pk_fields.unwrap_or(base.pk_fields),
            delete_enabled: overrides.delete_enabled.unwrap_or(base.delete_enabled),
            allow_unlogged: overrides.allow_unlogged.unwrap_or(base.allow_unlogged),
            ddl_file: overrides.ddl_file.or(base.ddl_file),
            unknown_fields: overrides.unknown_fields.unwrap_or(base.unknown_fields),
            unwrap_single_element_arrays: overrides
                .unwrap_single_element_arrays
                .unwrap_or(base.unwrap_single_element_arrays),
            null_bytes: overrides.null_bytes.unwrap_or(base.null_bytes),
            value_format: overrides.value_format.unwrap_or(base.value_format),
            version_field: overrides.version_field.or(base.version_field),
            rename: overrides.rename.unwrap_or(base.rename),
            metadata: overrides.metadata.unwrap_or(base.metadata),
        }
    }

    /// The SQL that makes the table when it is missing; `None` when there is no `ddl_file`. The bundled copy stands in
    /// for the default file when that does not exist in the working directory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ddl(&self) -> Result<Option<String>, DdlError> {
        let Some(path) = &self.ddl_file else { return Ok(None) };
        match fs::read_to_string(path) {
            Ok(sql) => Ok(Some(sql)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path == Path::new(DEFAULT_DDL_FILE) => {
                Ok(Some(BUNDLED_DDL.to_owned()))
            }
            Err(source) => Err(DdlError { path: path.display().to_string(), source }),
        }
    }
}
