//! Who keeps a command from a lock: the server says it only while a session waits, so another session asks meanwhile.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ::postgres::Client;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use super::postgres;
use crate::config::Config;
use crate::postgres::connect::Connector;
use crate::postgres::failure::Failure;
use crate::postgres::locks;

/// How often it asks. The shortest lock timeout of a session is several times that.
const EVERY: Duration = Duration::from_millis(50);

/// The session that is watched, and the last lock that it waited for.
#[derive(Debug, Default)]
struct Watched {
    backend: Option<i32>,
    lock: Option<String>,
}

/// Watches one session at a time, until it is dropped.
#[derive(Debug)]
pub(super) struct LockWatch {
    watched: Arc<Mutex<Watched>>,
    /// Dropped, it ends the thread. Nothing is sent.
    _until: Sender<()>,
}

impl LockWatch {
    /// Starts its thread, which connects by itself.
    ///
    /// # Errors
    /// The thread cannot be started, or a certificate or a key cannot be used.
    pub(super) fn start(config: &Config) -> anyhow::Result<Self> {
        let connector = Connector::new(config, postgres::APPLICATION)?;
        let watched = Arc::new(Mutex::new(Watched::default()));
        let (until, dropped) = bounded(0);
        let of_thread = Arc::clone(&watched);
        thread::Builder::new()
            .name("lock-watch".to_owned())
            .spawn(move || watch(&connector, &of_thread, &dropped))?;
        Ok(Self { watched, _until: until })
    }

    /// Starts to watch this session.
    ///
    /// # Errors
    /// As for [`start`](Self::start), or the session does not say which backend it has.
    pub(super) fn over(config: &Config, session: &mut Client) -> anyhow::Result<Self> {
        let backend = session.query_one("SELECT pg_catalog.pg_backend_pid()", &[])?.get(0);
        let watching = Self::start(config)?;
        watching.watch(backend);
        Ok(watching)
    }

    /// Watches the session with this backend from now on.
    pub(super) fn watch(&self, backend: i32) {
        *self.watched.lock() = Watched { backend: Some(backend), lock: None };
    }

    /// Adds the lock that the session waited for to a failure for want of it.
    pub(super) fn explain(&self, mut failure: Failure) -> Failure {
        let watched = std::mem::take(&mut *self.watched.lock());
        if let Some(lock) = watched.lock.filter(|_| failure.lock_timeout() || failure.statement_timeout()) {
            failure.message = format!("{}: {lock}", failure.message);
        }
        failure
    }
}

fn watch(connector: &Connector, watched: &Mutex<Watched>, dropped: &Receiver<()>) {
    let mut client: Option<Client> = None;
    while dropped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let Some(backend) = watched.lock().backend else { continue };
        let asked = match &mut client {
            Some(client) => locks::lock_waits(client, &[backend]).map_err(Failure::from),
            None => connector.open().map(|opened| {
                client = Some(opened);
                Vec::new()
            }),
        };
        match asked {
            Ok(waits) => {
                let mut watched = watched.lock();
                if let Some(wait) = waits.into_iter().find(|wait| watched.backend == Some(wait.waiting)) {
                    watched.lock = Some(wait.text);
                }
            }
            // The command itself says what is wrong with the server.
            Err(error) => {
                tracing::debug!(%error, "cannot look for what the command waits for");
                client = None;
            }
        }
    }
}
