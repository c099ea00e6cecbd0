//! The supervisor: starts the writers and the control thread, and replaces one that is past its deadline.
//!
//! The client library has no query timeout. Past the deadline, the supervisor opens a new connection and ends the backend
//! that hangs; while no connection can be opened, it waits. A thread that still hangs is abandoned with its pool, which the
//! fence makes safe. At a maximum of abandoned threads, the process exits with code 1.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::batch::Batch;
use crate::control::postgres::{ControlContext, PostgresControl};
use crate::messages::events::Event;
use crate::messages::progress::{AllProgress, Progress};
use crate::observe::health::Component;
use crate::postgres::contained::contain;
use crate::postgres::session::{self, Connections};
use crate::types::TopicPartition;
use crate::writer::{Writer, WriterContext};

/// Maximum of abandoned threads, or one more than there are writers if that is higher.
const ABANDONED_MAX: usize = 4;

/// How long a thread may continue after its backend was ended, before it is replaced. A writer knows more of its batch than
/// a new one.
const NOTICE: Duration = Duration::from_secs(1);

/// /readyz reports a position that is unknown for longer.
const POSITION_LIMIT: Duration = Duration::from_secs(5);

/// A thread that the supervisor watches.
#[derive(Clone, Copy)]
enum Party {
    Writer(usize),
    Control,
}

/// Creates a separate connection pool for a writer.
pub(crate) type MakeConnections = Box<dyn Fn() -> Connections + Send>;

struct Running {
    progress: Arc<Progress>,
    generation: u64,
    thread: JoinHandle<()>,
    /// The component that is not ready while the thread is past its deadline.
    component: Component,
    /// Set past the deadline: receives the new thread's connections once PostgreSQL accepts one.
    rescue: Option<Receiver<Connections>>,
}

pub(crate) struct Supervisor {
    shared: Arc<WriterContext>,
    events: Sender<Event>,
    all_progress: AllProgress,
    make_connections: MakeConnections,
    deadline: Duration,
    running: Vec<Running>,
    control: Option<(ControlContext, Running)>,
    /// Since when requests have waited for the control thread, which takes them at once while its connection answers.
    requests_wait: Option<Instant>,
    abandoned: Vec<JoinHandle<()>>,
}

impl Supervisor {
    /// `make_connections` creates the pool of a replaced writer.
    pub(crate) fn new(
        shared: Arc<WriterContext>,
        events: Sender<Event>,
        all_progress: AllProgress,
        make_connections: MakeConnections,
        deadline: Duration,
    ) -> Self {
        Self {
            shared,
            events,
            all_progress,
            make_connections,
            deadline,
            running: Vec::new(),
            control: None,
            requests_wait: None,
            abandoned: Vec::new(),
        }
    }

    /// Starts `count` writers and returns the channels to them.
    pub(crate) fn start(&mut self, count: usize) -> std::io::Result<Vec<Sender<Batch>>> {
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
        shared: Arc<WriterContext>,
    ) -> std::io::Result<(Sender<Batch>, Running)> {
        let (sender, receiver) = bounded(1);
        let progress = Arc::new(Progress::default());
        let writer = Writer::new(number, generation, shared, Arc::clone(&progress));
        let events = self.events.clone();
        let thread = thread::Builder::new()
            .name(format!("writer-{number}"))
            .spawn(move || writer.run(&receiver, &events))?;
        self.all_progress().push(Arc::clone(&progress));
        let component = Component::Transaction(number);
        Ok((sender, Running { progress, generation, thread, component, rescue: None }))
    }

    /// Starts the control thread of PostgreSQL.
    pub(crate) fn start_control(&mut self, context: ControlContext) -> std::io::Result<()> {
        let running = self.spawn_control(context.clone(), Arc::clone(&self.shared), 0)?;
        self.control = Some((context, running));
        Ok(())
    }

    fn spawn_control(
        &self,
        context: ControlContext,
        shared: Arc<WriterContext>,
        generation: u64,
    ) -> std::io::Result<Running> {
        let progress = Arc::new(Progress::default());
        let control = PostgresControl::new(context, shared, Arc::clone(&progress));
        let thread = thread::Builder::new().name("postgres".to_owned()).spawn(move || control.run())?;
        self.all_progress().push(Arc::clone(&progress));
        Ok(Running { progress, generation, thread, component: Component::Control, rescue: None })
    }

    /// Replaces threads that are past their deadline. False when too many have been abandoned.
    pub(crate) fn check(&mut self) -> bool {
        self.abandoned.retain(|thread| !thread.is_finished());
        self.shared.rejections.tick(Instant::now());
        for number in 0..self.running.len() {
            if let Some(connections) = self.rescued(Party::Writer(number))
                && !self.replace_writer(number, connections)
            {
                return false;
            }
        }
        if let Some(connections) = self.rescued(Party::Control)
            && !self.replace_control(connections)
        {
            return false;
        }
        self.report_overdue_positions();
        true
    }

    /// The new thread's connections, if the thread hangs and PostgreSQL accepts connections.
    fn rescued(&mut self, party: Party) -> Option<Connections> {
        let running = match party {
            Party::Writer(number) => &mut self.running[number],
            Party::Control => match &mut self.control {
                Some((_, running)) => running,
                None => return None,
            },
        };
        if !running.progress.hangs(self.deadline) {
            running.rescue = None;
            self.shared.health.recovered(&running.component);
            return None;
        }
        if let Some(rescue) = &running.rescue {
            return rescue.try_recv().ok();
        }
        if !running.progress.was_overdue_before() {
            let reason = format!("PostgreSQL has not answered within {} ms", self.deadline.as_millis());
            self.shared.health.fail(running.component.clone(), reason);
        }
        // The pool starts threads as well, and panics if it cannot.
        let started = contain(|| (self.make_connections)())
            .map_err(io::Error::other)
            .and_then(|pool| rescue(pool, &running.progress, self.deadline));
        match started {
            Ok(rescue) => running.rescue = Some(rescue),
            Err(error) => {
                let reason = format!("cannot start a thread that replaces the one that hangs: {error}");
                self.shared.health.fail(running.component.clone(), reason);
            }
        }
        None
    }

