//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod harness;
mod hidden_refusals;
mod lost_positions;
mod memory;
mod moved_logs;
mod oracle;
mod pipeline;
mod poison;
mod positions;
mod refusals;
mod restart;
mod schema_change;
mod server_errors;
mod shared_table;
mod special_tables;
mod sqlstates;
mod transactions;
mod waits;
