//! Finds the columns that the configuration names: the key, the version field, the metadata columns.

use crate::decode::Field;
use crate::encode::Kind;
use crate::postgres::sql::{TableName, ident};
use crate::table::catalog::constraints::Index;
use crate::table::catalog::{Column, ColumnDefault, Table};
use crate::table::column_set::ColumnSet;
use crate::table::metadata_columns::MetadataColumn;
use crate::table::plan::{Key, Mode, PlanError, SelfReferences, Version, Wanted};
use crate::table::version::Order;

/// What the decoder reads: a field for each column.
pub(super) fn fields(wanted: &Wanted, table: &Table) -> Vec<Field> {
    let field = |column: &Column| {
        let renamed = wanted.rename.iter().find(|(_, to)| *to == column.name);
        Field {
            name: renamed.map_or_else(|| column.name.clone(), |(field, _)| field.clone()),
            kind: column.kind.clone(),
            not_null: column.not_null,
            column: column.name.clone(),
        }
    };
    table.columns.iter().map(field).collect()
}

pub(super) fn find_key(wanted: &Wanted, table: &Table) -> Result<Key, PlanError> {
    let columns = wanted
        .key
        .iter()
        .map(|name| {
            not_generated(table, name, "pk_fields")?;
            table.columns.iter().position(|c| c.name == *name).ok_or_else(|| PlanError::NoKeyColumn {
                table: table.full_name.clone(),
                column: name.clone(),
                columns: names(table),
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
    let loose = wanted.key.iter().any(|name| !table.constraints.exact_columns.contains(name));
    Ok(Key { columns, index: index.name.clone(), index_oid: index.oid, loose })
}

fn not_generated(table: &Table, name: &str, key: &'static str) -> Result<(), PlanError> {
    if table.generated.iter().any(|generated| generated == name) {
        let (table, column) = (table.full_name.clone(), name.to_owned());
        return Err(PlanError::GeneratedColumn { table, column, key });
    }
    Ok(())
}

fn names(table: &Table) -> String {
    table.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Columns outside the key in which rows of different keys can conflict: not in a unique index that compares the key as well.
pub(super) fn exclusive_columns(table: &Table, key: Option<&Key>, indexes: &[&Index]) -> Vec<usize> {
    let of_key = key.and_then(|key| table.constraints.indexes.iter().find(|i| i.oid == key.index_oid));
    let compares_key = |index: &Index| {
        of_key.is_some_and(|of_key| {
            !of_key.compares.is_empty()
                && of_key.compares.iter().all(|column| index.compares.contains(column))
        })
    };
    let conflicts = |name: &String| {
        let reads = |index: &Index| index.columns.is_empty() || index.columns.contains(name);
        indexes.iter().any(|index| index.exclusive && reads(index) && !compares_key(index))
    };
    (0..table.columns.len())
        .filter(|column| !key.is_some_and(|key| key.columns.contains(column)))
        .filter(|column| conflicts(&table.columns[*column].name))
        .collect()
}

/// Columns that an UPDATE may only name for records that carry them.
pub(super) fn named_if_carried(table: &Table) -> ColumnSet {
    let constraints = &table.constraints;
    let named = |column: &Column| {
        // To keep a value, the UPDATE would have to read it. What is behind a view or a foreign table is not known.
        !constraints.readable
            || constraints.rules
            || matches!(table.kind, 'v' | 'f')
            // The value that is kept would be checked again, although the check may be younger than the value.
            || column.unconstrained_type.is_some()
            || constraints.update_triggers.contains(&column.name)
    };
    columns_that(table, named)
}

/// Whether an UPDATE may go before the look-up. A trigger that drops an update would see it twice; and where rows can keep
/// each other out or refer to each other, the rows that exist are locked before anything is checked.
pub(super) fn may_update_first(
    wanted: &Wanted,
    table: &Table,
    exclusive: &[usize],
    self_references: &SelfReferences,
) -> bool {
    let constraints = &table.constraints;
    wanted.mode == Mode::Upsert
        && exclusive.is_empty()
        && *self_references == SelfReferences::None
        && wanted.read_before_write
        && table.kind == 'r'
        && !constraints.insert_only
        && !constraints.has_triggers_or_children
}

/// Columns whose default an INSERT cannot spell out.
pub(super) fn unnamed_defaults(table: &Table) -> ColumnSet {
    columns_that(table, |column| column.default == Some(ColumnDefault::Identity))
}

/// Columns whose default only the server can put into a row. Arrays cannot be gathered into an array, nor do values come in
/// binary whose type the sink does not know, and the role may not write every column.
pub(super) fn evaluated_in_place(table: &Table) -> ColumnSet {
    columns_that(table, |column| match &column.default {
        _ if !column.insertable => true,
        None | Some(ColumnDefault::Constant { .. }) => false,
        Some(ColumnDefault::Independent(_)) => {
            !column.kind.is_binary() || matches!(column.kind, Kind::Array(_))
        }
        Some(ColumnDefault::Expression(_) | ColumnDefault::Identity) => true,
    })
}

fn columns_that(table: &Table, wanted: impl Fn(&Column) -> bool) -> ColumnSet {
    let mut columns = ColumnSet::new(table.columns.len());
    let found = table.columns.iter().enumerate().filter(|(_, column)| wanted(column));
    found.for_each(|(number, _)| columns.insert(number));
    columns
}

/// How rows refer to each other. The referenced columns must not change once a row exists: otherwise an update could
/// remove a referenced value, and another row add it again before the server checks. Columns of the key do not change.
pub(super) fn self_references(wanted: &Wanted, table: &Table) -> SelfReferences {
    let column = |name: &String| table.columns.iter().position(|c| c.name == *name);
    let references = &table.constraints.self_references;
    let by: Option<Vec<Vec<(usize, usize)>>> = references
        .iter()
        .map(|reference| {
            let is_fixed = wanted.mode != Mode::Upsert
                || reference.columns.iter().all(|(_, referenced)| wanted.key.contains(referenced));
            let pairs = reference.columns.iter().map(|(a, b)| Some((column(a)?, column(b)?)));
            if reference.exact && is_fixed { pairs.collect() } else { None }
        })
        .collect();
    match by {
        Some(by) if by.is_empty() => SelfReferences::None,
        Some(by) => SelfReferences::By(by),
        None => SelfReferences::Unknown,
    }
}

pub(super) fn find_metadata(
    wanted: &Wanted,
    table: &Table,
) -> Result<Vec<(usize, MetadataColumn)>, PlanError> {
    let find = |(source, name): &(MetadataColumn, String)| {
        not_generated(table, name, "metadata")?;
        let column = table.columns.iter().position(|c| c.name == *name).ok_or_else(|| {
            PlanError::NoMetadataColumn {
                table: table.full_name.clone(),
                what: source.as_str(),
                column: name.clone(),
                columns: names(table),
            }
        })?;
        if source.fits(&table.columns[column].kind) {
            return Ok((column, *source));
        }
        Err(PlanError::MetadataType {
            table: table.full_name.clone(),
            column: name.clone(),
            type_name: table.columns[column].type_name.clone(),
            what: source.as_str(),
            types: source.types(),
        })
    };
    wanted.metadata.iter().map(find).collect()
}

/// A field that is renamed to a generated column would be ignored without a word.
pub(super) fn check_rename(wanted: &Wanted, table: &Table) -> Result<(), PlanError> {
    wanted.rename.iter().try_for_each(|(_, column)| not_generated(table, column, "rename"))
}

/// What locks the table in ROW EXCLUSIVE mode, without its partitions: there may be thousands, and one that somebody has locked
/// is no obstacle to records for others. Planning an INSERT does so as well, and needs no privilege on the whole table.
pub(super) fn lock(name: &TableName, table: &Table) -> Option<String> {
    let target = name.sql();
    let statement = match &table.insertable_column {
        None => format!("LOCK TABLE ONLY {target} IN ROW EXCLUSIVE MODE"),
        Some(column) => {
            format!("EXPLAIN (COSTS OFF) INSERT INTO {target} ({}) VALUES (NULL)", ident(column))
        }
    };
    (table.kind != 'f').then_some(statement)
}

pub(super) fn find_version(
    wanted: &Wanted,
    table: &Table,
    fields: &[Field],
    key: Option<&Key>,
) -> Result<Option<Version>, PlanError> {
    let Some(name) = &wanted.version_field else { return Ok(None) };
    not_generated(table, name, "version_field")?;
    let column = fields
        .iter()
        .position(|field| field.name == *name)
        .filter(|column| key.is_some_and(|key| !key.columns.contains(column)))
        .ok_or_else(|| PlanError::NoVersionColumn {
            table: table.full_name.clone(),
            field: name.clone(),
            columns: names(table),
        })?;
    if matches!(fields[column].kind, Kind::Json) {
        return Err(PlanError::VersionType {
            table: table.full_name.clone(),
            column: table.columns[column].name.clone(),
            type_name: table.columns[column].type_name.clone(),
        });
    }
    Ok(Some(Version { column, order: Order::of(&fields[column].kind, &table.columns[column]) }))
}
