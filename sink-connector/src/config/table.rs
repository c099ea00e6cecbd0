//! How the records of one topic go to a table: `[sink]`, overridden per topic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;
use toml::Table;

use crate::decode::{JsonStrings, NullBytes, ValueFormat};

/// The table that the bundled configuration writes; two defaults hold only for it.
pub(super) const DEFAULT_TABLE: &str = "ipl_livescores";
/// Its key.
const DEFAULT_PK_FIELD: &str = "match_id";
/// The key columns of `pk_mode = "kafka"`, as kafka-connect-jdbc names them.
const DEFAULT_KAFKA_PK_FIELDS: [&str; 3] = ["__connect_topic", "__connect_partition", "__connect_offset"];
/// Debezium's own default of `unavailable.value.placeholder`.
const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";
/// Its DDL, of which a copy is inside the binary.
const DEFAULT_DDL_FILE: &str = "config/ipl_livescores.sql";
const BUNDLED_DDL: &str = include_str!("../../../config/ipl_livescores.sql");

/// How the records of a topic go to a table. As `[sink]` it holds what was given; as the result of
/// [`super::Config::topic`] it is complete.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct TableConfig {
    /// Target table, schema-qualified or not. `${topic}` is replaced by the name of the topic: a dot in it
    /// separates schema and table, as in Kafka Connect's JDBC sinks, unless the name is in double quotes (`"${topic}"`). It
    /// must be given if other topics than the default are read.
    #[default(DEFAULT_TABLE.to_owned())]
    #[schemars(extend("x-default" = "`ipl_livescores` for the topic `livescores_topic`, else none"))]
    pub table: String,
    /// What happens to a record whose key is in the table already. `insert`: it is rejected; `insert_ignore`: it is
    /// skipped; `upsert`: it overwrites the row, field by field.
    #[default(InsertMode::Upsert)]
    pub insert_mode: InsertMode,
    /// Where the key comes from. `none`: there is no key; `record_value`: fields of the value; `record_key`: the key of
    /// the record, an object with the fields of `pk_fields`, or for one field also a JSON scalar or bare text; `kafka`:
    /// topic, partition and offset.
    #[default(PkMode::RecordValue)]
    pub pk_mode: PkMode,
    /// Columns of the key, which need a unique index.
    // Empty with `PkMode::None`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-default" = "`[\"match_id\"]` for the table `ipl_livescores`; with `pk_mode = \"kafka\"` \
        `[\"__connect_topic\", \"__connect_partition\", \"__connect_offset\"]`; else none"))]
    pub pk_fields: Vec<String>,
    /// A tombstone deletes the row of its key. Needs `pk_mode = "record_key"`, or `record_value` for the deletions of
    /// Debezium. A tombstone whose key is not in the table is skipped (`absent`). With `false` all tombstones are skipped
    /// (`tombstone`).
    pub delete_enabled: bool,
    /// Allows an UNLOGGED table, or UNLOGGED partitions. A crash of the server empties these but not the positions, so
    /// their rows are not written again. With `false` the table is refused.
    pub allow_unlogged: bool,
    /// Looks up which keys exist before rows are written, and updates those rows. With `false`, `upsert` and `insert_ignore`
    /// write by `INSERT … ON CONFLICT` alone: for tables where reading rows is expensive, such as compressed hypertables.
    /// PostgreSQL then checks each record as a new row, also where its key exists: one that lacks a NOT NULL column
    /// without a default is rejected, and a CHECK applies to the record with defaults for what it lacks.
    #[default = true]
    pub read_before_write: bool,
    /// SQL that runs once when the table is missing. Without it the table must exist.
    // `ddl` reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "`config/ipl_livescores.sql` for the table `ipl_livescores`, else none"))]
    pub ddl_file: Option<PathBuf>,
    /// What happens to a field without a column. `ignore`: it is left out; `reject`: the record is rejected.
    #[default(UnknownFields::Ignore)]
    pub unknown_fields: UnknownFields,
    /// Writes an array of one element to a scalar column as that element: `["Wankhede"]`.
    #[default = true]
    pub unwrap_single_element_arrays: bool,
    /// What happens to U+0000 in text, which PostgreSQL cannot store. `reject`: the record is rejected; `strip`: the
    /// character is left out; `replace`: it becomes U+FFFD.
    #[default(NullBytes::Reject)]
    pub null_bytes: NullBytes,
    /// What a string is for a `json` or `jsonb` column. `keep`: a JSON string; `parse`: JSON text, as for the JDBC sinks of
    /// Kafka Connect, and a record whose text is not JSON is rejected. Strings of Debezium's JSON type are always parsed.
    #[default(JsonStrings::Keep)]
    pub json_strings: JsonStrings,
    /// What a value looks like. `json`: plain JSON; `json_schema`: the `{"schema", "payload"}` envelope of Kafka Connect;
    /// `debezium`: the change events of Debezium.
    #[default(ValueFormat::Json)]
    pub value_format: ValueFormat,
    /// What Debezium writes for a large value that an update did not touch (its `unavailable.value.placeholder`). A field
    /// with this value, in any form that Debezium gives it (text, bytes, arrays, maps), is treated as absent: an upsert
    /// leaves the stored value alone. For every `value_format`, because single message transforms keep it. `off`: none.
    #[default(UNAVAILABLE_VALUE.to_owned())]
    pub unavailable_value_placeholder: String,
    /// Upserts only if the stored row does not have a newer value of this field. An older record is skipped (`stale`); of
    /// records with equal values the later wins; a record without the field is rejected; a tombstone deletes whatever the
    /// version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_field: Option<String>,
    /// `field = "column"`: stores a field in a column of another name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// `offset = "column"`: a column for something that is not in the value. A field with the name of the column is then
    /// not read. topic: text; partition: int4 or int8; offset: int8; timestamp: timestamptz, timestamp or int8
    /// (milliseconds since 1970); key: text or bytea; headers: json or jsonb.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"enum": ["topic", "partition", "offset", "timestamp", "key", "headers"]}))]
    pub metadata: BTreeMap<String, String>,
}

/// What happens to a record whose key the table holds.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InsertMode {
    /// Every record is a new row; a key that exists is a rejected record.
    Insert,
    /// The first record of a key wins.
    InsertIgnore,
    /// The later record of a key wins, field by field.
    Upsert,
}

/// Where a row's key comes from.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownFields {
    /// It is left out.
    Ignore,
    /// The record is rejected.
    Reject,
}

/// A DDL file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("ddl_file {path}: {source}")]
pub struct DdlError {
    path: String,
    source: io::Error,
}

impl DdlError {
    /// Which file, and why; without the key.
    pub(crate) fn reason(&self) -> String {
        format!("cannot read {}: {}", self.path, self.source)
    }
}

impl TableConfig {
    /// This section for one topic, complete if it `has_table`.
    pub(super) fn resolve(&self, topic: &str, overrides: Option<&Table>, has_table: bool) -> Self {
        let mut resolved = overrides.map_or_else(|| self.clone(), |overrides| self.overridden(overrides));
        resolved.table = resolved.table.replace("${topic}", topic);
        let bundled = has_table && resolved.table == DEFAULT_TABLE;
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

    fn overridden(&self, overrides: &Table) -> Self {
        let mut table = Table::try_from(self).expect("every value has a TOML form");
        table.extend(overrides.clone());
        table.try_into().expect("each table was checked against the keys of [sink] when it was loaded")
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
