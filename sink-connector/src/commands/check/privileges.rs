//! What the role may do, and the GRANT for what it may not.

use postgres::Client;

use super::finding::Report;
use crate::plan::{Mode, Wanted};
use crate::session::exists;
use crate::sql::{TableName, ident, literal};

/// A table that the sink makes itself when it is missing.
pub fn own_table(
    client: &mut Client,
    subject: &str,
    table: &TableName,
    wanted: &[&str],
    report: &mut Report,
) -> Result<bool, postgres::Error> {
    if exists(client, &table.sql())? {
        let missing = missing_privileges(client, table, wanted)?;
        privileges(client, subject, table, &missing, report)?;
        return Ok(missing.is_empty());
    }
    may_create(client, subject, table, report)
}

/// Whether a missing table can be made.
pub fn may_create(
    client: &mut Client,
    subject: &str,
    table: &TableName,
    report: &mut Report,
) -> Result<bool, postgres::Error> {
    let schema = table.schema.as_deref().map_or("current_schema()".to_owned(), literal);
    let row = client.query_opt(
        &format!(
            "SELECT n.nspname::text, pg_catalog.has_schema_privilege(n.oid, 'CREATE'), current_user::text \
             FROM pg_catalog.pg_namespace n WHERE n.nspname = {schema}"
        ),
        &[],
    )?;
    let Some(row) = row else {
        let schema = table.schema.as_deref().unwrap_or("public");
        report.error(
            subject,
            format!("{table} does not exist, and neither does schema {schema:?}"),
            format!("CREATE SCHEMA {}", ident(schema)),
        );
        return Ok(false);
    };
    let (schema, may, role): (String, bool, String) = (row.get(0), row.get(1), row.get(2));
    if may {
        report.ok(subject, format!("{table} does not exist yet; the sink makes it in schema {schema}"));
    } else {
        report.error(
            subject,
            format!("{table} does not exist, and role {role} may not create it in schema {schema}"),
            format!("create it, or GRANT CREATE ON SCHEMA {} TO {}", ident(&schema), ident(&role)),
        );
    }
    Ok(may)
}

/// Which of the `wanted` privileges the role lacks on a table that exists.
pub fn missing_privileges<'a>(
    client: &mut Client,
    table: &TableName,
    wanted: &[&'a str],
) -> Result<Vec<&'a str>, postgres::Error> {
    let mut missing = Vec::new();
    for privilege in wanted {
        // Privileges on columns do, except that there is none for DELETE.
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

/// Reports what is `missing`.
pub fn privileges(
    client: &mut Client,
    subject: &str,
    table: &TableName,
    missing: &[&str],
    report: &mut Report,
) -> Result<(), postgres::Error> {
    if missing.is_empty() {
        report.ok(subject, format!("{table} exists, with the privileges needed"));
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

/// What writing as `wanted` needs.
pub fn needed(wanted: &Wanted) -> &'static [&'static str] {
    match (wanted.key.is_empty(), wanted.mode, wanted.deletes) {
        (true, ..) => &["INSERT"],
        (false, Mode::Insert | Mode::InsertIgnore, false) => &["SELECT", "INSERT"],
        (false, Mode::Insert | Mode::InsertIgnore, true) => &["SELECT", "INSERT", "DELETE"],
        (false, Mode::Upsert, false) => &["SELECT", "INSERT", "UPDATE"],
        (false, Mode::Upsert, true) => &["SELECT", "INSERT", "UPDATE", "DELETE"],
    }
}
