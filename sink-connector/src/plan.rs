//! How the records of one topic become rows of one table: the catalog and the configuration, resolved.

mod resolve;

use thiserror::Error;

use crate::batch::origin::Origin;
use crate::batch::version::Order;
use crate::catalog::judges::Index;
use crate::catalog::{Column, Table};
use crate::decode::{Decoder, DecoderError, Field, KeyDecoder, Options};
use crate::sql::TableName;

/// What happens to a record whose key the table already holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Every record is a new row; a key that exists is a rejected record.
    Insert,
    /// The first record of a key wins.
    InsertIgnore,
    /// The later record of a key wins, field by field.
    Upsert,
}

/// What the configuration says about a topic, without the catalog.
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
    /// The field whose older values do not overwrite newer ones.
    pub version_field: Option<String>,
    /// Columns that are filled with what Kafka knows of a record.
    pub metadata: Vec<(Origin, String)>,
    /// `(field, column)`: fields stored under another name.
    pub rename: Vec<(String, String)>,
    /// What the decoder is to do with doubtful input.
    pub options: Options,
}

/// The columns that identify a row.
#[derive(Clone, Debug)]
pub struct Key {
    /// Indexes into [`Plan::columns`], in the order of the configuration.
    pub columns: Vec<usize>,
    /// The unique index that reports a conflict on them.
    pub index: String,
    /// Its oid: it may be renamed, and a conflict in a partition names the partition's part of it.
    pub index_oid: u32,
    /// Keys of different bytes may be equal for the server: char(n), numeric, citext, collations.
    pub loose: bool,
}

/// What COPY carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The tuples as they are encoded.
    Binary,
    /// Their text: a column of the table has a type that only its input function reads.
    Text,
}

/// The column that says which of two records of a key is the newer.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Its index in [`Plan::columns`].
    pub column: usize,
    /// How its values are compared; `None`: by the server only.
    pub order: Option<Order>,
}

/// Whether rows of the table may refer to each other, by a foreign key of the table to itself.
///
/// The server looks at such a key at the end of a statement, or of the transaction if it is deferred; applied one by
/// one, each record is a statement and a transaction. So a record that refers to a later one is refused either way, and
/// one that refers to itself is taken. Between tables there is nothing to keep: records of two topics have no order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kin {
    /// They do not.
    None,
    /// By these columns, of each foreign key: `(refers, referred)`, indexes into [`Plan::columns`].
    By(Vec<Vec<(usize, usize)>>),
    /// They may, and only the server knows which: each record is written by itself.
    Unknown,
}

/// The resolved plan. Immutable: a changed table makes a new one.
#[derive(Debug)]
pub struct Plan {
    /// The target's quoted name.
    pub target: String,
    /// The target as configured.
    pub name: TableName,
    /// Its name for metrics: as configured, not as resolved.
    pub label: String,
    /// The write mode.
    pub mode: Mode,
    /// Columns that can be written, in attnum order; the decoder's fields have the same indexes.
    pub columns: Vec<Column>,
    /// What COPY into the table carries.
    pub format: Format,
    /// The key, if the table is written by key.
    pub key: Option<Key>,
    /// The server may refuse a row for what it holds. Merging records of one key would hide from it what it refuses.
    pub judged: bool,
    /// Columns, beside the key, in which a row can be in another's way: of other unique indexes and exclusion
    /// constraints.
    pub exclusive: Vec<usize>,
    /// Whether its rows may refer to each other.
    pub kin: Kin,
    /// COPY cannot write the table, or would go round its rules.
    pub insert_only: bool,
    /// Rules rewrite an INSERT, and so its count tells nothing.
    pub rules: bool,
    /// LOCK TABLE works on it: everything but foreign tables.
    pub lockable: bool,
    /// The version's column, with `version_field`.
    pub version: Option<Version>,
    /// A tombstone deletes the row of its key.
    pub deletes: bool,
    /// From payload to fields.
    pub decoder: Decoder,
    /// The key's fields come from the record's key.
    pub record_key: bool,
    /// From the record's key to the key's fields, where they come from there; or from a row that is gone.
    pub key_decoder: Option<KeyDecoder>,
    /// Columns that are filled with what Kafka knows of a record.
    pub origins: Vec<(usize, Origin)>,
    /// What the table must still look like when a batch of this plan is written.
    pub fingerprint: String,
    /// The same for its partitions, if it has any. Only what a batch does with several records at once relies on it.
    pub partitions: Option<String>,
}

