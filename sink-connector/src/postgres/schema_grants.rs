//! Privileges that the role lacks on the schema of a table, as the statement that grants them.

use postgres::Client;

use crate::postgres::failure::Failure;
use crate::postgres::sql::{TableName, ident};

/// To use a table of the schema.
pub(crate) const TO_USE: &[&str] = &["USAGE"];
/// To create a table in the schema as well.
pub(crate) const TO_CREATE: &[&str] = &["USAGE", "CREATE"];

/// What the role may do in a schema.
pub(crate) struct SchemaPrivileges {
    pub schema: String,
    pub role: String,
    /// Those that were asked for and that it lacks.
    pub lacking: Vec<String>,
}

impl SchemaPrivileges {
    /// Those that the role has of the `wanted` ones on the table's schema; `None` if there is no such schema. A table without a
    /// schema is looked for in the one where it would be created.
    pub(crate) fn read(
        client: &mut Client,
        table: &TableName,
        wanted: &[&str],
    ) -> Result<Option<Self>, postgres::Error> {
        // Without USAGE on any schema of the search path, it holds the session's temporary schema at most.
        let sql = "SELECT n.nspname::text, current_user::text, ARRAY(SELECT p.name FROM \
             pg_catalog.unnest($2::pg_catalog.text[]) p(name) WHERE NOT pg_catalog.has_schema_privilege(n.oid, p.name)) \
             FROM pg_catalog.pg_namespace n \
             WHERE n.nspname = coalesce($1, (SELECT searched.name FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) \
             WITH ORDINALITY searched(name, place) WHERE searched.name NOT LIKE 'pg\\_temp\\_%' ORDER BY place LIMIT 1), 'public')";
        let read = |row: postgres::Row| Self { schema: row.get(0), role: row.get(1), lacking: row.get(2) };
        Ok(client.query_opt(sql, &[&table.schema, &wanted])?.map(read))
    }

    /// The statement that grants what is lacking; `None` if nothing is.
    pub(crate) fn grant(&self) -> Option<String> {
        let privileges = self.lacking.join(", ");
        let grant =
            || format!("GRANT {privileges} ON SCHEMA {} TO {}", ident(&self.schema), ident(&self.role));
        (!self.lacking.is_empty()).then(grant)
    }
}

/// The statement that creates the schema of the table, if it does not exist, or that grants those of the `wanted` privileges
/// on it that the role lacks; `None` if nothing is missing.
pub(crate) fn missing(
    client: &mut Client,
    table: &TableName,
    wanted: &[&str],
) -> Result<Option<String>, postgres::Error> {
    Ok(match SchemaPrivileges::read(client, table, wanted)? {
        Some(privileges) => privileges.grant(),
        None => Some(format!("CREATE SCHEMA {}", ident(table.schema.as_deref().unwrap_or("public")))),
    })
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
