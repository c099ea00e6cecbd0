//! Messages between threads: events, requests, reports, progress, wake-ups.

pub(crate) mod board;
pub(crate) mod events;
pub(crate) mod heartbeat;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod wakeup;
