//! The progress of a thread's transaction, which other threads can read while a client call blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A step of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Idle,
    /// A session is being prepared, or read from, outside a batch's transaction.
    Session,
    /// Waiting for the locks on the offset rows.
    Fence,
    Rows,
    Commit,
}

#[derive(Debug)]
struct ProgressState {
    phase: Phase,
    since: Instant,
    backend: Option<i32>,
    locked_out: bool,
    past_the_fence: bool,
    overdue: bool,
    overdue_before: bool,
    abandoned: bool,
    lock_wait: Option<String>,
}

/// The progress of a writer or of the PostgreSQL control thread.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<ProgressState>);

/// The progress of the control thread and of all writers in service.
pub(crate) type AllProgress = Arc<Mutex<Vec<Arc<Progress>>>>;

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::new(ProgressState {
            phase: Phase::Idle,
            since: Instant::now(),
            backend: None,
            locked_out: false,
            past_the_fence: false,
            overdue: false,
            overdue_before: false,
            abandoned: false,
            lock_wait: None,
        }))
    }
}

impl Progress {
    pub(crate) fn connected(&self, pid: i32) {
        self.lock().backend = Some(pid);
    }

    pub(crate) fn disconnected(&self) {
        let mut state = self.lock();
        state.backend = None;
        state.phase = Phase::Idle;
    }

    /// Begins an attempt at a batch. `overdue_before`: an earlier attempt at the same record passed the deadline.
    pub(crate) fn begin_attempt(&self, overdue_before: bool) {
        let mut state = self.lock();
        state.past_the_fence = false;
        state.overdue = false;
        state.overdue_before = overdue_before;
    }

    /// Whether what is being written is known to take too long: it need not be reported once more.
    pub(crate) fn was_overdue_before(&self) -> bool {
        self.lock().overdue_before
    }

    /// Marks the transaction as past its deadline, before its session is ended.
    pub(crate) fn is_overdue(&self) {
        self.lock().overdue = true;
    }

    /// Whether the last transaction was ended because it was past its deadline.
    pub(crate) fn was_overdue(&self) -> bool {
        self.lock().overdue
    }

    /// Begins a step. Deadlines count from [`Phase::Fence`] or [`Phase::Session`].
    pub(crate) fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        if matches!(phase, Phase::Fence | Phase::Session | Phase::Idle) {
            state.since = Instant::now();
        }
        if phase == Phase::Rows {
            state.locked_out = false;
        }
        if !matches!(phase, Phase::Idle | Phase::Session) {
            state.past_the_fence = phase != Phase::Fence;
        }
        state.phase = phase;
    }

    pub(crate) fn past_the_fence(&self) -> bool {
        self.lock().past_the_fence
    }

    /// Records that the fence failed with a lock timeout.
    pub(crate) fn lock_timed_out(&self) {
        self.lock().locked_out = true;
    }

    /// The backend, if it waits for the fence's locks after a lock timeout: their owner may be frozen.
    pub(crate) fn waiting_again(&self) -> Option<i32> {
        let state = self.lock();
        if state.locked_out && state.phase == Phase::Fence { state.backend } else { None }
    }

    /// The backend, if its transaction has been open for as long as `limit`: it may wait for a lock.
    pub(crate) fn open_for(&self, limit: Duration) -> Option<i32> {
        let state = self.lock();
        let open = !matches!(state.phase, Phase::Idle | Phase::Session) && state.since.elapsed() >= limit;
        if open { state.backend } else { None }
    }

    /// Another session has found who keeps this one's backend from a lock.
    pub(crate) fn waits_for_lock(&self, backend: i32, what: String) {
        let mut state = self.lock();
        if state.backend == Some(backend) {
            state.lock_wait = Some(what);
        }
    }

    /// Which lock was waited for last, and who had it, since the last transaction that needed no such wait.
    pub(crate) fn lock_wait(&self) -> Option<String> {
        self.lock().lock_wait.clone()
    }

    /// A transaction has got all of its locks.
    pub(crate) fn got_locks(&self) {
        self.lock().lock_wait = None;
    }

    pub(crate) fn backend(&self) -> Option<i32> {
        self.lock().backend
    }

    /// Whether a transaction has been open for longer than `deadline`.
    pub(crate) fn hangs(&self, deadline: Duration) -> bool {
        let state = self.lock();
        state.phase != Phase::Idle && state.since.elapsed() >= deadline
    }

    /// Marks the writer as replaced. It must not write its batch any more.
    pub(crate) fn abandon(&self) {
        self.lock().abandoned = true;
    }

    pub(crate) fn abandoned(&self) -> bool {
        self.lock().abandoned
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, ProgressState> {
        self.0.lock()
    }
}
