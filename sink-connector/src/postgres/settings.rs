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

/// Undoes whatever the functions of a table have done to the session: settings of any kind, its role, its locks. Outside a
/// transaction.
pub(crate) fn restore_session() -> String {
    format!("SELECT pg_catalog.pg_advisory_unlock_all(); RESET ROLE; RESET ALL; {}", statements())
}

/// Undoes what functions have done to the settings that decide how text is read, inside a transaction. Returns how many of
/// them were changed.
pub(crate) fn restore_reading() -> String {
    let pinned: Vec<String> =
        PINNED.iter().map(|(name, value)| format!("({}, {})", literal(name), literal(value))).collect();
    format!(
        "SELECT pg_catalog.count(CASE WHEN pg_catalog.current_setting(p.name) <> p.value \
         THEN pg_catalog.set_config(p.name, p.value, false) END) FROM (VALUES {}) p(name, value)",
        pinned.join(", ")
    )
}

/// Undoes what a trigger has done with SET LOCAL to the role and to the search path, by which unqualified names are found.
pub(crate) const RESTORE_NAMES: &str = "RESET ROLE; SELECT pg_catalog.set_config('search_path', \
     coalesce(pg_catalog.current_setting('kafka_sink.search_path', true), pg_catalog.current_setting('search_path')), true)";

/// The statements that a session begins with, for one round trip.
pub fn statements() -> String {
    let mut sql: String =
        PINNED.iter().map(|(name, value)| format!("SET {name} = {}; ", literal(value))).collect();
    // The temporary tables of the sink come last: a table of the user that has the name of one of them is found first.
    sql.push_str(&format!(
        "SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', \
           nullif(pg_catalog.current_setting('search_path'), ''), 'pg_temp'), false); \
         SELECT pg_catalog.set_config('kafka_sink.search_path', pg_catalog.current_setting('search_path'), false); \
         SELECT pg_catalog.set_config('lock_timeout', '{}', false) \
         WHERE pg_catalog.current_setting('lock_timeout') = '0'",
        LOCK_TIMEOUT.as_millis()
    ));
    sql
}
