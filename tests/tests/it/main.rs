//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod check;
mod check_mistakes;
mod harness;
mod infer_ddl;
mod lost_positions;
mod memory;
mod moved_logs;
mod offsets_command;
mod oracle;
mod pipeline;
mod poison;
mod positions;
mod reference;
mod restart;
mod schema_change;
mod shared_table;
mod transactions;
mod waits;
