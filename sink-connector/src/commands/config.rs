//! `config`: what applies after files, variables and flags.

use std::process::ExitCode;

use clap::Args;

use super::{Output, print_json};
use crate::config::Config;

/// What `config --help` ends with.
pub const AFTER: &str = "\
Example:
  SINK__BATCH__MAX_ROWS=500 sink-connector --config sink.toml config > effective.toml";

/// Flags of `config`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq)]
pub struct ConfigArgs {
    /// Output format: text is TOML, which is a valid configuration file
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Prints the effective configuration, secrets redacted.
///
/// # Errors
/// None that is known: every value has a TOML form and a JSON form.
pub fn run(config: &Config, args: ConfigArgs) -> anyhow::Result<ExitCode> {
    match args.output {
        Output::Text => shared::out!("{}", config.to_toml()?)?,
        Output::Json => print_json(&config.shown())?,
    }
    Ok(ExitCode::SUCCESS)
}
