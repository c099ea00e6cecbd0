//! Checks PostgreSQL: the server, the sink's own tables, and each target table with its columns, keys and privileges.

use std::collections::{BTreeSet, HashMap, HashSet};

use postgres::Client;
use shared::output::counted;

use super::dry_run::{prepare, table_of};
use super::finding::Report;
use super::privileges::{OwnTable, may_create, needed, on_columns, own_table, privileges};
use crate::commands::postgres as connect;
use crate::config::{Config, DeadLetters};
use crate::positions::stored::Offsets;
use crate::postgres::failure::Failure;
use crate::postgres::schema_grants::{self, TO_USE};
use crate::postgres::session::{Connections, NO_POOLER, POOLER, exists, is_pooled};
use crate::postgres::sql::{TableName, ident};
use crate::rejects::dead_letters::DeadLetters as StoredDeadLetters;
use crate::table::catalog::Table;
use crate::table::grants::TablePrivileges;
use crate::table::plan::{Mode, Plan};
use crate::table::plan_cache::Target;

/// Checks everything; returns the topics whose table a dry run can write, and whether the sink can use its own tables.
pub(super) fn check(
    config: &Config,
    targets: &HashMap<String, Target>,
    connections: &Connections,
    client: &mut Client,
    report: &mut Report,
) -> (BTreeSet<String>, bool) {
    let mut usable = BTreeSet::new();
    if let Err(error) = server(config, connections, client, report) {
        report.error("postgres", Failure::from(error).to_string(), "see the server's log");
        return (usable, false);
    }
    let offsets = OwnTable { key: "offsets.table", columns: Offsets::COLUMNS };
    let dead_letters = OwnTable { key: "errors.dead_letter_table", columns: StoredDeadLetters::COLUMNS };
    let mut own = vec![("offsets table", &config.offsets.table, offsets)];
    if config.errors.dead_letters == DeadLetters::Table {
        own.push(("dead letter table", &config.errors.dead_letter_table, dead_letters));
    }
    let mut own_usable = true;
    for (subject, table, own) in own {
        let name = TableName::parse(table);
        match own_table(client, subject, &name, &own, report) {
            Ok(usable) => own_usable &= usable,
            Err(error) => {
                own_usable = false;
                report.error(
                    subject,
                    format!("{name}: {}", Failure::from(error)),
                    "see the server's message",
                );
            }
        }
    }
    let mut topics: Vec<&String> = targets.keys().collect();
    topics.sort_unstable();
    let mut checked: HashSet<TableName> = HashSet::new();
    for topic in topics {
        let target = &targets[topic];
        let table = &target.wanted.table;
        // Two topics may share a table and still have different settings for it.
        let before = report.errors();
        let first = checked.insert(table.clone());
        target_table(client, target, first, report);
        if report.errors() == before && own_usable {
            usable.insert(topic.clone());
        }
    }
    (usable, own_usable)
}

fn server(
    config: &Config,
    connections: &Connections,
    client: &mut Client,
    report: &mut Report,
) -> Result<(), postgres::Error> {
    // First: behind such a pooler, the statements of other sessions are in the way of ours.
    let mut other = connect::open(connections, config);
    if let Err(error) = &other {
        report.error("postgres", format!("no second connection: {}", error.problem), &*error.action);
    }
    if is_pooled(client, other.as_mut().ok().map(|other| &mut ***other))? {
        report.error("postgres", POOLER, NO_POOLER);
    }
    drop(other);
    let row = client.query_one(
        "SELECT current_setting('server_version'), pg_catalog.pg_is_in_recovery(), \
                current_setting('transaction_read_only') = 'on', current_user::text, current_database()::text, \
                pg_catalog.has_database_privilege(current_database(), 'TEMP')",
        &[],
    )?;
    let (version, role, database): (String, String, String) = (row.get(0), row.get(3), row.get(4));
    if row.get(1) {
        report.error(
            "postgres",
            "the server is a standby and accepts no writes",
            "add target_session_attrs=read-write and the primary's host to postgres.url",
        );
    } else if row.get(2) {
        report.error(
            "postgres",
            format!("transactions of role {role} are read-only"),
            format!("ALTER ROLE {} SET default_transaction_read_only = off", ident(&role)),
        );
    } else {
        report.ok("postgres", format!("PostgreSQL {version}, role {role}, database {database}"));
    }
    if !row.get::<_, bool>(5) {
        report.warning(
            "postgres",
            format!("role {role} has no TEMP privilege: slower statements are used to update existing rows"),
            format!("GRANT TEMPORARY ON DATABASE {} TO {}", ident(&database), ident(&role)),
        );
    }
    let lock_timeout: i64 = client
        .query_one("SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'", &[])?
        .get(0);
    let deadline = i64::try_from(config.postgres.deadline.as_millis()).unwrap_or(i64::MAX);
    if deadline < lock_timeout {
        report.warning(
            "postgres",
            format!(
                "postgres.deadline_ms is {deadline}, less than the session's lock_timeout of {lock_timeout} ms: a writer that \
                 waits for a lock is replaced before the server names the lock"
            ),
            format!("set postgres.deadline_ms above {lock_timeout}, or a smaller lock_timeout in the options of postgres.url"),
        );
    }
    Ok(())
}

