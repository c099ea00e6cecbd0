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
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};
use parking_lot::Mutex;
use postgres::Client;
use postgres::config::Host;
use postgres_openssl::MakeTlsConnector;
use thiserror::Error;

use crate::postgres::contained::{ContainedPanic, contain};

/// The time for each host if the URL has no `connect_timeout`.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often new sockets (of the next host in the URL) are shut down after the deadline, until the attempt ends.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Held during an attempt.
static ATTEMPT: Mutex<()> = Mutex::new(());

#[derive(Debug, Error)]
pub enum ConnectError {
    #[error("{}", with_cause(.0))]
    Client(#[from] postgres::Error),
    #[error("PostgreSQL did not answer within {} ms while connecting", .0.as_millis())]
    NoAnswer(Duration),
    /// The client library panics if the process has no file descriptor left for its runtime.
    #[error("cannot open a connection; has the process reached its limit of open files (ulimit -n)? {0}")]
    Panicked(#[from] ContainedPanic),
}

fn with_cause(error: &postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Opens a session and runs `settings` in it, in `connect_timeout` for each host at most.
pub(crate) fn connect(
    config: &postgres::Config,
    tls: &MakeTlsConnector,
    settings: &str,
) -> Result<Client, ConnectError> {
    let per_host = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    let hosts =
        u32::try_from(config.get_hosts().len().max(config.get_hostaddrs().len()).max(1)).unwrap_or(u32::MAX);
    within(per_host.saturating_mul(hosts), config, || {
        let mut client = config.connect(tls.clone())?;
        client.batch_execute(settings)?;
        Ok(client)
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
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
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
        let outcome = contain(attempt);
        drop(done);
        let expired = watch.join().unwrap_or_default();
        outcome?.map_err(|error| {
            if expired && error.as_db_error().is_none() {
                ConnectError::NoAnswer(deadline)
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
    use crate::postgres::tls;

    /// A server that accepts connections and never answers, as many as come.
    fn mute(parameters: &str) -> (TcpListener, postgres::Config, MakeTlsConnector) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("postgresql://u@127.0.0.1:{port}/d?connect_timeout=1{parameters}");
        let (config, tls) = tls::parse(&url).unwrap();
        (listener, config, tls)
    }

    #[test]
    fn a_server_that_never_answers_is_given_up_at_the_deadline() {
        for parameters in ["&sslmode=disable", "&sslmode=prefer", "&sslmode=require"] {
            let (_listener, config, tls) = mute(parameters);
            let started = Instant::now();
            let error = connect(&config, &tls, "").err().expect("nobody answers");
            assert!(matches!(error, ConnectError::NoAnswer(_)), "{error}");
            assert!(error.to_string().contains("did not answer within 1000 ms"), "{error}");
            assert!(started.elapsed() < Duration::from_secs(30));
        }
    }

    #[test]
    fn attempts_at_a_server_that_never_answers_leave_no_sockets_behind() {
        let (_listener, config, tls) = mute("&sslmode=disable");
        let own = || {
            let leads = |(descriptor, _): &(RawFd, PathBuf)| leads_to_postgres(*descriptor, &config);
            sockets().unwrap().into_iter().filter(leads).count()
        };
        assert_eq!(own(), 0);
        assert!(connect(&config, &tls, "").is_err());
        assert_eq!(own(), 0);
    }

    #[test]
    fn a_port_without_a_server_is_an_error_of_its_own() {
        let (listener, config, tls) = mute("&sslmode=disable");
        drop(listener);
        let error = connect(&config, &tls, "").err().expect("nobody listens");
        assert!(matches!(error, ConnectError::Client(_)), "{error}");
    }
}
