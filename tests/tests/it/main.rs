//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod batching_modes;
mod deletes;
mod harness;
mod keys;
mod lost_positions;
mod memory;
mod metadata;
mod moved_logs;
mod oracle;
mod pipeline;
mod poison;
mod positions;
mod restart;
mod schema_change;
mod shared_table;
mod transactions;
mod versions;
mod waits;
