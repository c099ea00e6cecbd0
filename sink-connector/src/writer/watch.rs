//! What others may know about a writer while it is inside the client library: which step, since when, which backend.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::writer::transaction::Phase;

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    backend: Option<i32>,
    locked_out: bool,
    past_the_fence: bool,
    abandoned: bool,
}

/// Shared between a writer and those who watch over it.
#[derive(Debug)]
pub struct Watch(Mutex<State>);

impl Default for Watch {
    fn default() -> Self {
        Self(Mutex::new(State {
            phase: Phase::Idle,
            since: Instant::now(),
            backend: None,
            locked_out: false,
            past_the_fence: false,
            abandoned: false,
        }))
    }
}

impl Watch {
    /// The writer has a connection to this backend.
    pub fn connected(&self, pid: i32) {
        self.lock().backend = Some(pid);
    }

    /// The writer has none.
    pub fn disconnected(&self) {
        let mut state = self.lock();
        state.backend = None;
        state.phase = Phase::Idle;
    }

    /// A step begins. The clock of the transaction starts with the fence and stops at the end.
    pub fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        if phase == Phase::Fence || phase == Phase::Idle {
            state.since = Instant::now();
        }
        if phase == Phase::Rows {
            state.locked_out = false;
        }
        if phase != Phase::Idle {
            state.past_the_fence = phase != Phase::Fence;
        }
        state.phase = phase;
    }

    /// The last transaction came further than to the fence.
    pub fn past_the_fence(&self) -> bool {
        self.lock().past_the_fence
    }

    /// The last fence waited for its lock in vain.
    pub fn was_locked_out(&self) {
        self.lock().locked_out = true;
    }

    /// The backend that waits for the fence a second time: who holds it should be looked at.
    pub fn waiting_again(&self) -> Option<i32> {
        let state = self.lock();
        if state.locked_out && state.phase == Phase::Fence { state.backend } else { None }
    }

    /// Its backend.
    pub fn backend(&self) -> Option<i32> {
        self.lock().backend
    }

    /// A transaction has been open for longer than `deadline`.
    pub fn hangs(&self, deadline: Duration) -> bool {
        let state = self.lock();
        state.phase != Phase::Idle && state.since.elapsed() >= deadline
    }

    /// The writer has a successor: what it still has is not its to write.
    pub fn abandon(&self) {
        self.lock().abandoned = true;
    }

    /// Whether the writer has a successor.
    pub fn abandoned(&self) -> bool {
        self.lock().abandoned
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
