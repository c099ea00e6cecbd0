//! The time that statements of one transaction may take and may wait for locks: below the session's limits for a while.

use std::time::Duration;

/// Keeps the limits of the session, to be restored.
pub(super) const KEEP: &str = "SELECT \
     pg_catalog.set_config('kafka_sink.statement_timeout', pg_catalog.current_setting('statement_timeout'), true), \
     pg_catalog.set_config('kafka_sink.lock_timeout', pg_catalog.current_setting('lock_timeout'), true)";

/// Restores them.
pub(super) const RESTORE: &str = "SELECT \
     pg_catalog.set_config('statement_timeout', pg_catalog.current_setting('kafka_sink.statement_timeout'), true), \
     pg_catalog.set_config('lock_timeout', pg_catalog.current_setting('kafka_sink.lock_timeout'), true)";

/// The statement that limits each statement after it, and each of its waits for a lock. Shorter limits stay.
pub(super) fn limit(lock: Duration, statement: Duration) -> String {
    format!("SELECT {}, {}", least("lock_timeout", lock), least("statement_timeout", statement))
}

/// The statement that limits each wait for a lock after it. A shorter limit stays.
pub(super) fn limit_waits(lock: Duration) -> String {
    format!("SELECT {}", least("lock_timeout", lock))
}

fn least(name: &str, limit: Duration) -> String {
    format!(
        "pg_catalog.set_config('{name}', least({}, (SELECT nullif(setting::int8, 0) FROM pg_catalog.pg_settings \
         WHERE name = '{name}'))::text, true)",
        limit.as_millis().max(1)
    )
}

/// The statement that limits waits for locks until the transaction ends; without `local`, until the session does.
pub(super) fn limit_locks(local: bool, lock: Duration) -> String {
    let scope = if local { "LOCAL " } else { "" };
    format!("SET {scope}lock_timeout = {}", lock.as_millis().max(1))
}
