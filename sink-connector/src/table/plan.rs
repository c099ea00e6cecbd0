//! The plan of a topic: table and configuration, resolved into columns, key and decoder.

mod resolve;

use thiserror::Error;

use crate::decode::{Decoder, DecoderError, KeyDecoder, Options};
use crate::postgres::sql::TableName;
use crate::table::catalog::constraints::Index;
use crate::table::catalog::{Column, ColumnDefault, Table};
use crate::table::column_set::ColumnSet;
use crate::table::metadata_columns::MetadataColumn;
use crate::table::version::Order;

pub use crate::config::InsertMode as Mode;

/// The configuration of a topic's table, before the catalog is read.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The target.
    pub table: TableName,
    /// The write mode.
    pub mode: Mode,
    /// Columns that identify a row; empty for an unkeyed table.
    pub key: Vec<String>,
    /// The key's columns come from the record's key, not from its value.
    pub record_key: bool,
    /// A tombstone deletes the row of its key.
    pub deletes: bool,
    /// The target may be UNLOGGED.
    pub allow_unlogged: bool,
    /// Keys that exist may be looked up first; otherwise rows are written by INSERT … ON CONFLICT alone.
    pub read_before_write: bool,
    /// The field whose older values do not overwrite newer ones.
    pub version_field: Option<String>,
    /// Metadata columns.
    pub metadata: Vec<(MetadataColumn, String)>,
    /// `(field, column)`: fields stored under another name.
    pub rename: Vec<(String, String)>,
    /// A field with this value, in any form that Debezium gives it, is absent; empty: none.
    pub unavailable_value_placeholder: String,
    /// Options of the decoder.
    pub options: Options,
}

impl Wanted {
    /// The columns without which no record can be written: those of the key, and that of the version.
    pub fn needed_columns(&self) -> Vec<String> {
        let version = self.version_field.as_ref().map(|field| {
            let renamed = self.rename.iter().find(|(from, _)| from == field);
            renamed.map_or(field, |(_, column)| column).clone()
        });
        self.key.iter().cloned().chain(version).collect()
    }
}

/// The columns that identify a row.
#[derive(Clone, Debug)]
pub struct Key {
    /// Indexes into [`Plan::columns`], in the order of the configuration.
    pub columns: Vec<usize>,
    /// The unique index that reports a conflict on them.
    pub index: String,
    /// Its oid: the index may be renamed, and a conflict in a partition names the index of the partition.
    pub index_oid: u32,
    /// The server may take keys of different bytes for equal: char(n), numeric, citext, collations.
    pub loose: bool,
}

/// The format of COPY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// COPY BINARY: the tuples as they are encoded.
    Binary,
    /// COPY TEXT: a column has a type that only its input function can read.
    Text,
}

/// The column of `version_field`, which decides which of two records of a key is newer.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Its index in [`Plan::columns`].
    pub column: usize,
    /// How its values are compared; `None` if only the server can.
    pub order: Option<Order>,
}

/// Whether rows of the table may refer to each other, by a foreign key of the table to itself.
///
/// The server checks such a key at the end of a statement, or of the transaction if the key is deferred. If records are
/// applied one by one, each of them is a statement and a transaction. So a record that refers to a later one is refused
/// in both cases, and a record that refers to itself is accepted. Foreign keys to other tables need no such care, because
/// records of two topics have no order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SelfReferences {
    /// They may not.
    None,
    /// They may, by these columns of each foreign key: `(referring, referenced)`, indexes into [`Plan::columns`].
    By(Vec<Vec<(usize, usize)>>),
    /// They may, and only the server knows which do: each record is written separately.
    Unknown,
}