/// Why a table cannot be written as configured. All are configuration errors: the operator mends the table or the
/// configuration, and the sink goes on.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A name in `pk_fields` is not a column.
    #[error("pk_fields names {column:?}, but {table} has no such column; it has: {columns}")]
    NoKeyColumn {
        /// The table.
        table: String,
        /// The name that was not found.
        column: String,
        /// Those there are.
        columns: String,
    },
    /// A column in `[sink.metadata]` is not there.
    #[error("metadata.{what} names column {column:?}, but {table} has no such column; it has: {columns}")]
    NoMetadataColumn {
        /// The table.
        table: String,
        /// What the column was to take.
        what: &'static str,
        /// The name that was not found.
        column: String,
        /// Those there are.
        columns: String,
    },
    /// A column cannot hold what it is to be filled with.
    #[error(
        "column {column:?} of {table} has type {type_name}, which cannot take the {what} of a record: {types} can"
    )]
    MetadataType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
        /// What the column was to take.
        what: &'static str,
        /// Types that can.
        types: &'static str,
    },
    /// No column takes the version's field, or the key does.
    #[error(
        "version_field names {field:?}, but {table} has no column outside the key that takes it; its columns: {columns}"
    )]
    NoVersionColumn {
        /// The table.
        table: String,
        /// The field.
        field: String,
        /// The columns there are.
        columns: String,
    },
    /// The server cannot compare the versions.
    #[error(
        "version_field needs values with an order, and column {column:?} of {table} has type {type_name}"
    )]
    VersionType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
    },
    /// No unique index arbitrates conflicts on `pk_fields`.
    #[error("{table} has no usable unique index on ({columns}), which pk_fields needs; create one: {ddl}")]
    NoUniqueIndex {
        /// The table.
        table: String,
        /// The key columns.
        columns: String,
        /// The statement that would help.
        ddl: String,
    },
    /// A crash of the server would empty the table, but not the positions.
    #[error(
        "{table} is UNLOGGED: a crash of the server would empty it, and its records would not be read again; \
         ALTER TABLE {table} SET LOGGED, or allow it with allow_unlogged = true"
    )]
    Unlogged {
        /// The table.
        table: String,
    },
    /// `rename` is contradictory.
    #[error("the fields of {table} are ambiguous: {detail}")]
    Ambiguous {
        /// The table.
        table: String,
        /// What is doubled.
        detail: String,
    },
}

impl Plan {
    /// Resolves what is `wanted` against the `table` that there is.
    pub fn new(wanted: &Wanted, table: &Table) -> Result<Self, PlanError> {
        if table.unlogged && !wanted.allow_unlogged {
            return Err(PlanError::Unlogged { table: table.full_name.clone() });
        }
        let fields = table
            .columns
            .iter()
            .map(|column| {
                let renamed = wanted.rename.iter().find(|(_, to)| *to == column.name);
                Field {
                    name: renamed.map_or_else(|| column.name.clone(), |(field, _)| field.clone()),
                    kind: column.kind.clone(),
                    not_null: column.not_null,
                    column: column.name.clone(),
                }
            })
            .collect::<Vec<_>>();
        let binary = table.columns.iter().all(|column| column.kind.is_binary());
        let key = if wanted.key.is_empty() { None } else { Some(resolve::find_key(wanted, table)?) };
        let origins = resolve::find_origins(wanted, table)?;
        let from_key: &[usize] = key.as_ref().filter(|_| wanted.record_key).map_or(&[], |key| &key.columns);
        let taken: Vec<bool> = (0..fields.len())
            .map(|column| !from_key.contains(&column) && origins.iter().all(|(c, _)| *c != column))
            .collect();
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
        let decoder = Decoder::taking(fields, taken, wanted.options).map_err(ambiguous)?;
        let others = |index: &&Index| key.as_ref().is_none_or(|key: &Key| key.index_oid != index.oid);
        let other_indexes: Vec<&Index> = table.judges.indexes.iter().filter(others).collect();
        // Text is read by the types' input functions, which may refuse it.
        let judged = !binary
            || table.judges.refuses
            || other_indexes.iter().any(|index| index.exclusive || index.refuses);
        let exclusive = resolve::exclusive_columns(table, key.as_ref(), &other_indexes);
        let kin = resolve::find_kin(wanted, table);
        Ok(Self {
            target: wanted.table.sql(),
            name: wanted.table.clone(),
            label: wanted.table.to_string(),
            mode: wanted.mode,
            columns: table.columns.clone(),
            format: if binary { Format::Binary } else { Format::Text },
            key,
            judged,
            exclusive,
            kin,
            insert_only: table.judges.insert_only,
            rules: table.judges.rules,
            lockable: table.kind != 'f',
            version,
            deletes: wanted.deletes,
            decoder,
            record_key: wanted.record_key,
            key_decoder,
            origins,
            fingerprint: table.fingerprint.clone(),
            partitions: table.partitions.clone(),
        })
    }

    /// Names of the key's columns, quoted; empty without a key.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().flat_map(|key| key.columns.iter().map(|&i| &self.columns[i]))
    }

    /// A row that does not carry this column cannot be inserted.
    pub fn required(&self, column: usize) -> bool {
        let column = &self.columns[column];
        column.not_null && !column.has_default
    }
}
