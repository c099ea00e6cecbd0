//! libpq's parameters: which are taken, and why the others are not.
//!
//! Source: PostgreSQL's documentation, "Parameter Key Words".

/// Other names of parameters that are taken.
pub(super) const ALIASES: &[(&str, &str)] = &[("keepalives_retries", "keepalives_count")];

/// The parameters that are taken. `application_name` has no effect: the sink's sessions have its own.
pub(super) const TAKEN: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "options",
    "passfile",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslsni",
    "sslnegotiation",
    "sslcompression",
    "sslcertmode",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "gssencmode",
    "channel_binding",
    "client_encoding",
    "application_name",
    "fallback_application_name",
    "target_session_attrs",
    "load_balance_hosts",
];

const GSS: &str = "Kerberos for PostgreSQL is not in this client";
const PROTOCOL: &str = "the client speaks version 3.0 of the protocol";
const CRL: &str = "revocation lists are not read; remove the server's certificate from sslrootcert instead";
const SERVICE: &str = "service files are not read; write their parameters here";
const OAUTH: &str = "PostgreSQL's OAuth is not in this client; postgres.password_command can print a token";
const SCRAM_KEY: &str = "give the password instead";

/// The parameters that are refused, and why.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("service", SERVICE),
    ("servicefile", SERVICE),
    ("sslcrl", CRL),
    ("sslcrldir", CRL),
    ("sslkeylogfile", "it would write the keys of the sessions to a file"),
    ("requiressl", "obsolete; use sslmode=require"),
    ("requirepeer", "the owner of the server's socket is not checked"),
    (
        "require_auth",
        "the server chooses the method; use sslmode=verify-full, and channel_binding=require for SCRAM",
    ),
    ("krbsrvname", GSS),
    ("gsslib", GSS),
    ("gssdelegation", GSS),
    ("replication", "the sink writes rows, which a replication session cannot"),
    ("min_protocol_version", PROTOCOL),
    ("max_protocol_version", PROTOCOL),
    ("scram_client_key", SCRAM_KEY),
    ("scram_server_key", SCRAM_KEY),
    ("oauth_issuer", OAUTH),
    ("oauth_client_id", OAUTH),
    ("oauth_client_secret", OAUTH),
    ("oauth_scope", OAUTH),
    ("authtype", "obsolete, and without effect in libpq"),
    ("tty", "obsolete, and without effect in libpq"),
];
