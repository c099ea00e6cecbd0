//! Health, metrics and throughput.

pub(crate) mod health;
pub(crate) mod last_errors;
pub(crate) mod metrics;
pub(crate) mod problem;
pub(crate) mod rejections;
pub(crate) mod throughput;
