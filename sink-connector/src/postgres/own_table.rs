//! Tables that the sink makes for itself, and tables of others that have their names.

use std::fmt;

use postgres::Client;

/// A table that is not the sink's.
#[derive(Debug)]
pub(crate) struct ForeignTable {
    missing: Vec<String>,
    columns: Vec<String>,
}

impl ForeignTable {
    /// Looks for the columns that the sink's table has. `None` if they are all there, or there is no such table.
    pub(crate) fn find(
        client: &mut Client,
        table: &str,
        own: &[&str],
    ) -> Result<Option<Self>, postgres::Error> {
        let row = client.query_one(
            "SELECT pg_catalog.to_regclass($1) IS NULL, coalesce(array_agg(attname::text ORDER BY attnum), '{}') \
             FROM pg_catalog.pg_attribute \
             WHERE attrelid = pg_catalog.to_regclass($1) AND attnum > 0 AND NOT attisdropped",
            &[&table],
        )?;
        let (absent, columns): (bool, Vec<String>) = (row.get(0), row.get(1));
        let lacks = |wanted: &&&str| !columns.iter().any(|column| column == **wanted);
        let missing: Vec<String> = own.iter().filter(lacks).map(|name| (*name).to_owned()).collect();
        Ok((!absent && !missing.is_empty()).then_some(Self { missing, columns }))
    }
}

impl fmt::Display for ForeignTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exists, but is not a table of the sink: it has no column {}; its columns are {}",
            self.missing.join(", "),
            self.columns.join(", ")
        )
    }
}
