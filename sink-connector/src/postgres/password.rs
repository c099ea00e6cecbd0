//! Where a password comes from. It is read again for each new connection, so that a rotation needs no restart.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::settings::{Secret, SecretCommandError, SecretFileError, run_secret_command, with_change};
use thiserror::Error;

use crate::config::Config;
use crate::postgres::parameters::{Address, Host, Parameters, passwords};

/// Why there is no password. It never shows one.
#[derive(Debug, Error)]
pub(crate) enum PasswordError {
    #[error("postgres.password_file: {0}")]
    File(#[from] SecretFileError),
    #[error("postgres.password_command: {0}")]
    Command(#[from] SecretCommandError),
    #[error("postgres.url: passfile={}: {source}", .path.display())]
    Passfile { path: PathBuf, source: io::Error },
}

#[derive(Clone, Debug)]
pub(crate) enum Password {
    None,
    /// In the connection string.
    Given(Secret),
    File(PathBuf),
    Command(Vec<String>, Duration),
    /// libpq's, with a line for each server.
    Passfile(PathBuf),
}

/// A password for one attempt.
#[derive(Default)]
pub(crate) struct Current {
    secret: Option<Secret>,
    passfile: Option<PathBuf>,
}

impl Password {
    pub(crate) fn new(config: &Config, parameters: &Parameters) -> Self {
        let postgres = &config.postgres;
        if let Some(command) = &postgres.password_command {
            Self::Command(command.clone(), postgres.password_command_timeout)
        } else if let Some(path) = &postgres.password_file {
            Self::File(path.clone())
        } else if let Some(password) = &parameters.password {
            Self::Given(password.clone())
        } else if let Some(path) = &parameters.passfile {
            Self::Passfile(path.clone())
        } else {
            Self::None
        }
    }

    /// Reads the file, or runs the command.
    pub(crate) fn current(&self) -> Result<Current, PasswordError> {
        let secret = match self {
            Self::None => None,
            Self::Passfile(path) => return Ok(Current { secret: None, passfile: Some(path.clone()) }),
            Self::Given(secret) => Some(secret.clone()),
            Self::File(path) => Some(Secret::read(path)?),
            Self::Command(command, timeout) => Some(run_secret_command(command, *timeout)?),
        };
        Ok(Current { secret, passfile: None })
    }

    /// Where the password of an attempt came from, for a message.
    pub(crate) fn source(&self, given: bool) -> String {
        match self {
            Self::Passfile(path) if !given => format!("no line of passfile {} is for it", with_change(path)),
            Self::None => "no password is given".to_owned(),
            Self::Given(_) => "the password is that of postgres.url".to_owned(),
            Self::File(path) => {
                format!("the password is that of postgres.password_file {}", with_change(path))
            }
            Self::Passfile(path) => format!("the password is that of passfile {}", with_change(path)),
            Self::Command(command, _) => {
                let program = command.first().map_or("", String::as_str);
                format!("the password is the output of postgres.password_command {program:?}")
            }
        }
    }
}

impl Current {
    /// The password for one server.
    pub(crate) fn of(&self, host: &Host, parameters: &Parameters) -> Result<Option<Secret>, PasswordError> {
        let Some(path) = &self.passfile else { return Ok(self.secret.clone()) };
        let name = match &host.address {
            Address::Socket(directory) if directory == Path::new("/var/run/postgresql") => {
                "localhost".to_owned()
            }
            Address::Socket(_) | Address::Tcp(..) => host.name(),
        };
        let user = parameters.user();
        let database = parameters.database.as_deref().unwrap_or(user);
        let found = passwords(path, [&name, &host.port.to_string(), database, user]);
        let found = found.map_err(|source| PasswordError::Passfile { path: path.clone(), source })?;
        Ok(found.map(Secret::new))
    }
}
