//! The committer: a thread that tells Kafka the positions, and hears what Kafka says to them.
//!
//! librdkafka answers an asynchronous commit only through a callback that the Rust client does not set, so it would
//! never be known whether Kafka takes them.

use crossbeam_channel::Receiver;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::metrics::Metrics;
use crate::source::consumer::Consumer;

/// Works until the channel is closed. A commit takes as long as Kafka's answer, which may be long.
pub fn run(consumer: &Consumer, metrics: &Metrics, positions: &Receiver<TopicPartitionList>) {
    let mut refused = false;
    for list in positions {
        let outcome = match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => {
                if refused {
                    tracing::info!("Kafka takes the positions again");
                }
                refused = false;
                "ok"
            }
            Err(error) => {
                if !refused {
                    tracing::warn!(%error, "Kafka does not take the positions; those in PostgreSQL are what counts");
                }
                refused = true;
                "failed"
            }
        };
        metrics.kafka_commits.with_label_values(&[outcome]).inc();
    }
}
