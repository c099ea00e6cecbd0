//! What every session sets, so that a row depends on the record alone and not on what is set for the role or the database.

use std::time::Duration;

use crate::postgres::sql::literal;

/// How long a session waits for a lock before it gives the transaction up and tries again. The user may say
/// otherwise in the URL's `options`.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings and their values. Not here, because only the operator can know what is meant: `search_path` (which table),
/// `lc_monetary` (in which unit `money` is stored), `session_replication_role` (only a superuser can set it back), what is
/// read-only, and limits of time and resources.
const PINNED: &[(&str, &str)] = &[
    // What statements find and do.
    ("row_security", "on"),
    ("gin_fuzzy_search_limit", "0"),
    ("exit_on_error", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("client_min_messages", "warning"),
    // A server that loses its client notices within a minute.
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "60000"),
];

/// The same for those that decide what a value is.
const PINNED_FOR_VALUES: &[(&str, &str)] = &[
    // How text is read.
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("timezone_abbreviations", "Default"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("array_nulls", "on"),
    ("xmloption", "content"),
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("transform_null_equals", "off"),
    // How values are compared and shown as text, inside statements and in triggers.
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    ("quote_all_identifiers", "off"),
];

/// What the operator has set, and what functions of a table may change: which table is written by whom, and what is read how.
/// The role comes first: it may have to be there for the others.
const KEPT: &[&str] = &["role", "search_path", "lc_monetary", "session_replication_role"];
/// The same, between transactions only: inside one, the sink has limits of its own.
const KEPT_LIMITS: &[&str] = &[
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "default_transaction_read_only",
    "synchronous_commit",
];

/// Begins the session again, whatever was done in it. Outside a transaction.
pub(crate) fn restart() -> String {
    format!("RESET ROLE; RESET ALL; {}", statements())
}

/// Undoes what functions of a table have done to the settings that decide which rows are written where and how values are read.
/// Returns one number: how many were changed.
pub(crate) fn restore() -> String {
    format!("SELECT {}", restored(KEPT))
}

/// Undoes what functions of a table have done to the session, as far as a later transaction would suffer from it. Outside a
/// transaction. Returns whether the saved values are lost, so that the session is to be begun again.
pub(crate) fn restore_between() -> String {
    let kept = [KEPT, KEPT_LIMITS].concat();
    format!(
        "SELECT {} IS NULL, pg_catalog.pg_advisory_unlock_all()::text, {}",
        saved_value("search_path"),
        restored(&kept)
    )
}

fn restored(kept: &[&str]) -> String {
    let kept = kept.iter().map(|name| format!("({}, {})", literal(name), saved_value(name)));
    let pinned =
        PINNED_FOR_VALUES.iter().map(|(name, value)| format!("({}, {})", literal(name), literal(value)));
    let values: Vec<String> = kept.chain(pinned).collect();
    // Without the privilege to set it, this one cannot be set back.
    format!(
        "(SELECT pg_catalog.count(CASE WHEN pg_catalog.current_setting(s.name) <> s.value \
           AND (s.name <> 'session_replication_role' OR pg_catalog.current_setting('is_superuser') = 'on') \
         THEN pg_catalog.set_config(s.name, s.value, false) END) FROM (VALUES {}) s(name, value))",
        values.join(", ")
    )
}

/// The name under which the session keeps the value that a setting has at its beginning.
fn saved(name: &str) -> String {
    literal(&format!("kafka_sink_session.{name}"))
}

/// The value that a setting had at the beginning of the session; NULL after a RESET ALL, which leaves an empty text.
fn saved_value(name: &str) -> String {
    format!("nullif(pg_catalog.current_setting({}, true), '')", saved(name))
}

/// The statements that a session begins with, for one round trip.
pub fn statements() -> String {
    let pinned = PINNED.iter().chain(PINNED_FOR_VALUES);
    let mut sql: String = pinned.map(|(name, value)| format!("SET {name} = {}; ", literal(value))).collect();
    // The temporary tables of the sink come last: a table of the user that has the name of one of them is found first.
    sql.push_str(&format!(
        "SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', \
           nullif(pg_catalog.current_setting('search_path'), ''), 'pg_temp'), false); \
         SELECT pg_catalog.set_config('lock_timeout', '{}', false) \
         WHERE pg_catalog.current_setting('lock_timeout') = '0'; SELECT ",
        LOCK_TIMEOUT.as_millis()
    ));
    let keep = |name: &&str| {
        format!(
            "pg_catalog.set_config({}, pg_catalog.current_setting({}), false)",
            saved(name),
            literal(name)
        )
    };
    let kept: Vec<String> = KEPT.iter().chain(KEPT_LIMITS).map(keep).collect();
    sql.push_str(&kept.join(", "));
    sql
}
