//! Privileges that the role lacks on a target table, as the statement that grants them.

use postgres::Client;

use crate::postgres::schema_grants::{self, TO_CREATE, TO_USE};
use crate::postgres::sql::{TableName, ident};
use crate::table::column_set::ColumnSet;
use crate::table::plan::{Mode, Plan};

/// What is done with a table. An empty list: nothing of the kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Use {
    /// Columns whose values are compared.
    read: Vec<String>,
    /// Columns that inserted rows carry.
    insert: Vec<String>,
    /// Columns that are set in rows that exist.
    update: Vec<String>,
    /// Rows are deleted.
    delete: bool,
}

impl Use {
    /// Rows that carry these columns are written as the plan says, or deleted as well.
    pub(crate) fn of(plan: &Plan, carried: &ColumnSet, delete: bool) -> Self {
        let names = |wanted: &dyn Fn(usize) -> bool| {
            let columns = plan.columns.iter().enumerate().filter(|(n, _)| wanted(*n));
            columns.map(|(_, column)| column.name.clone()).collect()
        };
        let updates = plan.key.is_some() && plan.mode == Mode::Upsert;
        let version = plan.version.filter(|_| updates).map(|version| version.column);
        Self {
            read: names(&|n| plan.is_key(n) || version == Some(n)),
            insert: names(&|n| carried.contains(n)),
            update: names(&|n| updates && carried.contains(n) && !plan.is_key(n)),
            delete,
        }
    }

    /// Every row that the plan writes needs it.
    pub(crate) fn of_every_row(plan: &Plan) -> Self {
        let mut needed = ColumnSet::new(plan.columns.len());
        (0..plan.columns.len())
            .filter(|n| plan.is_key(*n) || plan.required(*n))
            .for_each(|n| needed.insert(n));
        Self::of(plan, &needed, plan.deletes)
    }

    /// A row with all columns needs it.
    pub(crate) fn of_whole_rows(plan: &Plan) -> Self {
        Self::of(plan, &ColumnSet::full(plan.columns.len()), plan.deletes)
    }
}

/// The GRANT that gives the role what it lacks for this use of the table; `None` if it lacks nothing.
pub(crate) fn missing(
    client: &mut Client,
    table: &TableName,
    used: &Use,
) -> Result<Option<String>, postgres::Error> {
    let lacks = |names: &str, privilege: &str| {
        format!(
            "ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
             AND NOT a.attisdropped AND a.attname = ANY ({names}::pg_catalog.text[]) \
             AND NOT pg_catalog.has_column_privilege(c.oid, a.attnum, '{privilege}') ORDER BY a.attnum)"
        )
    };
    let sql = format!(
        "SELECT current_user::text, pg_catalog.has_table_privilege(c.oid, 'DELETE'), {}, {}, {} \
         FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)",
        lacks("$2", "SELECT"),
        lacks("$3", "INSERT"),
        lacks("$4", "UPDATE")
    );
    let parameters: [&(dyn postgres::types::ToSql + Sync); 4] =
        [&table.sql(), &used.read, &used.insert, &used.update];
    let Some(row) = client.query_opt(&sql, &parameters)? else { return Ok(None) };
    let wanted = [("SELECT", &used.read), ("INSERT", &used.insert), ("UPDATE", &used.update)];
    let lacking = (2..5).map(|n| row.get::<_, Vec<String>>(n));
    let on_columns = wanted.iter().zip(lacking);
    let mut privileges: Vec<String> = on_columns
        .filter_map(|((privilege, wanted), lacking)| on(privilege, &lacking, wanted.len()))
        .collect();
    if used.delete && !row.get::<_, bool>(1) {
        privileges.push("DELETE".to_owned());
    }
    let grant = || format!("GRANT {} ON {} TO {}", privileges.join(", "), table.sql(), ident(row.get(0)));
    Ok((!privileges.is_empty()).then(grant))
}

/// What the sink needs on a table of its own.
pub(crate) const ON_OWN: &[&str] = &["SELECT", "INSERT", "UPDATE"];

/// The GRANT that gives the role those of the `wanted` privileges that it lacks on a table of the sink; `None` if it lacks
/// none, or on its schema. A table that does not exist is created.
pub(crate) fn missing_on_own(
    client: &mut Client,
    table: &TableName,
    wanted: &[&str],
) -> Result<Option<String>, postgres::Error> {
    if let Some(grant) = schema_grants::missing(client, table, TO_USE)? {
        return Ok(Some(grant));
    }
    match TablePrivileges::read(client, table, wanted)? {
        Some(privileges) => Ok(privileges.grant(table)),
        None => schema_grants::missing(client, table, TO_CREATE),
    }
}

/// What the role may do with a table.
pub(crate) struct TablePrivileges {
    pub role: String,
    /// Those that were asked for and that it lacks.
    pub lacking: Vec<String>,
}

impl TablePrivileges {
    /// Those that the role has of the `wanted` ones on a table; `None` if there is no such table.
    pub(crate) fn read(
        client: &mut Client,
        table: &TableName,
        wanted: &[&str],
    ) -> Result<Option<Self>, postgres::Error> {
        // Privileges on columns are enough, but DELETE has none.
        let sql = "SELECT current_user::text, ARRAY(SELECT p.name FROM \
             pg_catalog.unnest($2::pg_catalog.text[]) p(name) WHERE NOT CASE p.name \
             WHEN 'DELETE' THEN pg_catalog.has_table_privilege(c.oid, p.name) \
             ELSE pg_catalog.has_any_column_privilege(c.oid, p.name) END) \
             FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";
        let read = |row: postgres::Row| Self { role: row.get(0), lacking: row.get(1) };
        Ok(client.query_opt(sql, &[&table.sql(), &wanted])?.map(read))
    }

    /// The statement that grants what is lacking; `None` if nothing is.
    pub(crate) fn grant(&self, table: &TableName) -> Option<String> {
        let privileges = self.lacking.join(", ");
        let grant = || format!("GRANT {privileges} ON {} TO {}", table.sql(), ident(&self.role));
        (!self.lacking.is_empty()).then(grant)
    }
}

/// The GRANTs that let the role take values from the sequences of the table's defaults.
pub(crate) fn missing_on_sequences(
    client: &mut Client,
    table: &TableName,
) -> Result<Vec<String>, postgres::Error> {
    let sql = "SELECT pg_catalog.format('GRANT USAGE ON SEQUENCE %s TO %I', s.oid::pg_catalog.regclass, current_user) \
         FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_depend p ON p.objid = d.oid \
           AND p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass \
           AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         JOIN pg_catalog.pg_class s ON s.oid = p.refobjid WHERE d.adrelid = pg_catalog.to_regclass($1) \
           AND CASE WHEN s.relkind = 'S' THEN NOT pg_catalog.has_sequence_privilege(s.oid, 'USAGE, UPDATE') END ORDER BY 1";
    Ok(client.query(sql, &[&table.sql()])?.iter().map(|row| row.get(0)).collect())
}

/// The privilege on the whole table if all of so many columns lack it, else on those that do; `None` if none does.
fn on(privilege: &str, lacking: &[String], wanted: usize) -> Option<String> {
    if lacking.is_empty() {
        return None;
    }
    if lacking.len() == wanted {
        return Some(privilege.to_owned());
    }
    let columns: Vec<String> = lacking.iter().map(|column| ident(column)).collect();
    Some(format!("{privilege} ({})", columns.join(", ")))
}
