//! `postgres.url`: a libpq URL or `keyword=value` string, as typed parameters.

mod apply;
mod files;
mod names;
#[cfg(test)]
mod tests;
mod url;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::settings::{KeywordError, Secret, keyword_values, nearest};
use thiserror::Error;

pub(crate) use files::passwords;

/// Why a connection string is refused. No variant shows a value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Problem {
    #[error("has {0}")]
    Malformed(&'static str),
    #[error("is neither a URL (postgresql://…) nor keyword=value pairs: {0}")]
    Keywords(#[from] KeywordError),
    #[error("is a URL of JDBC: leave out jdbc:; currentSchema=s is options=-csearch_path%3Ds")]
    Jdbc,
    #[error("{name} is not supported: {reason}")]
    Refused { name: &'static str, reason: &'static str },
    #[error("{}", unknown(.name))]
    Unknown { name: String },
    /// The value is not shown: it may be a part of a password that is not percent-encoded.
    #[error("{name} must be {expected}")]
    Value { name: &'static str, expected: &'static str },
    #[error("{name}={value} is not one of {choices}")]
    Choice { name: &'static str, value: String, choices: &'static str },
    #[error("{0}")]
    Contradiction(&'static str),
    #[error("{name}={}: {reason}", .path.display())]
    File { name: &'static str, path: PathBuf, reason: String },
}

fn unknown(name: &str) -> String {
    if name == "currentSchema" {
        return "currentSchema is a parameter of JDBC: write options=-csearch_path%3D and the schema"
            .to_owned();
    }
    // Anything else may be a part of a password that is not percent-encoded.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return "has a parameter whose name no parameter of libpq has; write %26 for & and %3D for = in values".to_owned();
    }
    let meant = nearest(name, names::TAKEN.iter().copied());
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    format!("{name} is not a parameter of libpq{meant}")
}

/// A server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub address: Address,
    pub port: u16,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// The directory of its socket.
    Socket(PathBuf),
    /// Its name, which its certificate is verified for, and its address if that is given.
    Tcp(String, Option<IpAddr>),
}

/// `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Allow,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Which certificate authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Roots {
    /// None: the certificate of the server is not verified.
    #[default]
    Unverified,
    /// Those of the system.
    System,
    /// Those of a file, and no others.
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

/// The parameters of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ssl {
    pub mode: SslMode,
    pub roots: Roots,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub key_password: Option<Secret>,
    pub server_name: bool,
    /// TLS without PostgreSQL's own negotiation before it.
    pub direct: bool,
    pub versions: (TlsVersion, Option<TlsVersion>),
}

/// `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SessionAttributes {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    Require,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keepalives {
    pub off: bool,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub count: Option<u32>,
}

/// What the connection string says. Debug shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub hosts: Vec<Host>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub passfile: Option<PathBuf>,
    pub database: Option<String>,
    pub options: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub tcp_user_timeout: Option<Duration>,
    pub keepalives: Keepalives,
    pub ssl: Ssl,
    pub session: SessionAttributes,
    pub channel_binding: ChannelBinding,
    pub random_host: bool,
}

impl Parameters {
    /// Reads a connection string, or returns everything that is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let pairs = match url::after_scheme(text) {
            Some(rest) => url::parameters(rest),
            None if text.trim_start().starts_with("jdbc:") => Err(Problem::Jdbc),
            None => keyword_values(text).map_err(Problem::from),
        };
        apply::parameters(pairs.map_err(|problem| vec![problem])?)
    }

    /// The problems of the files that it names.
    pub(crate) fn unusable_files(&self) -> Vec<Problem> {
        files::unusable(self)
    }

    /// The user that logs in, if it is given.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }
}

impl Host {
    /// Its name in messages and in a password file.
    pub(crate) fn name(&self) -> String {
        match &self.address {
            Address::Socket(directory) => directory.display().to_string(),
            Address::Tcp(name, _) => name.clone(),
        }
    }
}

impl Roots {
    /// `sslrootcert`, as it was given.
    pub(crate) fn given(&self) -> Option<&Path> {
        match self {
            Self::Unverified => None,
            Self::System => Some(Path::new("system")),
            Self::File(path) => Some(path),
        }
    }
}

impl SslMode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}
