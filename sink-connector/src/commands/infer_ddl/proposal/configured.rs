//! What the configuration says of the topic.

use std::collections::BTreeMap;

use smart_default::SmartDefault;
use toml::Table;

use super::Column;
use crate::commands::infer_ddl::declared::DeclaredTypes;
use crate::commands::infer_ddl::key::KAFKA;
use crate::config::{InsertMode, PkMode};
use crate::decode::ValueFormat;
use crate::postgres::sql::TableName;
use crate::table::metadata_columns::MetadataColumn;

/// The settings of the topic that matter here.
#[derive(Debug, SmartDefault)]
pub(in crate::commands::infer_ddl) struct ConfiguredTopic {
    pub topic: String,
    pub table: TableName,
    /// Where the key comes from, and its columns, if they are configured for the topic.
    pub key: Option<(PkMode, Vec<String>)>,
    /// The topic is configured to delete rows.
    pub deletes: bool,
    /// The field that rows are compared by.
    pub version_field: Option<String>,
    /// The metadata columns.
    pub metadata: Vec<(MetadataColumn, String)>,
    /// What happens to a record whose key exists.
    #[default(InsertMode::Upsert)]
    pub mode: InsertMode,
    /// Other settings of the topic.
    pub other_settings: Table,
    /// Strings for a JSON column are JSON text.
    pub parses_strings: bool,
    /// Field to column.
    pub rename: BTreeMap<String, String>,
    /// What the values look like.
    pub format: ValueFormat,
    /// Types of the fields, by the schemas of the values.
    pub declared: DeclaredTypes,
    /// The same for the keys.
    pub declared_keys: DeclaredTypes,
    /// The values are change events, and none has a schema.
    pub without_schema: bool,
    /// The topics to read, if this one has to be added to them.
    pub topics: Option<Vec<String>>,
}

impl ConfiguredTopic {
    /// The column of a field.
    pub(super) fn column<'a>(&'a self, field: &'a String) -> &'a String {
        self.rename.get(field).unwrap_or(field)
    }

    /// The columns that are filled from elsewhere than key and value: metadata columns, and those of `pk_mode = "kafka"`.
    pub(super) fn filled(&self) -> Vec<Column> {
        let by_place =
            |key: &Vec<String>| key.clone().into_iter().zip(KAFKA.map(|(_, type_name)| type_name)).collect();
        let of_key: Vec<(String, &str)> = match &self.key {
            Some((PkMode::Kafka, key)) => by_place(key),
            _ => Vec::new(),
        };
        let metadata = self.metadata.iter().map(|(source, column)| (column.clone(), metadata_type(*source)));
        let column = |(name, type_name): (String, &str)| Column {
            name,
            type_name: type_name.to_owned(),
            doubts: Vec::new(),
        };
        of_key.into_iter().chain(metadata).map(column).collect()
    }
}

fn metadata_type(source: MetadataColumn) -> &'static str {
    match source {
        MetadataColumn::Topic | MetadataColumn::Key => "text",
        MetadataColumn::Partition => "integer",
        MetadataColumn::Offset => "bigint",
        MetadataColumn::Timestamp => "timestamptz",
        MetadataColumn::Headers => "jsonb",
    }
}
