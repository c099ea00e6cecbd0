//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod harness;
mod oracle;
mod pipeline;
mod poison;
mod restart;
mod types;
