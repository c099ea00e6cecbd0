//! Connecting under one deadline: TCP, TLS, authentication and session settings together.
//!
//! `connect_timeout` of the client library covers TCP only: a server or proxy that accepts a connection and never answers
//! would block the thread for ever. The library does not expose its socket. So this module finds the sockets that an
//! attempt opened in `/proc/self/fd`, and shuts them down at the deadline. Attempts run one at a time, so that their
//! sockets cannot be mixed up.

use std::collections::HashMap;
use std::error::Error as _;
use std::fs;
use std::io;
use std::iter::once;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};
use parking_lot::Mutex;
use postgres::Client;
use postgres::config::Host;
use postgres_openssl::MakeTlsConnector;
use thiserror::Error;

use crate::postgres::contained::{ContainedPanic, contain};
use crate::postgres::parameters::{Problem, SessionAttributes};
use crate::postgres::password::PasswordError;
use crate::postgres::tls::TlsError;

/// The time for each host if the URL has no `connect_timeout`.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often new sockets (of the next host in the URL) are shut down after the deadline, until the attempt ends.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Held during an attempt.
static ATTEMPT: Mutex<()> = Mutex::new(());

#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("{}", with_cause(.0))]
    Client(#[from] postgres::Error),
    /// No connection, or one that ended without a reason from the server.
    #[error("{server}: {}", with_cause(.error))]
    Unreachable { server: String, error: postgres::Error },
    /// This server refuses the session, with a reason.
    #[error("{server}: {}", with_cause(.error))]
    Refused { server: String, error: postgres::Error },
    /// The server refuses the password: where that came from.
    #[error("{server}: {}; {source_of_password}", with_cause(.error))]
    Login { server: String, error: postgres::Error, source_of_password: String },
    /// One side does not accept the certificate of the other.
    #[error("{0}")]
    Certificate(String),
    #[error(transparent)]
    Tls(TlsError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("{host}: the name cannot be resolved: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("{0}: the name has no address")]
    NoAddress(String),
    #[error("{server} {problem}, which target_session_attrs does not allow")]
    Session { server: String, problem: &'static str },
    #[error("postgres.url: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Parameters(Vec<Problem>),
    #[error("{server}: PostgreSQL did not answer within {} ms while connecting", .deadline.as_millis())]
    NoAnswer { server: String, deadline: Duration },
    /// All hosts failed. What the operator has to correct is not hidden by a host that does not answer.
    #[error("{}", texts(.worst, .others))]
    Hosts { worst: Box<Self>, others: Vec<Self> },
    /// The process or its user has too many threads, or too little memory.
    #[error("cannot start a thread for the connection: {0}")]
    Thread(io::Error),
    /// The client library panics if the process has no file descriptor left for its runtime.
    #[error("cannot open a connection; has the process reached its limit of open files (ulimit -n)? {0}")]
    Panicked(#[from] ContainedPanic),
}

/// What each host failed with, once.
fn texts(worst: &ConnectError, others: &[ConnectError]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in once(worst).chain(others).map(ToString::to_string) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join("; ")
}

fn with_cause(error: &postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

impl ConnectError {
    /// Whether the same attempt fails until the operator corrects something.
    pub(crate) fn is_the_operators(&self) -> bool {
        match self {
            Self::Login { .. }
            | Self::Certificate(_)
            | Self::Tls(_)
            | Self::Password(_)
            | Self::Parameters(_)
            | Self::Refused { .. } => true,
            Self::Client(error) => error.as_db_error().is_some(),
            Self::Hosts { worst, .. } => worst.is_the_operators(),
            _ => false,
        }
    }
}

/// Opens a session at one address and runs `settings` in it, in `connect_timeout` at most.
pub(crate) fn connect(
    config: &postgres::Config,
    tls: &MakeTlsConnector,
    settings: &str,
    wanted: SessionAttributes,
) -> Result<Client, ConnectError> {
    let deadline = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    let (client, problem) = within(deadline, config, || {
        let mut client = config.connect(tls.clone())?;
        let problem = unwanted(&mut client, wanted)?;
        if problem.is_none() {
            client.batch_execute(settings)?;
        }
        Ok((client, problem))
    })?;
    match problem {
        None => Ok(client),
        Some(problem) => Err(ConnectError::Session { server: server(config), problem }),
    }
}

/// The server of a client's only host, for people: name, port and the address that the name has.
pub(crate) fn server(config: &postgres::Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), Some(address)) if *name != address.to_string() => {
            format!("{name}:{port} ({address})")
        }
        (Some(Host::Tcp(name)), _) if name.contains(':') => format!("[{name}]:{port}"),
        (Some(Host::Tcp(name)), _) => format!("{name}:{port}"),
        (Some(Host::Unix(folder)), _) => folder.join(format!(".s.PGSQL.{port}")).display().to_string(),
        (None, _) => "PostgreSQL".to_owned(),
    }
}

/// Why a session is not the wanted one. The conditions are libpq's.
fn unwanted(client: &mut Client, wanted: SessionAttributes) -> Result<Option<&'static str>, postgres::Error> {
    if wanted == SessionAttributes::Any {
        return Ok(None);
    }
    let sql =
        "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on'";
    let row = client.query_one(sql, &[])?;
    let (standby, read_only): (bool, bool) = (row.get(0), row.get(1));
    Ok(match wanted {
        SessionAttributes::ReadWrite if standby || read_only => Some("is read-only"),
        SessionAttributes::ReadOnly if !standby && !read_only => Some("is not read-only"),
        SessionAttributes::Primary if standby => Some("is a standby"),
        SessionAttributes::Standby if !standby => Some("is not a standby"),
        _ => None,
    })
}

fn within<T>(
    deadline: Duration,
    config: &postgres::Config,
    attempt: impl FnOnce() -> Result<T, postgres::Error>,
) -> Result<T, ConnectError> {
    let _one_at_a_time = ATTEMPT.lock();
    let before = sockets();
    let (done, ended) = bounded::<()>(0);
    thread::scope(|scope| {
        let watch = thread::Builder::new().name("connect".to_owned()).spawn_scoped(scope, move || {
            let mut wait = deadline;
            let mut expired = false;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                expired = true;
                if let Ok(before) = &before {
                    shut_down_new(before, config);
                }
                wait = LOOK_AGAIN;
            }
            expired
        });
        let watch = watch.map_err(ConnectError::Thread)?;
        let outcome = contain(attempt);
        drop(done);
        let expired = watch.join().unwrap_or_default();
        outcome?.map_err(|error| {
            if expired && error.as_db_error().is_none() {
                ConnectError::NoAnswer { server: server(config), deadline }
            } else {
                error.into()
            }
        })
    })
}

