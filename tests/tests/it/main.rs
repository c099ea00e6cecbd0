//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod breaker;
mod dead_letter_topic;
mod dead_letters;
mod harness;
mod lost_positions;
mod memory;
mod moved_logs;
mod oracle;
mod pipeline;
mod poison;
mod positions;
mod restart;
mod schema_change;
mod shared_table;
mod tolerance;
mod transactions;
mod waits;
