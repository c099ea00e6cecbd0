//! What both binaries need of librdkafka: why it cannot reach its brokers, and which properties it refuses.

pub mod addresses;
mod builds;
mod causes;
mod certificate;
mod login;
mod properties;
mod start_files;
mod token;
mod token_command;
mod topic_name;

pub use causes::Causes;
pub use login::{LoginClient, LoginSource, RenewedLogin, broken_token_command};
pub use properties::{broken_client, broken_properties};
pub use start_files::StartFiles;
pub use token_command::TokenCommand;
pub use topic_name::{is_topic, not_a_topic};