/// The sockets of this process: descriptor and inode.
fn sockets() -> io::Result<HashMap<RawFd, PathBuf>> {
    let socket = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        let descriptor = entry.file_name().to_str()?.parse().ok()?;
        target.to_string_lossy().starts_with("socket:").then_some((descriptor, target))
    };
    Ok(fs::read_dir("/proc/self/fd")?.filter_map(|entry| socket(entry.ok()?)).collect())
}

/// Shuts down the connections to PostgreSQL that are not in `before`.
fn shut_down_new(before: &HashMap<RawFd, PathBuf>, config: &postgres::Config) {
    let now = sockets().inspect_err(|error| tracing::debug!(%error, "cannot list the open sockets"));
    for (descriptor, inode) in now.unwrap_or_default() {
        if before.get(&descriptor) != Some(&inode)
            && leads_to_postgres(descriptor, config)
            && let Err(error) = shutdown(descriptor, Shutdown::Both)
        {
            tracing::debug!(%error, "a connection attempt has ended by itself");
        }
    }
}

fn leads_to_postgres(descriptor: RawFd, config: &postgres::Config) -> bool {
    let Ok(peer) = getpeername::<SockaddrStorage>(descriptor) else { return false };
    let port = peer
        .as_sockaddr_in()
        .map(nix::sys::socket::SockaddrIn::port)
        .or_else(|| peer.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port));
    if let Some(port) = port {
        let ports = config.get_ports();
        return ports.contains(&port) || ports.is_empty() && port == 5432;
    }
    let Some(path) = peer.as_unix_addr().and_then(|address| address.path()) else { return false };
    config.get_hosts().iter().any(|host| matches!(host, Host::Unix(folder) if path.starts_with(folder)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;
    use crate::postgres::connect::Connector;

    /// A server that accepts connections and never answers, as many as come.
    fn mute(parameters: &str) -> (TcpListener, Connector) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("postgresql://u@127.0.0.1:{port}/d?connect_timeout=1{parameters}");
        let connector = Connector::of(&url);
        (listener, connector)
    }

    #[test]
    fn a_server_that_never_answers_is_given_up_at_the_deadline() {
        for parameters in ["&sslmode=disable", "&sslmode=prefer", "&sslmode=require"] {
            let (_listener, connector) = mute(parameters);
            let started = Instant::now();
            let error = connector.connect("").err().expect("nobody answers");
            assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error}");
            assert!(error.to_string().contains("did not answer within 1000 ms"), "{error}");
            assert!(started.elapsed() < Duration::from_secs(30));
        }
    }

    #[test]
    fn attempts_at_a_server_that_never_answers_leave_no_sockets_behind() {
        let (listener, connector) = mute("&sslmode=disable");
        let mut config = postgres::Config::new();
        config.port(listener.local_addr().unwrap().port());
        let own = || {
            let leads = |(descriptor, _): &(RawFd, PathBuf)| leads_to_postgres(*descriptor, &config);
            sockets().unwrap().into_iter().filter(leads).count()
        };
        assert_eq!(own(), 0);
        assert!(connector.connect("").is_err());
        assert_eq!(own(), 0);
    }

    #[test]
    fn a_port_without_a_server_is_an_error_of_its_own() {
        let (listener, connector) = mute("&sslmode=disable");
        let listener_address = listener.local_addr().unwrap();
        drop(listener);
        let error = connector.connect("").err().expect("nobody listens");
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("{listener_address}: ")), "{error}");
    }

    #[test]
    fn each_host_that_failed_is_named() {
        let (first, second) = (mute("").0, mute("").0);
        let [first, second] = [first, second].map(|listener| listener.local_addr().unwrap());
        let connector =
            Connector::of(&format!("postgresql://u@{first},localhost:{}/d?sslmode=disable", second.port()));
        let error = connector.connect("").err().expect("nobody listens").to_string();
        assert!(error.contains(&format!("{first}: error connecting")), "{error}");
        assert!(error.contains(&format!("localhost:{} (", second.port())), "{error}");
        assert_eq!(error.matches("Connection refused").count(), 2, "{error}");
    }

    #[test]
    fn a_name_without_an_address_is_named() {
        let connector = Connector::of("postgresql://u@no-such-host.invalid/d");
        let error = connector.connect("").err().expect("no such host").to_string();
        assert!(error.starts_with("no-such-host.invalid: "), "{error}");
    }
}
