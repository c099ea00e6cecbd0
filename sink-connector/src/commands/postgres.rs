//! PostgreSQL connections of the commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::Client;

use crate::commands::kafka::CommandError;
use crate::config::Config;
use crate::postgres::connect::Connector;
use crate::postgres::failure::Failure;
use crate::postgres::locks;
use crate::postgres::session::{Connection, Connections};
use crate::postgres::sql::TableName;
use crate::postgres::sqlstate::Class;
use crate::table::grants;

/// How long a command tries to connect: long enough for one slow handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The `application_name` of the sessions. Not that of a sink: a sink terminates older sessions of its own name that
/// block it.
pub(super) const APPLICATION: &str = "kafka-sink-operator";

/// A pool that has not connected yet.
///
/// # Errors
/// If a certificate or a key cannot be used.
pub(super) fn pool(config: &Config) -> anyhow::Result<Connections> {
    Ok(Connections::new(&Arc::new(Connector::new(config, APPLICATION)?), 2))
}

pub(super) fn open(connections: &Connections, config: &Config) -> Result<Connection, CommandError> {
    let started = Instant::now();
    let timeout = match &config.postgres.password_command {
        Some(_) => CONNECT_TIMEOUT + config.postgres.password_command_timeout,
        None => CONNECT_TIMEOUT,
    };
    loop {
        match connections.open() {
            Ok(connection) => return Ok(connection),
            Err(failure) => {
                // Otherwise the pool has no outcome yet.
                let answered = failure.connection_lost || failure.class == Class::Configuration;
                if answered || started.elapsed() > timeout {
                    return Err(cannot_connect(&failure, config));
                }
            }
        }
    }
}

fn cannot_connect(failure: &Failure, config: &Config) -> CommandError {
    let action = match failure.sqlstate.as_deref() {
        Some(code) if code.starts_with("28") => {
            "correct the user in postgres.url and its password there, in postgres.password_file or in \
             postgres.password_command, or pg_hba.conf"
        }
        Some("3D000") => "create the database, or correct its name in postgres.url",
        Some(_) if failure.class == Class::Transient => "try again when the server accepts connections",
        Some(_) => "see the server's log",
        None if failure.class == Class::Configuration => {
            "correct the parameters, the files or the command that it names"
        }
        None => "correct host and port in postgres.url, or start the server; sslmode matters too",
    };
    CommandError::new(format!("cannot connect to {}: {failure}", config.postgres.redacted_url()), action)
}

/// The error for a table that a command cannot use: the key that names it, and the privileges that the command needs.
pub(super) fn unusable(
    client: &mut Client,
    table: &TableName,
    key: &str,
    wanted: &[&str],
    failure: &Failure,
) -> CommandError {
    let action = if failure.lock_timeout() {
        "end the session that has locked it (pg_locks has its pid), or run this again later".to_owned()
    } else if failure.permission_denied() || failure.no_schema() {
        match grants::missing_on_own(client, table, wanted) {
            Ok(Some(grant)) => grant,
            Ok(None) => format!("GRANT {} on it to the role, or correct {key}", wanted.join(", ")),
            Err(error) => format!("see the server's message ({})", Failure::from(error)),
        }
    } else {
        "see the server's message".to_owned()
    };
    CommandError::new(format!("cannot use {table}: {failure}"), action)
}

/// The same for a command that was only reading it, and that can have waited only for a lock on the whole table.
pub(super) fn unreadable(
    client: &mut Client,
    table: &TableName,
    key: &str,
    wanted: &[&str],
    error: postgres::Error,
) -> CommandError {
    let failure = locks::name_holder(client, &[&table.sql()], error.into());
    unusable(client, table, key, wanted, &failure)
}
