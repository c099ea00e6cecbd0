//! The progress of a thread's transaction, visible to other threads while a client call blocks: the step, its start, the
//! server's backend.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A step of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// No transaction is open.
    Idle,
    /// A session is being prepared, or read from, outside a batch's transaction.
    Session,
    /// Waiting for the locks on the offset rows.
    Fence,
    /// Writing rows.
    Rows,
    /// Waiting for COMMIT.
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
    abandoned: bool,
}

/// The progress of a writer or of the PostgreSQL control thread.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<ProgressState>);

/// The progress of all threads whose sessions are ours: the control thread, and all writers in service.
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
            abandoned: false,
        }))
    }
}

impl Progress {
    /// The thread is connected to this backend.
    pub(crate) fn connected(&self, pid: i32) {
        self.lock().backend = Some(pid);
    }

    /// The thread has no connection.
    pub(crate) fn disconnected(&self) {
        let mut state = self.lock();
        state.backend = None;
        state.phase = Phase::Idle;
    }

    /// An attempt at a batch begins: nothing of the one before holds for it.
    pub(crate) fn begin_attempt(&self) {
        let mut state = self.lock();
        state.past_the_fence = false;
        state.overdue = false;
    }

    /// The transaction is past its deadline, and its session is being ended.
    pub(crate) fn is_overdue(&self) {
        self.lock().overdue = true;
    }

    /// Whether the last transaction was ended because it was past its deadline.
    pub(crate) fn was_overdue(&self) -> bool {
        self.lock().overdue
    }

    /// A step begins. A deadline is measured from the fence, or from a step of a session outside transactions.
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

    /// Whether the last transaction got past the fence.
    pub(crate) fn past_the_fence(&self) -> bool {
        self.lock().past_the_fence
    }

    /// The last fence did not get its locks within the lock timeout.
    pub(crate) fn lock_timed_out(&self) {
        self.lock().locked_out = true;
    }

    /// The backend, if it waits for the locks of the fence a second time: the session that holds them may be frozen.
    pub(crate) fn waiting_again(&self) -> Option<i32> {
        let state = self.lock();
        if state.locked_out && state.phase == Phase::Fence { state.backend } else { None }
    }

    /// The backend that the thread is connected to.
    pub(crate) fn backend(&self) -> Option<i32> {
        self.lock().backend
    }

    /// Whether a transaction has been open for longer than `deadline`.
    pub(crate) fn hangs(&self, deadline: Duration) -> bool {
        let state = self.lock();
        state.phase != Phase::Idle && state.since.elapsed() >= deadline
    }

    /// The writer has been replaced: it must not write its batch any more.
    pub(crate) fn abandon(&self) {
        self.lock().abandoned = true;
    }

    /// Whether the writer has been replaced.
    pub(crate) fn abandoned(&self) -> bool {
        self.lock().abandoned
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, ProgressState> {
        self.0.lock()
    }
}