    fn replace_writer(&mut self, number: usize, connections: Connections) -> bool {
        if !self.may_abandon(&self.running[number].component) {
            return false;
        }
        let generation = self.running[number].generation + 1;
        let shared = Arc::new(self.shared.with_connections(connections));
        match self.spawn(number, generation, shared) {
            Ok((batches, successor)) => {
                let hung = std::mem::replace(&mut self.running[number], successor);
                let took_too_long = hung.progress.past_the_fence();
                self.abandon(hung);
                let replaced = Event::Replaced { writer: number, batches, generation, took_too_long };
                self.events.send(replaced).is_ok()
            }
            Err(error) => {
                tracing::error!(%error, "cannot start a thread; trying again");
                self.running[number].rescue = None;
                true
            }
        }
    }

    fn replace_control(&mut self, connections: Connections) -> bool {
        let Some((context, mut hung)) = self.control.take() else { return true };
        if !self.may_abandon(&hung.component) {
            return false;
        }
        let shared = Arc::new(self.shared.with_connections(connections));
        match self.spawn_control(context.clone(), shared, hung.generation + 1) {
            Ok(successor) => {
                self.abandon(hung);
                self.control = Some((context, successor));
                true
            }
            Err(error) => {
                tracing::error!(%error, "cannot start a thread; trying again");
                hung.rescue = None;
                self.control = Some((context, hung));
                true
            }
        }
    }

    /// Whether one more thread may be abandoned.
    fn may_abandon(&self, component: &Component) -> bool {
        tracing::error!(
            component = component.name(),
            deadline_ms = self.deadline.as_millis(),
            "past its deadline, replaced"
        );
        if self.abandoned.len() >= ABANDONED_MAX.max(self.running.len() + 1) {
            tracing::error!("too many threads hang in PostgreSQL; giving up");
            return false;
        }
        true
    }

    fn abandon(&mut self, hung: Running) {
        hung.progress.abandon();
        // From now on, its session may be ended like that of any frozen owner.
        self.all_progress().retain(|progress| !Arc::ptr_eq(progress, &hung.progress));
        self.abandoned.push(hung.thread);
        self.shared.health.recovered(&hung.component);
    }

    /// Reports positions that are unknown for longer than [`POSITION_LIMIT`], unless another problem explains it: one of their
    /// own topic or table, or one of the whole sink.
    fn report_overdue_positions(&mut self) {
        let Some((context, _)) = &self.control else { return };
        self.requests_wait = match context.requests.is_empty() {
            true => None,
            false => self.requests_wait.or_else(|| Some(Instant::now())),
        };
        let (health, plans) = (&self.shared.health, &self.shared.plans);
        let unexplained = |partition: &&TopicPartition| {
            !health.is_unreadable(&partition.topic, plans.table_of(&partition.topic).as_deref())
        };
        let overdue = context.unanswered.lock().overdue(POSITION_LIMIT).filter(unexplained).count();
        if self.requests_wait.is_some_and(|since| since.elapsed() > POSITION_LIMIT) && health.is_clear() {
            let reason = format!(
                "the stored positions of newly assigned partitions are not known after {} s: the control connection does not \
                 answer",
                POSITION_LIMIT.as_secs()
            );
            health.fail(Component::Positions, reason);
        } else if overdue > 0 && health.is_clear() {
            let reason = format!(
                "the stored positions of {overdue} partitions are not known after {} s",
                POSITION_LIMIT.as_secs()
            );
            health.fail(Component::Positions, reason);
        }
    }

    fn all_progress(&self) -> parking_lot::MutexGuard<'_, Vec<Arc<Progress>>> {
        self.all_progress.lock()
    }
}

/// Opens a new connection, ends the backend of a thread that hangs, and sends the connections. Runs on its own thread,
/// because the server may not answer, and stops when the hanging thread continues.
fn rescue(
    connections: Connections,
    progress: &Arc<Progress>,
    deadline: Duration,
) -> std::io::Result<Receiver<Connections>> {
    let (rescued, rescue) = bounded(1);
    let progress = Arc::clone(progress);
    let work = move || {
        // Each attempt waits up to half a second, all of it if the server is unreachable.
        while progress.hangs(deadline) {
            match connections.open() {
                Ok(mut connection) => {
                    if let Some(pid) = progress.hangs(deadline).then(|| progress.backend()).flatten() {
                        // Before the backend ends, so that the writer knows why.
                        progress.is_overdue();
                        if let Err(error) = session::end_backend(&mut connection, pid) {
                            tracing::warn!(pid, %error, "cannot end the backend of a thread that hangs");
                        }
                    }
                    drop(connection);
                    let ended = Instant::now();
                    while progress.hangs(deadline) && ended.elapsed() < NOTICE {
                        thread::sleep(NOTICE / 20);
                    }
                    if rescued.send(connections).is_err() {
                        tracing::debug!("the thread has continued");
                    }
                    return;
                }
                Err(failure) => tracing::debug!(%failure, "a thread hangs; no new connection"),
            }
        }
    };
    thread::Builder::new().name("rescue".to_owned()).spawn(work)?;
    Ok(rescue)
}
