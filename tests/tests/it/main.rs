//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod harness;
mod lost_positions;
mod moved_logs;
mod oracle;
mod pipeline;
mod poison;
mod positions;
mod restart;
