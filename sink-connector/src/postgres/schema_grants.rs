//! Privileges that the role lacks on the schema of a table, as the statement that grants them.

use postgres::Client;

use crate::postgres::failure::Failure;
use crate::postgres::sql::{TableName, ident};

/// To use a table of the schema.
pub(crate) const TO_USE: &[&str] = &["USAGE"];
/// To create a table in the schema as well.
pub(crate) const TO_CREATE: &[&str] = &["USAGE", "CREATE"];

/// The GRANT of those of the `wanted` privileges on the table's schema that the role lacks, or the statement that creates the
/// schema; `None` if nothing is missing. A table without a schema is looked for in the one where it would be created.
pub(crate) fn missing(
    client: &mut Client,
    table: &TableName,
    wanted: &[&str],
) -> Result<Option<String>, postgres::Error> {
    // Without USAGE on any schema of the search path, it holds the session's temporary schema at most.
    let sql = "SELECT n.nspname::text, current_user::text, ARRAY(SELECT p.name FROM pg_catalog.unnest($2::pg_catalog.text[]) \
         p(name) WHERE NOT pg_catalog.has_schema_privilege(n.oid, p.name)) FROM pg_catalog.pg_namespace n \
         WHERE n.nspname = coalesce($1, (SELECT searched.name FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) \
         WITH ORDINALITY searched(name, place) WHERE searched.name NOT LIKE 'pg\\_temp\\_%' ORDER BY place LIMIT 1), 'public')";
    let Some(row) = client.query_opt(sql, &[&table.schema, &wanted])? else {
        return Ok(table.schema.as_ref().map(|schema| format!("CREATE SCHEMA {}", ident(schema))));
    };
    let (schema, role, lacking): (String, String, Vec<String>) = (row.get(0), row.get(1), row.get(2));
    let grant = || format!("GRANT {} ON SCHEMA {} TO {}", lacking.join(", "), ident(&schema), ident(&role));
    Ok((!lacking.is_empty()).then(grant))
}

/// Adds the missing GRANT on the table's schema to a failure for want of one.
pub(crate) fn name_missing(
    client: &mut Client,
    table: &TableName,
    wanted: &[&str],
    mut failure: Failure,
) -> Failure {
    if failure.permission_denied() || failure.no_schema() {
        match missing(client, table, wanted) {
            Ok(Some(grant)) => failure.message = format!("{}; {grant}", failure.message),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "cannot read the privileges on the schema"),
        }
    }
    failure
}
