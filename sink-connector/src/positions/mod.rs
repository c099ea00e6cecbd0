//! Where partitions stand: in memory (`ledger`, `partition`), in PostgreSQL (`stored`), and at first (`first`).

pub(crate) mod first;
pub(crate) mod held;
pub(crate) mod ledger;
pub(crate) mod partition;
pub(crate) mod span;
pub(crate) mod stopped;
pub(crate) mod stored;
pub(crate) mod target_id;
