//! What both binaries need of librdkafka: why it cannot reach its brokers, and which properties it refuses.

mod causes;
mod properties;
mod repeated;

pub use causes::Causes;
pub use properties::{broken_client, broken_properties};
pub use repeated::RepeatedFailures;
