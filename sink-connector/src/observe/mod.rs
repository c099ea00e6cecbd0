//! Health, metrics and throughput.

pub(crate) mod health;
mod last_errors;
pub(crate) mod metrics;
pub(crate) mod rejections;
pub(crate) mod throughput;
