//! The privileges of the role, and the GRANTs for those that are missing.

use postgres::Client;

use super::finding::Report;
use crate::postgres::own_table::ForeignTable;
use crate::postgres::schema_grants::{SchemaPrivileges, TO_CREATE};
use crate::postgres::session::exists;
use crate::postgres::sql::{TableName, ident, literal};
use crate::table::grants::{self, ON_OWN, Use};
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
    if exists(client, &table.sql())? {
        if let Some(foreign) = ForeignTable::find(client, &table.sql(), own.columns)? {
            report.error(
                subject,
                format!("{table} {foreign}"),
                format!("set {} to another name: the sink creates the table", own.key),
            );
            return Ok(false);
        }
        let missing = missing_privileges(client, table, ON_OWN)?;
        privileges(client, subject, table, &missing, report)?;
        return Ok(missing.is_empty());
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

/// Those of the `wanted` privileges that the role lacks on a table that exists.
pub(super) fn missing_privileges<'a>(
    client: &mut Client,
    table: &TableName,
    wanted: &[&'a str],
) -> Result<Vec<&'a str>, postgres::Error> {
    let mut missing = Vec::new();
    for privilege in wanted {
        // Privileges on columns are enough, but DELETE has none.
        let function =
            if *privilege == "DELETE" { "has_table_privilege" } else { "has_any_column_privilege" };
        let sql = format!(
            "SELECT pg_catalog.{function}(pg_catalog.to_regclass({}), '{privilege}')",
            literal(&table.sql())
        );
        if !client.query_one(&sql, &[])?.get::<_, Option<bool>>(0).unwrap_or(false) {
            missing.push(*privilege);
        }
    }
    Ok(missing)
}

/// Reports the `missing` privileges.
pub(super) fn privileges(
    client: &mut Client,
    subject: &str,
    table: &TableName,
    missing: &[&str],
    report: &mut Report,
) -> Result<(), postgres::Error> {
    if missing.is_empty() {
        report.ok(subject, format!("{table} exists, and the role has all privileges that it needs"));
        return Ok(());
    }
    let role: String = client.query_one("SELECT current_user::text", &[])?.get(0);
    let missing = missing.join(", ");
    report.error(
        subject,
        format!("role {role} lacks {missing} on {table}"),
        format!("GRANT {missing} ON {} TO {}", table.sql(), ident(&role)),
    );
    Ok(())
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
        None => privileges(client, subject, table, &[], report)?,
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
