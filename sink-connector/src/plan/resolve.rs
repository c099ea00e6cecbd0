//! Columns that the configuration names, found in the table: the key's, the version's, the metadata's.

use super::{Key, PlanError, Version, Wanted};
use crate::batch::origin::Origin;
use crate::batch::version::Order;
use crate::catalog::{Collation, Column, Table};
use crate::decode::Field;
use crate::encode::{Kind, oid};
use crate::sql::ident;

pub(super) fn find_key(wanted: &Wanted, table: &Table) -> Result<Key, PlanError> {
    let columns = wanted
        .key
        .iter()
        .map(|name| {
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
                ddl: format!("CREATE UNIQUE INDEX ON {} ({quoted})", wanted.table.sql()),
            }
        })?;
    let by_bytes = columns.iter().all(|&column| equal_by_bytes(&table.columns[column]));
    Ok(Key { columns, index: index.name.clone(), by_bytes })
}

fn names(table: &Table) -> String {
    table.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether values of the column that are equal for the server have equal bytes.
fn equal_by_bytes(column: &Column) -> bool {
    match column.type_oid {
        oid::TEXT | oid::VARCHAR | oid::NAME => column.collation != Collation::Nondeterministic,
        oid::BOOL
        | oid::INT2
        | oid::INT4
        | oid::INT8
        | oid::UUID
        | oid::BYTEA
        | oid::DATE
        | oid::TIME
        | oid::TIMESTAMP
        | oid::TIMESTAMPTZ => true,
        _ => false,
    }
}

pub(super) fn find_origins(
    wanted: &Wanted,
    table: &Table,
    fields: &[Field],
) -> Result<Vec<(usize, Origin)>, PlanError> {
    let find = |(origin, name): &(Origin, String)| {
        let column = table.columns.iter().position(|c| c.name == *name).ok_or_else(|| {
            PlanError::NoMetadataColumn {
                table: table.full_name.clone(),
                what: origin.as_str(),
                column: name.clone(),
                columns: names(table),
            }
        })?;
        if origin.fits(&fields[column].kind, table.columns[column].type_oid) {
            return Ok((column, *origin));
        }
        Err(PlanError::MetadataType {
            table: table.full_name.clone(),
            column: name.clone(),
            type_name: table.columns[column].type_name.clone(),
            what: origin.as_str(),
            types: origin.types(),
        })
    };
    wanted.metadata.iter().map(find).collect()
}

pub(super) fn find_version(
    wanted: &Wanted,
    table: &Table,
    fields: &[Field],
    key: Option<&Key>,
) -> Result<Option<Version>, PlanError> {
    let Some(name) = &wanted.version_field else { return Ok(None) };
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
