//! The privileges of the role, and the GRANTs for those that are missing.

use postgres::Client;

use super::finding::Report;
use crate::postgres::own_table::ForeignTable;
use crate::postgres::schema_grants::{SchemaPrivileges, TO_CREATE};
use crate::postgres::sql::{TableName, ident};
use crate::table::grants::{self, ON_OWN, TablePrivileges, Use};
use crate::table::plan::{Mode, Plan, Wanted};

/// A table that the sink creates itself: the key that names it, and columns that it always has.
pub(super) struct OwnTable<'a> {
    pub key: &'static str,
    pub columns: &'a [&'a str],
}

/// Checks a table that the sink creates itself if it is missing; false if the sink cannot use it.
pub(super) fn own_table(
    client: &mut Client,
    subject: &str,
    table: &TableName,
    own: &OwnTable<'_>,
    report: &mut Report,
) -> Result<bool, postgres::Error> {
    if let Some(granted) = TablePrivileges::read(client, table, ON_OWN)? {
        if let Some(foreign) = ForeignTable::find(client, &table.sql(), own.columns)? {
            report.error(
                subject,
                format!("{table} {foreign}"),
                format!("set {} to another name: the sink creates the table", own.key),
            );
            return Ok(false);
        }
        privileges(subject, table, &granted, report);
        return Ok(granted.lacking.is_empty());
    }
    may_create(client, subject, table, report)
}

/// Checks whether the role can create a missing table.
pub(super) fn may_create(
    client: &mut Client,
    subject: &str,
    table: &TableName,
    report: &mut Report,
) -> Result<bool, postgres::Error> {
    let Some(privileges) = SchemaPrivileges::read(client, table, TO_CREATE)? else {
        let schema = table.schema.as_deref().unwrap_or("public");
        report.error(
            subject,
            format!("{table} does not exist, and neither does schema {schema:?}"),
            format!("CREATE SCHEMA {}", ident(schema)),
        );
        return Ok(false);
    };
    let SchemaPrivileges { schema, role, .. } = &privileges;
    let grant = privileges.grant();
    match &grant {
        None => {
            report.ok(subject, format!("{table} does not exist yet; the sink creates it in schema {schema}"));
        }
        Some(grant) => report.error(
            subject,
            format!("{table} does not exist, and role {role} may not create it in schema {schema}"),
            format!("create it, or {grant}"),
        ),
    }
    Ok(grant.is_none())
}

/// Reports the privileges of the role on a table that exists.
pub(super) fn privileges(
    subject: &str,
    table: &TableName,
    privileges: &TablePrivileges,
    report: &mut Report,
) {
    let (role, lacking) = (&privileges.role, privileges.lacking.join(", "));
    match privileges.grant(table) {
        None => has_all(subject, table, report),
        Some(grant) => report.error(subject, format!("role {role} lacks {lacking} on {table}"), grant),
    }
}

fn has_all(subject: &str, table: &TableName, report: &mut Report) {
    report.ok(subject, format!("{table} exists, and the role has all privileges that it needs"));
}

/// Reports the columns of a table that the role may not write, although it may write others.
pub(super) fn on_columns(
    client: &mut Client,
    subject: &str,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), postgres::Error> {
    let table = &plan.name;
    if let Some(grant) = grants::missing(client, table, &Use::of_every_row(plan))? {
        let text = format!(
            "the role has privileges on some columns of {table}, but not on those that every row needs"
        );
        report.error(subject, text, grant);
        return Ok(());
    }
    match grants::missing(client, table, &Use::of_whole_rows(plan))? {
        Some(grant) => report.warning(
            subject,
            format!(
                "the role may write only some columns of {table}: a record with a field for another one waits until it may; \
                 records without are written"
            ),
            grant,
        ),
        None => has_all(subject, table, report),
    }
    Ok(())
}

/// The privileges that writing as `wanted` needs.
pub(super) fn needed(wanted: &Wanted) -> &'static [&'static str] {
    match (wanted.key.is_empty(), wanted.mode, wanted.deletes) {
        (true, ..) => &["INSERT"],
        (false, Mode::Insert | Mode::InsertIgnore, false) => &["SELECT", "INSERT"],
        (false, Mode::Insert | Mode::InsertIgnore, true) => &["SELECT", "INSERT", "DELETE"],
        (false, Mode::Upsert, false) => &["SELECT", "INSERT", "UPDATE"],
        (false, Mode::Upsert, true) => &["SELECT", "INSERT", "UPDATE", "DELETE"],
    }
}
