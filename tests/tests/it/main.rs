//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod envelopes;
mod frozen;
mod harness;
mod hidden_refusals;
mod hung_database;
mod lost_positions;
mod memory;
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
mod topics;
mod transactions;
mod types;
mod waits;
