//! The errors of `[kafka.properties]` that only librdkafka knows: unknown names, refused values, contradictions.

use std::sync::Arc;

use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaType;
use shared::kafka::{broken_client, broken_properties, broken_token_command};
use shared::settings::RuleError;

use crate::config::Config;
use crate::kafka::consumer::ClientSettings;
use crate::observe::metrics::Metrics;

/// Every error. No broker is contacted.
pub(crate) fn broken(config: &Config) -> Vec<RuleError> {
    let kafka = &config.kafka;
    let mut broken = broken_properties(&kafka.properties, kafka.secrets());
    broken.extend(broken_token_command(&kafka.token, kafka.librdkafka()));
    if !broken.is_empty() {
        return broken;
    }
    // What contradicts what is decided when a client is created.
    match create(config) {
        Ok(()) => broken,
        Err(error) => vec![broken_client(&error, kafka.librdkafka())],
    }
}

/// Creates the consumer as `run` does, without brokers, and drops it.
fn create(config: &Config) -> KafkaResult<()> {
    let metrics = Arc::new(Metrics::new(&config.name));
    let settings = ClientSettings { kafka: &config.kafka, client_id: String::new(), metrics };
    let mut properties = settings.properties();
    properties.remove("bootstrap.servers");
    let native = properties.create_native_config()?;
    Client::new(&properties, native, RDKafkaType::RD_KAFKA_CONSUMER, DefaultClientContext).map(drop)
}
