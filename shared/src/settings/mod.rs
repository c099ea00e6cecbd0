//! Layered settings for both binaries: defaults, TOML files, environment variables, flags, in that order.
//!
//! The structs that receive the settings also declare them: [`Schema`] derives all keys with their values, defaults and
//! help. The checks, the suggestions for mistyped keys, the reference documentation and the chart's schema use it. All
//! errors of all layers are reported together, each with its key and origin.
//!
//! ```no_run
//! # use std::sync::LazyLock;
//! # use shared::settings::{Layers, Schema, SettingsErrors};
//! #[derive(Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Config {
//!     /// What it is called.
//!     name: String,
//! }
//! static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::of::<Config>("DEMO"));
//!
//! # fn main() -> Result<(), SettingsErrors> {
//! let config: Config = Layers::new(&SCHEMA)
//!     .file("demo.toml".as_ref())
//!     .environment(std::env::vars_os())
//!     .flag("--name", "name", Some("other"))
//!     .load::<Config>()?
//!     .finish(Vec::new())?;
//! # Ok(()) }
//! ```

mod check;
mod environment;
mod errors;
mod keywords;
mod layers;
pub mod properties;
pub mod reference;
mod schema;
mod secret;
mod secret_command;
mod suggest;
#[cfg(test)]
mod tests;

pub use errors::{Problem, RuleError, SettingError, SettingsErrors};
pub use keywords::{KeywordError, keyword_values};
pub use layers::{Layers, Loaded};
pub use schema::Schema;
pub use secret::{Secret, SecretFileError, is_secret_property, redact_url, redacted, with_change};
pub use secret_command::{SecretCommandError, run_secret_command};
pub use suggest::nearest;

/// Serde representation of a [`std::time::Duration`] as a whole number of milliseconds, for keys that end in `_ms`.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Reads milliseconds.
    ///
    /// # Errors
    /// When the value is not a non-negative integer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }

    /// Writes milliseconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }
}
