//! Columns that the configuration names, found in the table: the key's, the version's, the metadata's.

use super::{Key, Kin, Mode, PlanError, Version, Wanted};
use crate::batch::origin::Origin;
use crate::batch::version::Order;
use crate::catalog::Table;
use crate::catalog::judges::Index;
use crate::decode::Field;
use crate::encode::Kind;
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
                ddl: format!("CREATE UNIQUE INDEX CONCURRENTLY ON {} ({quoted})", wanted.table.sql()),
            }
        })?;
    let loose = wanted.key.iter().any(|name| !table.judges.exact_columns.contains(name));
    Ok(Key { columns, index: index.name.clone(), index_oid: index.oid, loose })
}

fn names(table: &Table) -> String {
    table.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Columns, beside the key's, in which rows can be in each other's way.
pub(super) fn exclusive_columns(table: &Table, key: Option<&Key>, indexes: &[&Index]) -> Vec<usize> {
    let in_the_way = |name: &String| {
        indexes.iter().any(|i| i.exclusive && (i.columns.is_empty() || i.columns.contains(name)))
    };
    (0..table.columns.len())
        .filter(|column| !key.is_some_and(|key| key.columns.contains(column)))
        .filter(|column| in_the_way(&table.columns[*column].name))
        .collect()
}

/// How rows refer to each other. What they refer to must stay as it is once it is there, or an update could take it away
/// and another row bring it back before the server looks; of a key that is so.
pub(super) fn find_kin(wanted: &Wanted, table: &Table) -> Kin {
    let column = |name: &String| table.columns.iter().position(|c| c.name == *name);
    let references = &table.judges.self_references;
    let by: Option<Vec<Vec<(usize, usize)>>> = references
        .iter()
        .map(|reference| {
            let stays = wanted.mode != Mode::Upsert
                || reference.columns.iter().all(|(_, referred)| wanted.key.contains(referred));
            let pairs = reference.columns.iter().map(|(a, b)| Some((column(a)?, column(b)?)));
            if reference.exact && stays { pairs.collect() } else { None }
        })
        .collect();
    match by {
        Some(by) if by.is_empty() => Kin::None,
        Some(by) => Kin::By(by),
        None => Kin::Unknown,
    }
}

pub(super) fn find_origins(wanted: &Wanted, table: &Table) -> Result<Vec<(usize, Origin)>, PlanError> {
    let find = |(origin, name): &(Origin, String)| {
        let column = table.columns.iter().position(|c| c.name == *name).ok_or_else(|| {
            PlanError::NoMetadataColumn {
                table: table.full_name.clone(),
                what: origin.as_str(),
                column: name.clone(),
                columns: names(table),
            }
        })?;
        if origin.fits(&table.columns[column].kind) {
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
