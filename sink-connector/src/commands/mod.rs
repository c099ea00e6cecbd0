//! What the operator asks for beside `run`. Each command is a file that knows its flags, its help and its output.

pub mod check;
pub mod config;
pub mod dead_letters;
pub mod infer_ddl;
mod kafka;
pub mod offsets;
mod postgres;
pub mod reference;
mod sample;

use std::process::ExitCode;

use clap::ValueEnum;
use rdkafka::error::KafkaError;
use serde::Serialize;
use shared::settings::SettingsErrors;

use crate::cli::Command;
use crate::config::DdlError;
use crate::tls::UrlError;

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
    (3, "a bounded run ended with dead letters and --fail-on-dead-letters"),
    (4, "stopped by the error policy"),
    (5, "a bounded run passed its --deadline"),
];

/// Ends the process over a configuration that does not load. `check --output json` says so in its own way.
pub fn refused(command: &Command, errors: &SettingsErrors) -> ExitCode {
    eprintln!("{errors}");
    if let Command::Check(args) = command
        && args.output == Output::Json
    {
        println!("{}", check::refused(errors));
    }
    ExitCode::from(2)
}

/// The exit code of a command that failed: 2 when the configuration is at fault, else 1.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    let configuration = error.chain().any(|cause| {
        let kafka = matches!(
            cause.downcast_ref(),
            Some(KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))
        );
        kafka || cause.is::<UrlError>() || cause.is::<DdlError>() || cause.is::<Usage>()
    });
    ExitCode::from(if configuration { 2 } else { 1 })
}

/// Flags that do not fit the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
