//! `health`: asks the sink of this configuration whether it is ready, over HTTP.

use std::process::ExitCode;

use clap::Args;
use shared::health::{Probe, ask};

use crate::config::Config;

/// The end of `health --help`.
pub const AFTER: &str = "\
Asks the running sink over HTTP, at the address of http.listen: on loopback, if that is 0.0.0.0. For health checks in images \
without a shell.

Exit codes:
  0  it is ready (with --live: alive)
  1  it is not, or nobody answers within 5 s; the reason is printed
  2  configuration or usage error; also http.listen = \"off\", or port 0, which is chosen when the sink starts

Examples:
  sink-connector --config sink.toml health
  sink-connector --config sink.toml health --live";

/// Flags of `health`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq)]
pub struct HealthArgs {
    /// Ask /livez instead of /readyz: whether the process works at all, whatever its database and brokers do
    #[arg(long)]
    pub live: bool,
}

/// Asks, and prints the answer.
///
/// # Errors
/// The sink is not healthy.
pub fn run(config: &Config, args: HealthArgs) -> anyhow::Result<ExitCode> {
    let answer = ask(&config.http.listen, if args.live { Probe::Live } else { Probe::Ready })?;
    shared::outln!("{answer}")?;
    Ok(ExitCode::SUCCESS)
}
