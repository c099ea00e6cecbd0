//! How the records of one topic become rows of one table: the catalog and the configuration, resolved.

use thiserror::Error;

use crate::catalog::judges::Index;
use crate::catalog::{Column, Table};
use crate::decode::{Decoder, Field, Options};
use crate::sql::{TableName, ident};

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
    /// COPY cannot write the table, or would go round its rules.
    pub insert_only: bool,
    /// Rules rewrite an INSERT, and so its count tells nothing.
    pub rules: bool,
    /// LOCK TABLE works on it: everything but foreign tables.
    pub lockable: bool,
    /// From payload to fields.
    pub decoder: Decoder,
    /// What the table must still look like when a batch of this plan is written.
    pub fingerprint: String,
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
    #[error("{table} is UNLOGGED: a crash of the server would empty it; ALTER TABLE {table} SET LOGGED")]
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
        if table.unlogged {
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
            .collect();
        let binary = table.columns.iter().all(|column| column.kind.is_binary());
        let key = if wanted.key.is_empty() { None } else { Some(find_key(wanted, table)?) };
        let decoder = Decoder::new(fields, wanted.options).map_err(|error| PlanError::Ambiguous {
            table: table.full_name.clone(),
            detail: error.to_string(),
        })?;
        let others = |index: &&Index| key.as_ref().is_none_or(|key: &Key| key.index_oid != index.oid);
        let other_indexes: Vec<&Index> = table.judges.indexes.iter().filter(others).collect();
        // Text is read by the types' input functions, which may refuse it.
        let judged = !binary
            || table.judges.refuses
            || other_indexes.iter().any(|index| index.exclusive || index.refuses);
        let exclusive = exclusive_columns(table, key.as_ref(), &other_indexes);
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
            insert_only: table.judges.insert_only,
            rules: table.judges.rules,
            lockable: table.kind != 'f',
            decoder,
            fingerprint: table.fingerprint.clone(),
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

fn find_key(wanted: &Wanted, table: &Table) -> Result<Key, PlanError> {
    let columns = wanted
        .key
        .iter()
        .map(|name| {
            table.columns.iter().position(|c| c.name == *name).ok_or_else(|| PlanError::NoKeyColumn {
                table: table.full_name.clone(),
                column: name.clone(),
                columns: table.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "),
            })
        })
        .collect::<Result<Vec<_>, PlanError>>()?;
    let index = table
        .unique_indexes
        .iter()
        .find(|i| i.columns.len() == wanted.key.len() && i.columns.iter().all(|c| wanted.key.contains(c)))
        .ok_or_else(|| {
            let quoted = wanted.key.iter().map(|c| ident(c)).collect::<Vec<_>>().join(", ");
            PlanError::NoUniqueIndex {
                table: table.full_name.clone(),
                columns: wanted.key.join(", "),
                ddl: format!("CREATE UNIQUE INDEX CONCURRENTLY ON {} ({quoted})", wanted.table.sql()),
            }
        })?;
    let loose = wanted.key.iter().any(|name| !table.judges.exact_columns.contains(name));
    Ok(Key { columns, index: index.name.clone(), index_oid: index.oid, loose })
}

/// Columns, beside the key's, in which rows can be in each other's way.
fn exclusive_columns(table: &Table, key: Option<&Key>, indexes: &[&Index]) -> Vec<usize> {
    let in_the_way = |name: &String| {
        indexes.iter().any(|i| i.exclusive && (i.columns.is_empty() || i.columns.contains(name)))
    };
    (0..table.columns.len())
        .filter(|column| !key.is_some_and(|key| key.columns.contains(column)))
        .filter(|column| in_the_way(&table.columns[*column].name))
        .collect()
}