/// A plan. Immutable: a changed table gets a new one.
#[derive(Debug)]
pub struct Plan {
    /// The target's quoted name.
    pub target: String,
    /// The target as configured.
    pub name: TableName,
    /// The target's name for metrics, as configured.
    pub label: String,
    /// The write mode.
    pub mode: Mode,
    /// Columns that can be written, in attnum order; the decoder's fields have the same indexes.
    pub columns: Vec<Column>,
    /// What COPY into the table carries.
    pub format: Format,
    /// The key, if the table is written by key.
    pub key: Option<Key>,
    /// The server may refuse a row because of its values. Merging records of one key could hide such values from it.
    pub checked_by_server: bool,
    /// Columns outside the key in which rows can conflict: those of other unique indexes and of exclusion constraints.
    pub exclusive: Vec<usize>,
    /// Columns that an UPDATE may only name for records that carry them. An absent field then leaves the value alone, but
    /// not what else depends on the statement: a trigger of just these columns, a privilege, the check of a domain.
    pub named_if_carried: ColumnSet,
    /// Columns whose default an INSERT cannot write as a value: identity columns.
    pub unnamed_defaults: ColumnSet,
    /// Columns whose default only the server can put into a row, while it writes the row.
    pub evaluated_in_place: ColumnSet,
    /// Whether its rows may refer to each other.
    pub self_references: SelfReferences,
    /// An UPDATE may go before the look-up, and again after it: nothing sees the first one if it does not find its row.
    pub may_update_first: bool,
    /// Rows are written by INSERT … ON CONFLICT, without a look at what is there.
    pub on_conflict_only: bool,
    /// COPY cannot write the table, or would bypass its rules.
    pub insert_only: bool,
    /// Rules rewrite an INSERT, so its row count is meaningless.
    pub rules: bool,
    /// Writing to it runs functions that are not the server's own, and can do anything to the session.
    pub runs_functions: bool,
    /// The statement that locks the table against ALTER; foreign tables cannot be locked.
    pub lock: Option<String>,
    /// The column of `version_field`.
    pub version: Option<Version>,
    /// A tombstone deletes the row of its key.
    pub deletes: bool,
    /// Decodes values.
    pub decoder: Decoder,
    /// The key's fields come from the record's key.
    pub record_key: bool,
    /// Decodes the key columns, from the record's key or from a deleted row.
    pub key_decoder: Option<KeyDecoder>,
    /// Metadata columns: indexes into [`Plan::columns`].
    pub metadata: Vec<(usize, MetadataColumn)>,
    /// The table's oid, if it holds its rows itself.
    pub table_oid: Option<u32>,
    /// The fingerprint that the table must have when a batch of this plan is written.
    pub fingerprint: String,
    /// The same for its partitions, if it has any. Only writing several records at once relies on it.
    pub partitions: Option<String>,
}

/// Why a table cannot be written as configured. All are configuration errors: the sink continues when the operator has
/// fixed the table or the configuration.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A name in `pk_fields` is not a column.
    #[error("pk_fields names {column:?}, but {table} has no such column; it has: {columns}")]
    NoKeyColumn {
        table: String,
        /// The missing column.
        column: String,
        /// The columns of the table.
        columns: String,
    },
    /// The configuration names a column that the server computes.
    #[error(
        "{key} names {column:?}, which is a generated column of {table}: the server computes it from other columns, and \
         nothing else can be written to it"
    )]
    GeneratedColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Where it is named.
        key: &'static str,
    },
    /// A name in `[sink.metadata]` is not a column.
    #[error("metadata.{what} names column {column:?}, but {table} has no such column; it has: {columns}")]
    NoMetadataColumn {
        table: String,
        /// The metadata for that column.
        what: &'static str,
        /// The missing column.
        column: String,
        /// The columns of the table.
        columns: String,
    },
    /// A metadata column has the wrong type.
    #[error(
        "column {column:?} of {table} has type {type_name}, which cannot hold the {what} of a record; use {types}"
    )]
    MetadataType {
        table: String,
        column: String,
        type_name: String,
        /// The metadata for that column.
        what: &'static str,
        /// Types that can.
        types: &'static str,
    },
    /// No column outside the key takes the version field.
    #[error(
        "version_field names {field:?}, but {table} has no column outside the key that takes it; its columns: {columns}"
    )]
    NoVersionColumn {
        table: String,
        field: String,
        /// The columns of the table.
        columns: String,
    },
    /// The server cannot compare the versions.
    #[error(
        "version_field needs values with an order, and column {column:?} of {table} has type {type_name}"
    )]
    VersionType { table: String, column: String, type_name: String },
    /// No unique index arbitrates conflicts on `pk_fields`.
    #[error("{table} has no usable unique index on ({columns}), which pk_fields needs; create one: {ddl}")]
    NoUniqueIndex {
        table: String,
        /// The key columns.
        columns: String,
        /// The statement that creates it.
        ddl: String,
    },
    /// A crash of the server would empty the table, but not the positions.
    #[error(
        "{table} is UNLOGGED: a crash of the server would empty it, and its records would not be read again; \
         ALTER TABLE {table} SET LOGGED, or allow it with allow_unlogged = true"
    )]
    Unlogged { table: String },
    /// `rename` is contradictory.
    #[error("the fields of {table} are ambiguous: {detail}")]
    Ambiguous {
        table: String,
        /// The columns and the field.
        detail: String,
    },
}

