//! PostgreSQL: the server, the sink's own tables, and each target table with its columns, keys and privileges.

use std::collections::{BTreeSet, HashMap};

use postgres::Client;

use super::finding::Report;
use super::privileges::{may_create, missing_privileges, needed, own_table, privileges};
use super::rehearsal::{prepare, table_of};
use crate::catalog::Table;
use crate::commands::postgres as connect;
use crate::config::{Config, DeadLetters};
use crate::failure::Failure;
use crate::plan::{Mode, Plan};
use crate::plans::Target;
use crate::session::{Connections, backend, exists};
use crate::sql::{TableName, ident};

/// Looks at everything; returns the topics whose table a rehearsal can write.
pub fn look(
    config: &Config,
    targets: &HashMap<String, Target>,
    connections: &Connections,
    client: &mut Client,
    report: &mut Report,
) -> BTreeSet<String> {
    let mut usable = BTreeSet::new();
    if let Err(error) = server(config, connections, client, report) {
        report.error("postgres", Failure::from(error).to_string(), "see the server's log");
        return usable;
    }
    let wanted = &["SELECT", "INSERT", "UPDATE"];
    let mut own = vec![("offsets table", &config.offsets.table)];
    if config.errors.dead_letters == DeadLetters::Table {
        own.push(("dead letter table", &config.errors.dead_letter_table));
    }
    let mut own_well = true;
    for (subject, table) in own {
        let name = TableName::parse(table);
        match own_table(client, subject, &name, wanted, report) {
            Ok(well) => own_well &= well,
            Err(error) => {
                own_well = false;
                report.error(subject, format!("{name}: {}", Failure::from(error)), "see the message");
            }
        }
    }
    let mut topics: Vec<&String> = targets.keys().collect();
    topics.sort_unstable();
    let mut looked: HashMap<TableName, bool> = HashMap::new();
    for topic in topics {
        let target = &targets[topic];
        let table = &target.wanted.table;
        // Two topics may share a table and still want different things of it.
        let before = report.errors();
        let first = !looked.contains_key(table);
        target_table(client, target, first, report);
        let well = report.errors() == before;
        looked.insert(table.clone(), well);
        if well && own_well {
            usable.insert(topic.clone());
        }
    }
    usable
}

fn server(
    config: &Config,
    connections: &Connections,
    client: &mut Client,
    report: &mut Report,
) -> Result<(), postgres::Error> {
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
            "the server is a standby: it takes no writes",
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
            format!("role {role} has no TEMP privilege: rows that exist are changed by slower statements"),
            format!("GRANT TEMPORARY ON DATABASE {} TO {}", ident(&database), ident(&role)),
        );
    }
    // Two sessions that are open at once and have one backend: somebody between hands it out by transaction.
    if let Ok(mut other) = connect::open(connections, config)
        && backend(&mut other)? == backend(client)?
    {
        report.error(
            "postgres",
            "a pooler hands out connections by transaction (pgbouncer's pool_mode = transaction)",
            "connect to the server itself, or set pool_mode = session for this database",
        );
    }
    Ok(())
}

/// One target table. What the table itself is, whoever writes to it, is said for the `first` topic only.
fn target_table(client: &mut Client, target: &Target, first: bool, report: &mut Report) {
    let name = &target.wanted.table;
    let subject = format!("table {name}");
    let mut look = || -> Result<(), Failure> {
        let there = exists(client, &name.sql())?;
        if !there && target.ddl.is_some() && !may_create(client, &subject, name, report)? {
            return Ok(());
        }
        // Made, if it is missing, in a transaction that ends without it.
        client.batch_execute(crate::writer::transaction::BEGIN)?;
        let table = prepare(client, target).and_then(|()| table_of(client, target));
        let table = match table {
            Ok(table) => table,
            Err(trouble) => {
                report.trouble(&subject, &trouble);
                client.batch_execute("ROLLBACK")?;
                return Ok(());
            }
        };
        if !there && let Some(ddl) = &target.ddl {
            report.ok(&subject, format!("{} makes it", ddl.origin));
        }
        if first {
            properties(client, &subject, &table, report)?;
        }
        if there {
            let missing = missing_privileges(client, name, needed(&target.wanted))?;
            privileges(client, &subject, name, &missing, report)?;
        }
        client.batch_execute("ROLLBACK")?;
        match Plan::new(&target.wanted, &table) {
            Ok(plan) => {
                report.ok(&subject, described(&plan));
                if table.unlogged {
                    report.warning(
                        &subject,
                        "it is UNLOGGED: a crash of the server empties it, but not the positions",
                        format!(
                            "ALTER TABLE {} SET LOGGED; after a crash, offsets reset reads everything again",
                            name.sql()
                        ),
                    );
                }
            }
            Err(error) => report.error(&subject, error.to_string(), "then run check again"),
        }
        Ok(())
    };
    if let Err(failure) = look() {
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
    let columns = plan.columns.len();
    match &plan.key {
        Some(key) => {
            let names: Vec<_> = plan.key_columns().map(|c| c.name.as_str()).collect();
            format!(
                "{columns} columns can be written, {mode} by ({}) over index {}",
                names.join(", "),
                key.index
            )
        }
        None => format!("{columns} columns can be written, {mode} without a key"),
    }
}

/// What of a table changes what the sink promises, or how rows end up.
fn properties(
    client: &mut Client,
    subject: &str,
    table: &Table,
    report: &mut Report,
) -> Result<(), postgres::Error> {
    match table.kind {
        'f' => report.warning(
            subject,
            "it is a foreign table: rows are written at least once, not exactly once",
            "make a key, so that a row that comes twice changes nothing",
        ),
        'v' => report.warning(
            subject,
            "it is a view: rows go through its INSTEAD OF triggers or rules",
            "see that they write what they should",
        ),
        'm' => report.error(subject, "it is a materialized view, which takes no rows", "name a table"),
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
            "they run for every row; one that refuses rows silently is counted as skipped",
        );
    }
    if !rules.is_empty() {
        let text = format!("has rules: {}", rules.join(", "));
        report.warning(
            subject,
            text,
            "rows are written by INSERT, which is slower than COPY, and what rules make of them is not counted",
        );
    }
    if row.get(2) {
        report.warning(
            subject,
            "row-level security applies to this role",
            "a row that its policies refuse becomes a dead letter; ALTER ROLE … BYPASSRLS passes them by",
        );
    }
    Ok(())
}
