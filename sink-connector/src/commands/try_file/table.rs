//! The table that lines are tried against: the database's, or that of a DDL file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::commands::check::dry_run::{prepare, table_of};
use crate::commands::kafka::CommandError;
use crate::commands::{Usage, postgres};
use crate::config::Config;
use crate::table::catalog::Table;
use crate::table::plan::{Plan, Version};
use crate::table::plan_cache::Target;
use crate::table::{ddl, targets};

/// What a live table may add.
const CHECKED: &str = "the server may refuse rows by its own checks (constraints, triggers, types that only it reads); \
                       `sink-connector check` writes records and rolls them back";

/// The plan of a topic, and what cannot be known of its table without a server.
///
/// # Errors
/// If the table cannot be read, or not be written as configured.
pub(super) fn plan(
    config: &Config,
    topic: &str,
    ddl: Option<&Path>,
) -> anyhow::Result<(Arc<Plan>, Vec<String>)> {
    let target = targets::target(&config.topic(topic))?;
    let (table, mut unknown) = match ddl {
        Some(file) => declared(file, &target)?,
        None => (live(config, &target)?, Vec::new()),
    };
    let plan = Plan::new(&target.wanted, &table).map_err(|error| Usage(error.to_string()))?;
    if ddl.is_none() && plan.checked_by_server {
        unknown.push(CHECKED.to_owned());
    }
    if ddl.is_some() {
        unknown.extend(other_indexes(&plan, &table));
    }
    if let Some(Version { column, order: None }) = plan.version {
        let column = &plan.columns[column];
        unknown.push(format!(
            "versions in column {:?} are compared by the server only, because it has type {}",
            column.name, column.type_name
        ));
    }
    Ok((Arc::new(plan), unknown))
}

/// The unique indexes beside that of the key. The keys of lines are compared, other values are not.
fn other_indexes<'a>(plan: &'a Plan, table: &'a Table) -> impl Iterator<Item = String> + 'a {
    let key = plan.key.as_ref().map(|key| key.index_oid);
    table.unique_indexes.iter().filter(move |index| Some(index.oid) != key).map(|index| {
        format!(
            "the server refuses a row whose values of {} are there already: {}",
            index.columns.join(", "),
            index.name
        )
    })
}

fn declared(file: &Path, target: &Target) -> Result<(Table, Vec<String>), Usage> {
    let sql = fs::read_to_string(file)
        .map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
    let declared = ddl::read(&sql, &target.wanted.table)
        .map_err(|error| Usage(format!("{}: {error}", file.display())))?;
    Ok((declared.table, declared.unknown))
}

/// The table as the catalog describes it. A table that the sink would create is created, and rolled back.
fn live(config: &Config, target: &Target) -> anyhow::Result<Table> {
    let connections = postgres::pool(config)?;
    let mut connection = postgres::open(&connections, config)?;
    let usage = |error: CommandError| Usage(error.to_string());
    connection.batch_execute("BEGIN")?;
    let read = prepare(&mut connection, target).and_then(|()| table_of(&mut connection, target));
    // If this gets no answer, closing the connection rolls back.
    let rolled_back = connection.batch_execute("ROLLBACK");
    connection.discard();
    let table = read.map_err(usage)?;
    rolled_back?;
    Ok(table)
}