impl Plan {
    /// Resolves `wanted` against `table`.
    ///
    /// # Errors
    /// If the table cannot be written as configured.
    pub fn new(wanted: &Wanted, table: &Table) -> Result<Self, PlanError> {
        if let Some(unlogged) = table.unlogged.clone().filter(|_| !wanted.allow_unlogged) {
            return Err(PlanError::Unlogged { table: unlogged });
        }
        // The sequence gives the values of an identity, unless the column is the key.
        let written = |column: &Column| !column.identity_always || wanted.key.contains(&column.name);
        let columns = table.columns.iter().filter(|column| written(column)).cloned().collect();
        let table = &Table { columns, ..table.clone() };
        let fields = resolve::fields(wanted, table);
        let binary = table.columns.iter().all(|column| column.kind.is_binary());
        let key = if wanted.key.is_empty() { None } else { Some(resolve::find_key(wanted, table)?) };
        let metadata = resolve::find_metadata(wanted, table)?;
        resolve::check_rename(wanted, table)?;
        let from_key: &[usize] = key.as_ref().filter(|_| wanted.record_key).map_or(&[], |key| &key.columns);
        let is_taken = |column| !from_key.contains(&column) && metadata.iter().all(|(c, _)| *c != column);
        let taken: Vec<bool> = (0..fields.len()).map(is_taken).collect();
        let version = resolve::find_version(wanted, table, &fields, key.as_ref())?;
        let ambiguous = |error: DecoderError| PlanError::Ambiguous {
            table: table.full_name.clone(),
            detail: error.to_string(),
        };
        let key_decoder = key
            .as_ref()
            .filter(|_| wanted.record_key || wanted.deletes)
            .map(|key| KeyDecoder::new(fields.clone(), key.columns.clone(), wanted.options))
            .transpose()
            .map_err(ambiguous)?;
        let decoder = Decoder::taking(fields, taken, wanted.options)
            .map_err(ambiguous)?
            .with_unavailable_value(&wanted.unavailable_value_placeholder);
        let others = |index: &&Index| key.as_ref().is_none_or(|key: &Key| key.index_oid != index.oid);
        let other_indexes: Vec<&Index> = table.constraints.indexes.iter().filter(others).collect();
        // The input functions of the types read text, and may refuse it.
        let checked_by_server = !binary
            || table.constraints.refuses
            || other_indexes.iter().any(|index| index.exclusive || index.refuses);
        let exclusive = resolve::exclusive_columns(table, key.as_ref(), &other_indexes);
        let self_references = resolve::self_references(wanted, table);
        let may_update_first = resolve::may_update_first(wanted, table, &exclusive, &self_references);
        Ok(Self {
            target: wanted.table.sql(),
            name: wanted.table.clone(),
            label: wanted.table.to_string(),
            mode: wanted.mode,
            columns: table.columns.clone(),
            format: if binary { Format::Binary } else { Format::Text },
            key,
            checked_by_server,
            exclusive,
            named_if_carried: resolve::named_if_carried(table),
            unnamed_defaults: resolve::unnamed_defaults(table),
            evaluated_in_place: resolve::evaluated_in_place(table),
            self_references,
            may_update_first,
            on_conflict_only: !wanted.read_before_write,
            insert_only: table.constraints.insert_only,
            rules: table.constraints.rules,
            runs_functions: table.constraints.runs_functions,
            lock: resolve::lock(&wanted.table, table),
            version,
            deletes: wanted.deletes,
            decoder,
            record_key: wanted.record_key,
            key_decoder,
            metadata,
            table_oid: matches!(table.kind, 'r' | 'p').then_some(table.oid),
            fingerprint: table.fingerprint.clone(),
            partitions: table.partitions.clone(),
        })
    }

    /// Whether an INSERT has to say that it writes the values of an identity itself.
    pub fn overrides_identity(&self) -> bool {
        self.columns.iter().any(|column| column.identity_always)
    }

    /// The columns without which no record can be written: those of the key, and that of the version.
    pub fn needed_columns(&self) -> impl Iterator<Item = &Column> {
        self.key_columns().chain(self.version.map(|version| &self.columns[version.column]))
    }

    /// The columns of the key; empty without a key.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().flat_map(|key| key.columns.iter().map(|&i| &self.columns[i]))
    }

    /// What a row without this column gets there, if that is the same for all rows and the sink may write it: the encoded
    /// value, or `None` for NULL.
    pub fn constant_default(&self, column: usize) -> Option<Option<&[u8]>> {
        match &self.columns[column].default {
            _ if !self.columns[column].insertable => None,
            None => Some(None),
            Some(ColumnDefault::Constant { value, .. }) => Some(value.as_deref()),
            Some(ColumnDefault::Expression(_) | ColumnDefault::Independent(_) | ColumnDefault::Identity) => {
                None
            }
        }
    }

    /// Whether a column is part of the key.
    pub fn is_key(&self, column: usize) -> bool {
        self.key.as_ref().is_some_and(|key| key.columns.contains(&column))
    }

    /// Whether a row without this column cannot be inserted.
    pub fn required(&self, column: usize) -> bool {
        let column = &self.columns[column];
        column.not_null && column.default.is_none()
    }
}
