//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod batching_modes;
mod deletes;
mod frozen;
mod harness;
mod hidden_refusals;
mod hung_database;
mod keys;
mod lost_positions;
mod memory;
mod metadata;
mod moved_logs;
mod oracle;
mod pipeline;
mod poison;
mod positions;
mod rebalance;
mod refusals;
mod restart;
mod schema_change;
mod shared_table;
mod transactions;
mod types;
mod versions;
mod waits;
