//! The supervisor: starts writers, and replaces one whose transaction is past its deadline.
//!
//! The client library has no query timeout. Past the deadline a new connection is tried: while it does not come about,
//! the whole database is away or frozen, a successor would fare no better, and it is waited for. Once it does, it ends
//! the backend that hangs, and a writer that even then does not get on is left behind with its pool; the fence makes
//! that safe. There is a limit to how many: then the process ends, and starts anew elsewhere.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::batch::Batch;
use crate::events::Event;
use crate::health::Component;
use crate::session::{self, Connections};
use crate::writer::watch::Watch;
use crate::writer::{Shared, Writer};

/// Threads that may hang, left behind, before the process gives up; or as many as there are writers, if that is more.
const ABANDONED_MAX: usize = 4;

/// What a writer has to notice that its backend was ended, before it is replaced: it then gets on by itself, and knows
/// more of its batch than a successor.
const NOTICE: Duration = Duration::from_secs(1);

/// Watches of the keeper and of all writers in service.
pub type Watches = Arc<Mutex<Vec<Arc<Watch>>>>;

/// Makes a connection pool of its own for a writer.
pub type MakeConnections = Box<dyn Fn() -> Connections + Send>;

struct Running {
    watch: Arc<Watch>,
    generation: u64,
    thread: JoinHandle<()>,
    /// Past the deadline: brings the successor's connections once PostgreSQL has answered a new one.
    rescue: Option<Receiver<Connections>>,
}

/// The writers, and what it takes to replace one.
pub struct Supervisor {
    shared: Arc<Shared>,
    events: Sender<Event>,
    watches: Watches,
    make_connections: MakeConnections,
    deadline: Duration,
    running: Vec<Running>,
    abandoned: Vec<JoinHandle<()>>,
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
        Self {
            shared,
            events,
            watches,
            make_connections,
            deadline,
            running: Vec::new(),
            abandoned: Vec::new(),
        }
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
        self.watches().push(Arc::clone(&watch));
        let writer = Writer::new(number, generation, shared, Arc::clone(&watch));
        let events = self.events.clone();
        let thread = thread::Builder::new()
            .name(format!("writer-{number}"))
            .spawn(move || writer.run(&receiver, &events))?;
        Ok((sender, Running { watch, generation, thread, rescue: None }))
    }

    /// Looks after writers that are past their deadline. False when too many have been left behind.
    pub fn look(&mut self) -> bool {
        self.abandoned.retain(|thread| !thread.is_finished());
        for number in 0..self.running.len() {
            let running = &mut self.running[number];
            let hung = Component::Transaction(number);
            if !running.watch.hangs(self.deadline) {
                if running.rescue.take().is_some() {
                    self.shared.health.well(&hung);
                }
                continue;
            }
            let Some(rescue) = &running.rescue else {
                let reason = format!("PostgreSQL has not answered within {} ms", self.deadline.as_millis());
                self.shared.health.fail(hung, reason);
                match rescue((self.make_connections)(), &running.watch, self.deadline) {
                    Ok(rescue) => running.rescue = Some(rescue),
                    Err(error) => {
                        tracing::error!(%error, "cannot start a thread");
                        return false;
                    }
                }
                continue;
            };
            if let Ok(connections) = rescue.try_recv()
                && !self.replace(number, connections)
            {
                return false;
            }
        }
        true
    }

    fn replace(&mut self, number: usize, connections: Connections) -> bool {
        tracing::error!(
            writer = number,
            deadline_ms = self.deadline.as_millis(),
            "past its deadline, replaced"
        );
        if self.abandoned.len() >= ABANDONED_MAX.max(self.running.len()) {
            tracing::error!("too many writers hang in PostgreSQL; giving up");
            return false;
        }
        let generation = self.running[number].generation + 1;
        let shared = Arc::new(self.shared.with_connections(connections));
        match self.spawn(number, generation, shared) {
            Ok((batches, successor)) => {
                let hung = std::mem::replace(&mut self.running[number], successor);
                hung.watch.abandon();
                // Not one of ours any more: what its session holds may be freed as any frozen owner's.
                self.watches().retain(|watch| !Arc::ptr_eq(watch, &hung.watch));
                self.abandoned.push(hung.thread);
                self.shared.health.well(&Component::Transaction(number));
                self.events.send(Event::Replaced { writer: number, batches, generation }).is_ok()
            }
            Err(error) => {
                tracing::error!(%error, "cannot start a thread");
                false
            }
        }
    }

    fn watches(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Watch>>> {
        self.watches.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Connects anew, ends the backend of a writer that hangs, and hands its connections over; on a thread of its own, for
/// the server may not answer at all. Given up when the writer gets on.
fn rescue(
    connections: Connections,
    watch: &Arc<Watch>,
    deadline: Duration,
) -> std::io::Result<Receiver<Connections>> {
    let (rescued, rescue) = bounded(1);
    let watch = Arc::clone(watch);
    let work = move || {
        // Each try waits for half a second at most, and not less when the server is away.
        while watch.hangs(deadline) {
            match connections.open() {
                Ok(mut connection) => {
                    if let Some(pid) = watch.hangs(deadline).then(|| watch.backend()).flatten()
                        && let Err(error) = session::end_backend(&mut connection, pid)
                    {
                        tracing::warn!(pid, %error, "cannot end the backend of a writer that hangs");
                    }
                    drop(connection);
                    let ended = Instant::now();
                    while watch.hangs(deadline) && ended.elapsed() < NOTICE {
                        thread::sleep(NOTICE / 20);
                    }
                    if rescued.send(connections).is_err() {
                        tracing::debug!("the writer has got on meanwhile");
                    }
                    return;
                }
                Err(failure) => tracing::debug!(%failure, "a writer hangs, and there is no new connection"),
            }
        }
    };
    thread::Builder::new().name("rescue".to_owned()).spawn(work)?;
    Ok(rescue)
}
