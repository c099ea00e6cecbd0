//! What the operator asks for beside `run`. Each command is a file that knows its flags, its help and its output.

pub mod dead_letters;

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

/// How a command prints what it found, on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON value.
    Json,
}

/// The exit code of a command that failed: 2 when the configuration is at fault, else 1.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    let usage = error.downcast_ref::<Usage>().is_some();
    ExitCode::from(if usage { 2 } else { 1 })
}

/// Flags that do not fit the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
