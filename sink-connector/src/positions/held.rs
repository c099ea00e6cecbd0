//! What keeps a partition from being read although its position is known. Pure.

use std::sync::Arc;

/// What holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeldBy {
    /// The breaker of its topic is open.
    Breaker,
    /// Its table cannot be written.
    Table,
}

impl HeldBy {
    /// The value of the label `cause`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Table => "table",
        }
    }
}

/// Nothing that is taken from a partition that is held is written, but for retries.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub by: HeldBy,
    /// For people.
    pub reason: Arc<str>,
    /// Its records are taken for the next retry.
    growing: bool,
}

impl Held {
    /// Held from now on.
    pub(super) fn new(by: HeldBy, reason: Arc<str>) -> Self {
        Self { by, reason, growing: false }
    }

    /// Records are taken for the next retry. False if they were already.
    pub(super) fn grow(&mut self) -> bool {
        !std::mem::replace(&mut self.growing, true)
    }

    /// No more records are taken for the next retry. False if none were.
    pub(super) fn stop_growing(&mut self) -> bool {
        std::mem::take(&mut self.growing)
    }

    /// Records are taken for the next retry.
    pub(super) fn is_growing(&self) -> bool {
        self.growing
    }
}
