//! The HTTP server of both binaries: metrics, probes, status and a page for people. It runs on its own thread, and no request
//! changes state.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::page;

/// The value of `http.listen` for a process that serves no HTTP.
pub const OFF: &str = "off";

/// The paths that [`serve`] answers. The 404 response lists them.
pub const PATHS: [&str; 6] = ["/", "/metrics", "/livez", "/readyz", "/status", "/runbook"];

/// Time-out of running requests when the server stops.
const GRACE: Duration = Duration::from_millis(400);
/// Time-out of the whole stop, after which the thread is abandoned.
const STOP_LIMIT: Duration = Duration::from_millis(500);

/// Maximum of connections. One more closes the oldest, so that idle clients can neither block others nor exhaust the file
/// descriptors of the process.
const CONNECTIONS: usize = 64;
/// Time-out for reading a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time-out of a connection, which serves one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// The wait after a connection could not be accepted, for example without free file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Content type of the Prometheus text exposition format, version 0.0.4.
const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// The answers of the endpoints.
///
/// All run on the server's one thread, inside its runtime. They must not block or do I/O, and a blocking database client
/// panics there.
pub trait Endpoints: Send + Sync {
    /// All metrics in the Prometheus text format.
    fn metrics(&self) -> String;
    /// Whether the process is alive.
    ///
    /// # Errors
    /// What is stuck; sent with status 503.
    fn live(&self) -> Result<(), Stuck>;
    /// Whether the process can do its work.
    ///
    /// # Errors
    /// The body of the response with status 503.
    fn ready(&self) -> Result<Value, Value>;
    /// The body of `/status`.
    fn status(&self) -> Value;
}

/// A loop that has not run for longer than it may.
#[derive(Clone, Copy, Debug, Error)]
#[error("the {name} has not run for {} s", idle.as_secs())]
pub struct Stuck {
    /// The loop, for people.
    pub name: &'static str,
    /// Since when.
    pub idle: Duration,
}

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The address is in use, or not one of this host.
    #[error("cannot listen on {listen} (http.listen): {reason}")]
    Bind {
        /// The requested address.
        listen: SocketAddr,
        /// The error of the system.
        reason: std::io::Error,
    },
    /// The runtime or its thread cannot be created.
    #[error("cannot start the HTTP server: {0}")]
    Start(std::io::Error),
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    stopped: Receiver<()>,
}

/// Serves the endpoints on `listen` from a new thread. Port 0 takes a free port: [`Server::local_addr`].
///
/// # Errors
/// See [`HttpError`].
pub fn serve(listen: SocketAddr, endpoints: Arc<dyn Endpoints>) -> Result<Server, HttpError> {
    let bind = |reason| HttpError::Bind { listen, reason };
    let listener = TcpListener::bind(listen).map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let local_addr = listener.local_addr().map_err(bind)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HttpError::Start)?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(HttpError::Start)?
    };
    let (stop, stopping) = oneshot::channel();
    let (done, stopped) = sync_channel(1);
    thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || {
            runtime.block_on(serve_until(stopping, listener, router(endpoints)));
            runtime.shutdown_background();
            // An error means that the server was dropped without waiting.
            let _ = done.send(());
        })
        .map_err(HttpError::Start)?;
    Ok(Server { local_addr, stop: Some(stop), stopped })
}

impl Server {
    /// The address with the actual port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting connections, lets running requests finish, and returns within 500 ms.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the server has ended already.
            let _ = stop.send(());
            let _ = self.stopped.recv_timeout(STOP_LIMIT);
        }
    }
}

/// Serves until `stopping` completes, then waits at most [`GRACE`] for running requests.
async fn serve_until(mut stopping: oneshot::Receiver<()>, listener: tokio::net::TcpListener, router: Router) {
    let graceful = GracefulShutdown::new();
    let mut connections: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the server was dropped.
            _ = &mut stopping => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.is_finished());
        if connections.len() == CONNECTIONS
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_TIMEOUT)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        let connection = tokio::time::timeout(CONNECTION_TIMEOUT, graceful.watch(connection));
        // Errors come from the client, which sent no request or disconnected.
        connections.push_back(tokio::spawn(async { _ = connection.await }).abort_handle());
    }
    drop((listener, router));
    // An error is the time-out. The runtime drops the remaining requests.
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

fn router(endpoints: Arc<dyn Endpoints>) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/runbook", get(page::runbook))
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .fallback(not_found)
        .with_state(endpoints)
}

type Shared = State<Arc<dyn Endpoints>>;

async fn metrics(State(endpoints): Shared) -> Response {
    ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], endpoints.metrics()).into_response()
}

