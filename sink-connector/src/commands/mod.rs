//! The commands besides `run`. Each file has the flags, the help and the output of one command.

pub mod check;
pub mod config;
pub mod dead_letters;
pub mod health;
pub mod import_connect;
pub mod infer_ddl;
mod kafka;
mod lock_watch;
pub mod offsets;
mod postgres;
pub mod reference;
mod sample;
pub mod try_file;

use std::process::ExitCode;

use clap::ValueEnum;
use rdkafka::error::KafkaError;
use serde::Serialize;
use shared::health::Unhealthy;
use shared::log::LogError;
use shared::settings::SettingsErrors;

use crate::config::{Check, Config, DdlError};
use crate::postgres::handshake::ConnectError;
use crate::run;
use crate::run::args::RunArgs;

/// What is checked of the configuration before any command begins.
pub const CHECKS: &[Check] = &[
    Config::rules,
    crate::kafka::rules::broken,
    crate::postgres::rules::broken,
    crate::table::targets::broken,
];
/// The same for a command that proposes tables.
pub const CHECKS_WITHOUT_TABLES: &[Check] =
    &[Config::rules_without_tables, crate::kafka::rules::broken, crate::postgres::rules::broken];

/// How a command prints what it found, on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON value.
    Json,
}

/// The exit codes of every command, for the help and the reference.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "failed"),
    (2, "configuration or usage wrong; nothing was touched"),
    (
        3,
        "a bounded run ended with dead letters and --fail-on-dead-letters, dead letters are left after a replay, or `try` \
         rejected a line, or `import-connect` met keys that are not supported or not given",
    ),
    (4, "stopped by the error policy"),
    (5, "a bounded run passed its --deadline"),
];

/// Exit code of a configuration error.
const CONFIGURATION: u8 = 2;
/// Exit code of any other failure.
const FAILED: u8 = 1;

/// The exit code for a configuration that does not load. Prints the errors; `check --output json` and `run --summary json`
/// print JSON as well.
pub fn invalid_configuration(
    args: Option<&RunArgs>,
    check: Option<Output>,
    errors: &SettingsErrors,
) -> ExitCode {
    shared::errln!("{errors}");
    if let Some(args) = args {
        run::print_invalid_configuration(args, errors, CONFIGURATION);
    }
    if check == Some(Output::Json)
        && let Err(error) = shared::outln!("{}", check::invalid_configuration(errors))
    {
        shared::errln!("error: {error}");
    }
    ExitCode::from(CONFIGURATION)
}

/// Prints the error of a command that failed, and returns its exit code.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    shared::log::report("error: ", &run::text(error));
    ExitCode::from(exit_code(error))
}

/// The exit code of a command that failed: 2 for a configuration error, otherwise 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let configuration = error.chain().any(|cause| {
        let kafka = matches!(
            cause.downcast_ref(),
            Some(KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))
        );
        let filter = matches!(cause.downcast_ref(), Some(LogError::Filter { .. }));
        let health = cause.downcast_ref().is_some_and(Unhealthy::is_configuration);
        kafka
            || filter
            || health
            || cause.is::<ConnectError>()
            || cause.is::<DdlError>()
            || cause.is::<Usage>()
    });
    if configuration { CONFIGURATION } else { FAILED }
}

/// Flags that contradict the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    shared::outln!("{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}
