//! Which GRANT is missing, where the server says only that permission is denied.

use postgres::Client;

use crate::batch::Batch;
use crate::postgres::failure::Failure;
use crate::postgres::schema_grants::{self, TO_USE};
use crate::postgres::sql::TableName;
use crate::table::column_set::ColumnSet;
use crate::table::grants::{self, Use};

/// Adds to a failure for want of a privilege the statement that grants it, if it is one on a target table of the batch, or on
/// one of the sink's `own` tables (quoted names, and the privileges that it needs on them).
pub(crate) fn name_grant(
    client: &mut Client,
    batch: &Batch,
    own: &[(&str, &[&str])],
    failure: &mut Failure,
) -> Result<(), postgres::Error> {
    for (table, wanted) in own {
        if let Some(grant) = grants::missing_on_own(client, &TableName::parse(table), wanted)? {
            failure.message = format!("{}; {grant}", failure.message);
        }
    }
    for table in batch.tables() {
        let (plan, rows) = (&table.plan, &table.rows);
        let mut carried = ColumnSet::new(plan.columns.len());
        rows.shapes().iter().for_each(|shape| carried.add(&shape.present));
        let used = Use::of(plan, &carried, rows.deletes());
        // Without USAGE on its schema, nothing can be asked of a table.
        let grants = match schema_grants::missing(client, &plan.name, TO_USE)? {
            Some(grant) => vec![grant],
            None => match grants::missing(client, &plan.name, &used)? {
                Some(grant) => vec![grant],
                None => grants::missing_on_sequences(client, &plan.name)?,
            },
        };
        for grant in grants {
            failure.message = format!("{}; {grant}", failure.message);
        }
    }
    Ok(())
}
