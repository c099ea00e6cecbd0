//! The chart and the images on a real Kubernetes: `make cluster-test`.
//!
//! One cluster, one Kafka and one PostgreSQL for all; every test has a namespace, a database and topics of its own. They run
//! one after the other, since some of them drain the only node.

mod commands;
mod disruption;
mod flow;
mod install;
mod kubectl;
mod lifecycle;
mod objects;
mod producer;
mod release;
mod replicas;
mod rollouts;
mod secrets;
mod world;
