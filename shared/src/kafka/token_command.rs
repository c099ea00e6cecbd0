//! The keys of `[kafka]` for a program that prints tokens.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::millis;

/// A part of the section `[kafka]` of both binaries.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default)]
pub struct TokenCommand {
    /// Program and arguments that print a token for `sasl.mechanism=OAUTHBEARER`, a JWT with `exp`. It is run at the start, and
    /// again when 80 % of the token's time have passed.
    #[serde(rename = "oauthbearer_token_command", skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Longest time of `oauthbearer_token_command`; after that it is killed.
    #[serde(rename = "oauthbearer_token_command_timeout_ms", with = "millis")]
    #[schemars(with = "u64", range(min = 100, max = 600_000), extend("x-unit" = "ms"))]
    pub timeout: Duration,
}

impl Default for TokenCommand {
    fn default() -> Self {
        Self { command: None, timeout: Duration::from_secs(10) }
    }
}