async fn live(State(endpoints): Shared) -> Response {
    match endpoints.live() {
        Ok(()) => Json(json!({"status": "ok"})).into_response(),
        Err(stuck) => unavailable(json!({"status": "failed", "reason": stuck.to_string()})),
    }
}

async fn ready(State(endpoints): Shared) -> Response {
    match endpoints.ready() {
        Ok(answer) => Json(answer).into_response(),
        Err(answer) => unavailable(answer),
    }
}

async fn status(State(endpoints): Shared) -> Response {
    Json(endpoints.status()).into_response()
}

async fn not_found() -> Response {
    let answer = json!({"error": "no such endpoint", "endpoints": PATHS});
    (StatusCode::NOT_FOUND, Json(answer)).into_response()
}

fn unavailable(answer: Value) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use super::*;

    struct Fixed {
        healthy: bool,
    }

    impl Endpoints for Fixed {
        fn metrics(&self) -> String {
            "one 1\n".to_owned()
        }
        fn live(&self) -> Result<(), Stuck> {
            let stuck = Stuck { name: "poll loop", idle: Duration::from_secs(31) };
            if self.healthy { Ok(()) } else { Err(stuck) }
        }
        fn ready(&self) -> Result<Value, Value> {
            if self.healthy { Ok(json!({"ready": true})) } else { Err(json!({"reason": "no database"})) }
        }
        fn status(&self) -> Value {
            json!({"connector": "x"})
        }
    }

    fn server(healthy: bool) -> Server {
        serve(([127, 0, 0, 1], 0).into(), Arc::new(Fixed { healthy })).unwrap()
    }

    /// Head and body of the answer to one request on a connection of its own.
    fn ask(server: &Server, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    #[test]
    fn the_endpoints_answer_with_their_content_types() {
        let server = server(true);
        let (head, body) = ask(&server, "GET", "/metrics");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert_eq!(body, "one 1\n");
        assert_eq!(ask(&server, "GET", "/livez").1, r#"{"status":"ok"}"#);
        assert_eq!(ask(&server, "GET", "/readyz").1, r#"{"ready":true}"#);
        let (head, body) = ask(&server, "GET", "/status");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(body, r#"{"connector":"x"}"#);
        let (head, body) = ask(&server, "GET", "/");
        assert!(head.contains("content-type: text/html"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        assert!(body.starts_with("<!doctype html>"), "{body}");
        assert!(ask(&server, "GET", "/runbook").1.starts_with("# Runbook"));
    }

    #[test]
    fn what_is_unhealthy_answers_503_with_the_reason() {
        let server = server(false);
        for (path, reason) in [("/livez", "the poll loop has not run for 31 s"), ("/readyz", "no database")] {
            let (head, body) = ask(&server, "GET", path);
            assert!(head.starts_with("http/1.1 503"), "{head}");
            assert!(body.contains(reason), "{body}");
        }
    }

    #[test]
    fn an_unknown_path_lists_the_endpoints_and_only_get_is_allowed() {
        let server = server(true);
        let (head, body) = ask(&server, "GET", "/nonsense");
        assert!(head.starts_with("http/1.1 404"), "{head}");
        for path in PATHS {
            assert!(body.contains(path), "{body}");
        }
        assert!(ask(&server, "POST", "/metrics").0.starts_with("http/1.1 405"));
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_address_and_key() {
        let first = server(true);
        let error = serve(first.local_addr(), Arc::new(Fixed { healthy: true })).unwrap_err().to_string();
        assert!(error.contains(&first.local_addr().to_string()), "{error}");
        assert!(error.contains("http.listen"), "{error}");
    }

    #[test]
    fn clients_that_send_nothing_keep_nobody_out_and_are_closed() {
        let server = server(true);
        let idle: Vec<TcpStream> = (0..3 * CONNECTIONS)
            .map(|n| {
                let mut stream = TcpStream::connect(server.local_addr()).unwrap();
                if n % 2 == 0 {
                    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
                }
                stream
            })
            .collect();
        assert!(ask(&server, "GET", "/livez").0.starts_with("http/1.1 200"));
        let mut closed = 0;
        for mut stream in idle {
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut answer = Vec::new();
            // Reset or closed, with or without an answer; a time-out would be an error of another kind.
            match stream.read_to_end(&mut answer) {
                Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
                _ => closed += 1,
            }
        }
        assert_eq!(closed, 3 * CONNECTIONS);
    }

    #[test]
    fn stopping_is_bounded_even_with_a_request_that_never_ends() {
        let server = server(true);
        let address = server.local_addr();
        let mut stuck = TcpStream::connect(address).unwrap();
        stuck.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
        let started = Instant::now();
        server.stop();
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert!(TcpListener::bind(address).is_ok(), "the port is free again");
    }
}
