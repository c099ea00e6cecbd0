//! Our binaries against a real Kafka and a real PostgreSQL; one module per behaviour.

mod batching;
mod frozen;
mod harness;
mod hung_database;
mod oracle;
mod pipeline;
mod poison;
mod rebalance;
mod restart;
