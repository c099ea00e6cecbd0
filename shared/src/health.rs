//! The client of the probes: asks a running process whether it is ready, for images without a shell or curl.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::http::OFF;

/// Time limit of the whole question.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bound of an answer that is read. `/readyz` lists problems.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/readyz`
    Ready,
    /// `/livez`
    Live,
}

/// Why a process is not healthy.
#[derive(Debug, Error)]
pub enum Unhealthy {
    /// It answers that it is not; the body holds the reason.
    #[error("{path} answers {status}: {body}")]
    Answer {
        /// The path that was asked.
        path: &'static str,
        /// The status of the answer.
        status: u16,
        /// The reason.
        body: String,
    },
    /// The address has no place to connect to.
    #[error("http.listen: {0:?} is not the address of a server")]
    NoAddress(String),
    /// The process serves no HTTP.
    #[error("http.listen is off, so the process cannot be asked")]
    Off,
    /// The configuration says that port 0 was to be chosen freely.
    #[error(
        "http.listen: port 0 is chosen when the process starts, so this command cannot know it; set a port"
    )]
    AnyPort,
    /// Nobody answers there.
    #[error("no answer from http://{address}{path}: {reason}; is it running, with the same http.listen?")]
    NoAnswer {
        /// The address that was asked.
        address: SocketAddr,
        /// The path that was asked.
        path: &'static str,
        /// The error of the system.
        reason: std::io::Error,
    },
}

impl Unhealthy {
    /// The configuration names no server that could be asked.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::NoAddress(_) | Self::Off | Self::AnyPort)
    }
}

impl Probe {
    fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Live => "/livez",
        }
    }
}

/// Asks the process that listens on `listen` (`host:port`, as configured), and returns the body of its answer.
///
/// # Errors
/// It does not answer with 200 within five seconds.
pub fn ask(listen: &str, probe: Probe) -> Result<String, Unhealthy> {
    if listen == OFF {
        return Err(Unhealthy::Off);
    }
    let no_address = || Unhealthy::NoAddress(listen.to_owned());
    let mut addresses = listen.to_socket_addrs().map_err(|_| no_address())?;
    let address = reachable(addresses.next().ok_or_else(no_address)?);
    if address.port() == 0 {
        return Err(Unhealthy::AnyPort);
    }
    let path = probe.path();
    let answer = get(address, path).map_err(|reason| Unhealthy::NoAnswer { address, path, reason })?;
    match answer {
        (200, body) => Ok(body),
        (status, body) => Err(Unhealthy::Answer { path, status, body }),
    }
}

/// The address to connect to: loopback, if the process listens on all.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Status and body of a GET.
fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let until = Instant::now() + TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    // Zero is not a valid time limit.
    let left = || Some(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
    stream.set_write_timeout(left())?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    stream.set_read_timeout(left())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let parsed = text.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some((status, body.trim_end().to_owned()))
    });
    parsed.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::http::{Endpoints, Stuck, serve};

    struct NotReady;

    impl Endpoints for NotReady {
        fn metrics(&self) -> String {
            String::new()
        }
        fn live(&self) -> Result<(), Stuck> {
            Ok(())
        }
        fn ready(&self) -> Result<Value, Value> {
            Err(json!({"reason": "no database"}))
        }
        fn status(&self) -> Value {
            Value::Null
        }
    }

    #[test]
    fn a_process_that_listens_everywhere_is_asked_on_loopback() {
        let server = serve(([0, 0, 0, 0], 0).into(), Arc::new(NotReady)).unwrap();
        let listen = format!("0.0.0.0:{}", server.local_addr().port());
        assert_eq!(ask(&listen, Probe::Live).unwrap(), r#"{"status":"ok"}"#);
        let error = ask(&listen, Probe::Ready).unwrap_err().to_string();
        assert_eq!(error, r#"/readyz answers 503: {"reason":"no database"}"#);
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(reachable("10.0.0.1:1".parse().unwrap()).to_string(), "10.0.0.1:1");
    }

    #[test]
    fn nobody_and_something_else_are_not_healthy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-x\r\n").unwrap();
        });
        let error = ask(&address, Probe::Live).unwrap_err();
        assert!(matches!(error, Unhealthy::NoAnswer { .. }), "{error}");
        other.join().unwrap();
        let error = ask(&address, Probe::Live).unwrap_err();
        let error_is_configuration = error.is_configuration();
        let error = error.to_string();
        assert!(error.contains("refused") && error.contains(&address), "{error}");
        assert!(matches!(ask("127.0.0.1:0", Probe::Live), Err(Unhealthy::AnyPort)));
        assert!(matches!(ask("nonsense", Probe::Live), Err(Unhealthy::NoAddress(_))));
        assert!(matches!(ask(OFF, Probe::Live), Err(Unhealthy::Off)));
        assert!(
            ["off", "127.0.0.1:0", "nonsense"]
                .iter()
                .all(|listen| { ask(listen, Probe::Live).is_err_and(|error| error.is_configuration()) })
        );
        assert!(!error_is_configuration);
    }
}
