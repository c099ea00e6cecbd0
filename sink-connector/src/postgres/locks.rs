//! Who has the lock that a session waits for, or has waited for.

use std::time::SystemTime;

use postgres::{Client, Row};
use shared::time;

use crate::postgres::failure::Failure;

/// A backend that waits for a lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LockWait {
    pub waiting: i32,
    /// What it waits for, and who has it.
    pub text: String,
}

/// Which of these backends wait for a lock, for which, and which other session has it: the one whose transaction is the oldest.
pub(crate) fn lock_waits(client: &mut Client, backends: &[i32]) -> Result<Vec<LockWait>, postgres::Error> {
    // Who waits for a row waits for its transaction, and has a lock on the row: that one names the table.
    let rows = client.query(
        "SELECT me.pid, locked.name, owner.pid, owner.application_name, owner.usename::text, owner.xact_start \
         FROM pg_catalog.pg_stat_activity me \
         CROSS JOIN LATERAL (SELECT b.pid, o.application_name, o.usename, o.xact_start \
           FROM unnest(pg_catalog.pg_blocking_pids(me.pid)) b(pid) \
           LEFT JOIN pg_catalog.pg_stat_activity o ON o.pid = b.pid \
           ORDER BY o.xact_start NULLS LAST, b.pid LIMIT 1) owner \
         LEFT JOIN LATERAL (SELECT l.relation::pg_catalog.regclass::text AS name FROM pg_catalog.pg_locks l \
           WHERE l.pid = me.pid AND l.relation IS NOT NULL AND (NOT l.granted OR l.locktype = 'tuple') \
           ORDER BY l.granted LIMIT 1) locked ON true \
         WHERE me.pid = ANY ($1::int[]) AND me.wait_event_type = 'Lock'",
        &[&backends],
    )?;
    let wait = |row: &Row| LockWait { waiting: row.get(0), text: text(row) };
    Ok(rows.iter().map(wait).collect())
}

/// Which other session has a lock on one of these tables (quoted) that keeps others from reading or writing it: the one whose
/// transaction is the oldest. For a session that has waited in vain and that nobody watched.
pub(crate) fn lock_holder(client: &mut Client, tables: &[&str]) -> Result<Option<String>, postgres::Error> {
    let row = client.query_opt(
        "SELECT NULL::int, l.relation::pg_catalog.regclass::text, l.pid, o.application_name, o.usename::text, o.xact_start \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity o ON o.pid = l.pid \
         WHERE l.granted AND l.pid <> pg_catalog.pg_backend_pid() \
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) \
           AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') \
           AND l.relation IN (SELECT pg_catalog.to_regclass(n) FROM unnest($1::text[]) n) \
         ORDER BY o.xact_start NULLS LAST, l.pid LIMIT 1",
        &[&tables],
    )?;
    Ok(row.as_ref().map(text))
}

/// Adds the session that has locked one of these tables (quoted) to a failure for want of the lock.
pub(crate) fn name_holder(client: &mut Client, tables: &[&str], mut failure: Failure) -> Failure {
    if failure.lock_timeout() {
        match lock_holder(client, tables) {
            Ok(Some(lock)) => failure.message = format!("{}: {lock}", failure.message),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "cannot look for who has the lock"),
        }
    }
    failure
}

/// The columns from the second on: the table, the process that has locked it, its application and role, and since when its
/// transaction has been open.
fn text(row: &Row) -> String {
    let table = row.get::<_, Option<String>>(1);
    let table = table.map_or_else(|| "a row".to_owned(), |table| format!("table {table}"));
    let application = row.get::<_, Option<String>>(3).filter(|application| !application.is_empty());
    let role = row.get::<_, Option<String>>(4);
    let since = row.get::<_, Option<SystemTime>>(5);
    let session: Vec<String> = [
        application.map(|application| format!("application {application:?}")),
        role.map(|role| format!("role {role:?}")),
        since.map(|since| format!("transaction open since {}", time::text(since))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let session = if session.is_empty() { String::new() } else { format!(" ({})", session.join(", ")) };
    format!("{table} is locked by process {}{session}", row.get::<_, i32>(2))
}
