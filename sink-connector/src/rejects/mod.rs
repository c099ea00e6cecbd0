//! Rejected records: the error policy, the breaker, and where dead letters go.

pub(crate) mod breaker;
pub(crate) mod cause;
pub(crate) mod dead_letter_topic;
pub(crate) mod dead_letters;
pub(crate) mod policy;
