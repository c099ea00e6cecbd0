//! PostgreSQL: sessions, TLS, quoting, and the classification of errors.

pub(crate) mod connect;
pub(crate) mod contained;
pub(crate) mod failure;
pub(crate) mod handshake;
pub(crate) mod locks;
pub(crate) mod own_table;
pub(crate) mod parameters;
mod password;
pub(crate) mod redact;
mod redact_functions;
pub(crate) mod rules;
pub(crate) mod schema_grants;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod sql;
pub(crate) mod sqlstate;
pub(crate) mod tls;
