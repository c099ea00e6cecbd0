//! PostgreSQL as the operator's commands see it.

use std::time::{Duration, Instant};

use crate::commands::kafka::Trouble;
use crate::config::Config;
use crate::failure::Failure;
use crate::session::{Connection, Connections};
use crate::sqlstate::Class;

/// How long a command tries to connect: once, with time for a slow handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// The sessions' name. Not a sink's: sinks end older sessions of their own name that stand in their way.
const APPLICATION: &str = "kafka-sink-operator";

/// A pool that has not connected yet.
///
/// # Errors
/// What of the URL libpq would refuse.
pub fn pool(config: &Config) -> anyhow::Result<Connections> {
    let (mut postgres, tls) = crate::run::postgres_config(config)?;
    postgres.application_name(APPLICATION);
    Ok(Connections::new(&postgres, tls, 2))
}

/// A connection, or why there is none and what to do.
pub fn open(connections: &Connections, config: &Config) -> Result<Connection, Trouble> {
    let started = Instant::now();
    loop {
        match connections.open() {
            Ok(connection) => return Ok(connection),
            Err(failure) => {
                // Without a code, the pool may just not have heard from the server yet.
                let answered = failure.sqlstate.is_some() || failure.message.contains("error connecting");
                if answered || started.elapsed() > PATIENCE {
                    return Err(cannot_connect(&failure, config));
                }
            }
        }
    }
}

fn cannot_connect(failure: &Failure, config: &Config) -> Trouble {
    let action = match failure.sqlstate.as_deref() {
        Some(code) if code.starts_with("28") => {
            "correct the user in postgres.url and its password there or in postgres.password_file, or pg_hba.conf"
        }
        Some("3D000") => "create the database, or correct its name in postgres.url",
        Some(_) if failure.class == Class::Transient => "try again when the server takes connections",
        Some(_) => "see the server's log",
        None => "correct host and port in postgres.url, or start the server; sslmode matters too",
    };
    Trouble::new(format!("cannot connect to {}: {failure}", config.postgres.redacted_url()), action)
}