/// Checks a target table. Findings that do not depend on the topic are reported for its `first` topic only.
fn target_table(client: &mut Client, target: &Target, first: bool, report: &mut Report) {
    let name = &target.wanted.table;
    let subject = format!("table {name}");
    if let Err(error) = name.check_length() {
        return report.error(&subject, error.to_string(), "set table for the topic");
    }
    let mut check = || -> Result<(), Failure> {
        let exists = exists(client, &name.sql())
            .map_err(|error| schema_grants::name_missing(client, name, TO_USE, error.into()))?;
        if !exists && target.ddl.is_some() && !may_create(client, &subject, name, report)? {
            return Ok(());
        }
        // A missing table is created in a transaction that is rolled back.
        client.batch_execute(crate::writer::transaction::BEGIN)?;
        let table = prepare(client, target).and_then(|()| table_of(client, target));
        let table = match table {
            Ok(table) => table,
            Err(error) => {
                report.failed(&subject, &error);
                client.batch_execute("ROLLBACK")?;
                return Ok(());
            }
        };
        if !exists && let Some(ddl) = &target.ddl {
            report.ok(&subject, format!("{} creates it", ddl.file));
        }
        if first {
            properties(client, &subject, &table, report)?;
        }
        let plan = Plan::new(&target.wanted, &table);
        if exists && let Some(granted) = TablePrivileges::read(client, name, needed(&target.wanted))? {
            match &plan {
                Ok(plan) if granted.lacking.is_empty() => on_columns(client, &subject, plan, report)?,
                _ => privileges(&subject, name, &granted, report),
            }
        }
        client.batch_execute("ROLLBACK")?;
        match plan {
            Ok(plan) => {
                report.ok(&subject, described(&plan));
                if let Some(unlogged) = &table.unlogged {
                    report.warning(
                        &subject,
                        format!("{unlogged} is UNLOGGED: a crash of the server empties it, but not the positions"),
                        format!(
                            "ALTER TABLE {unlogged} SET LOGGED; after a crash, use offsets reset to write its records again"
                        ),
                    );
                }
            }
            Err(error) => report.error(&subject, error.to_string(), "correct this and run check again"),
        }
        Ok(())
    };
    if let Err(failure) = check() {
        report.error(&subject, failure.to_string(), "see the server's message");
        if let Err(error) = client.batch_execute("ROLLBACK") {
            report.error(&subject, Failure::from(error).to_string(), "see the server's log");
        }
    }
}

fn described(plan: &Plan) -> String {
    let mode = match plan.mode {
        Mode::Insert => "insert",
        Mode::InsertIgnore => "insert_ignore",
        Mode::Upsert => "upsert",
    };
    let columns = counted(plan.columns.len(), "column");
    match &plan.key {
        Some(key) => {
            let names: Vec<_> = plan.key_columns().map(|c| c.name.as_str()).collect();
            format!("{columns} can be written, {mode} by ({}) over index {}", names.join(", "), key.index)
        }
        None => format!("{columns} can be written, {mode} without a key"),
    }
}

/// Reports properties of a table that change the sink's guarantees or the rows.
fn properties(
    client: &mut Client,
    subject: &str,
    table: &Table,
    report: &mut Report,
) -> Result<(), postgres::Error> {
    match table.kind {
        'f' => report.warning(
            subject,
            "the table is a foreign table: rows are written at least once, not exactly once",
            "use a key, so that writing a row twice has no effect",
        ),
        'v' => report.warning(
            subject,
            "the table is a view: its INSTEAD OF triggers or rules write the rows",
            "make sure that they write the right rows",
        ),
        'm' => report.error(
            subject,
            "the table is a materialized view, which cannot be written to",
            "set sink.table to a table",
        ),
        _ => {}
    }
    let row = client.query_one(
        "SELECT ARRAY(SELECT tgname::text FROM pg_catalog.pg_trigger \
                      WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1), \
                ARRAY(SELECT rulename::text FROM pg_catalog.pg_rewrite \
                      WHERE ev_class = c.oid AND rulename <> '_RETURN' AND ev_enabled <> 'D' ORDER BY 1), \
                pg_catalog.row_security_active(c.oid) \
         FROM pg_catalog.pg_class c WHERE c.oid = $1",
        &[&table.oid],
    )?;
    let (triggers, rules): (Vec<String>, Vec<String>) = (row.get(0), row.get(1));
    if !triggers.is_empty() {
        let text = format!("has triggers: {}", triggers.join(", "));
        report.warning(
            subject,
            text,
            "they run for every row; rows that a trigger drops are counted as skipped",
        );
    }
    if !rules.is_empty() {
        let text = format!("has rules: {}", rules.join(", "));
        report.warning(
            subject,
            text,
            "rows are written by INSERT, which is slower than COPY, and the rows that rules write are not counted",
        );
    }
    if row.get(2) {
        report.warning(
            subject,
            "row-level security applies to this role",
            "a row that a policy refuses becomes a dead letter; ALTER ROLE … BYPASSRLS turns the policies off for the role",
        );
    }
    Ok(())
}
