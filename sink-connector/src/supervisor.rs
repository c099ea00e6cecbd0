//! The supervisor: starts writers, and replaces one whose transaction is past its deadline.
//!
//! The client library has no query timeout. A thread that hangs in it is left behind with its pool; the fence makes
//! that safe. There is a limit to how often: then the process ends, and starts anew elsewhere.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use crate::batch::Batch;
use crate::events::Event;
use crate::session::{self, Connections};
use crate::writer::watch::Watch;
use crate::writer::{Shared, Writer};

/// Threads that may be left behind before the process gives up.
const ABANDONED_MAX: usize = 4;

/// Watches of all writers, of abandoned ones as well.
pub type Watches = Arc<Mutex<Vec<Arc<Watch>>>>;

/// Makes a connection pool of its own for a writer.
pub type MakeConnections = Box<dyn Fn() -> Connections + Send>;

struct Running {
    watch: Arc<Watch>,
    generation: u64,
}

/// The writers, and what it takes to replace one.
pub struct Supervisor {
    shared: Arc<Shared>,
    events: Sender<Event>,
    watches: Watches,
    make_connections: MakeConnections,
    deadline: Duration,
    running: Vec<Running>,
    abandoned: usize,
}

impl Supervisor {
    /// A supervisor without writers. `make_connections` gives a replaced writer a pool of its own.
    pub fn new(
        shared: Arc<Shared>,
        events: Sender<Event>,
        watches: Watches,
        make_connections: MakeConnections,
        deadline: Duration,
    ) -> Self {
        Self { shared, events, watches, make_connections, deadline, running: Vec::new(), abandoned: 0 }
    }

    /// Starts `count` writers and returns the channels to them.
    pub fn start(&mut self, count: usize) -> std::io::Result<Vec<Sender<Batch>>> {
        (0..count)
            .map(|number| {
                let (batches, running) = self.spawn(number, 0, Arc::clone(&self.shared))?;
                self.running.push(running);
                Ok(batches)
            })
            .collect()
    }

    fn spawn(
        &self,
        number: usize,
        generation: u64,
        shared: Arc<Shared>,
    ) -> std::io::Result<(Sender<Batch>, Running)> {
        let (sender, receiver) = bounded(1);
        let watch = Arc::new(Watch::default());
        self.watches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Arc::clone(&watch));
        let writer = Writer::new(number, generation, shared, Arc::clone(&watch));
        let events = self.events.clone();
        thread::Builder::new()
            .name(format!("writer-{number}"))
            .spawn(move || writer.run(&receiver, &events))?;
        Ok((sender, Running { watch, generation }))
    }

    /// Replaces writers that are past their deadline. False when too many have been left behind.
    pub fn look(&mut self) -> bool {
        for number in 0..self.running.len() {
            let Running { watch, generation } = &self.running[number];
            if watch.in_transaction().is_none_or(|open| open < self.deadline) {
                continue;
            }
            let generation = generation + 1;
            tracing::error!(
                writer = number,
                deadline_ms = self.deadline.as_millis(),
                "past its deadline, replaced"
            );
            self.abandoned += 1;
            if self.abandoned > ABANDONED_MAX {
                tracing::error!("too many writers hang in PostgreSQL; giving up");
                return false;
            }
            let connections = (self.make_connections)();
            if let Some(pid) = watch.backend() {
                end_backend(connections.clone(), pid);
            }
            let shared = Arc::new(self.shared.with_connections(connections));
            match self.spawn(number, generation, shared) {
                Ok((batches, running)) => {
                    self.running[number] = running;
                    let replaced = Event::Replaced { writer: number, batches, generation };
                    if self.events.send(replaced).is_err() {
                        return false;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "cannot start a thread");
                    return false;
                }
            }
        }
        true
    }
}

/// Ends the backend of an abandoned writer, from a thread of its own: the server may not answer at all.
fn end_backend(connections: Connections, pid: i32) {
    let end = move || match connections.open() {
        Ok(mut connection) => {
            if let Err(error) = session::end_backend(&mut connection, pid) {
                tracing::warn!(pid, %error, "cannot end the backend of a writer that hangs");
            }
        }
        Err(failure) => tracing::warn!(pid, %failure, "cannot end the backend of a writer that hangs"),
    };
    if let Err(error) = thread::Builder::new().name("end-backend".to_owned()).spawn(end) {
        tracing::error!(%error, "cannot start a thread");
    }
}
