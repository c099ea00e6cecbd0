//! The sink's command line.

use std::process::ExitCode;

use clap::Parser as _;
use shared::log::LogFormat;
use shared::signal::Shutdown;
use sink_connector::cli::{Cli, Command};
use sink_connector::commands;
use sink_connector::config::{self, Config};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load(&cli.settings.config, std::env::vars_os(), &cli.settings.flags()) {
        Ok(config) => config,
        Err(errors) => return commands::refused(&cli.command(), &errors),
    };
    let outcome = match cli.command() {
        Command::Run(args) => {
            start(&config).and_then(|shutdown| sink_connector::run::run(&config, &args, shutdown))
        }
        Command::Check(args) => commands::check::run(&config, args),
        Command::Offsets(command) => commands::offsets::run(&config, &command),
        Command::DeadLetters(command) => commands::dead_letters::run(&config, &command),
        Command::InferDdl(args) => commands::infer_ddl::run(&config, &args),
        Command::Config(args) => commands::config::run(&config, args),
        Command::Reference => commands::reference::run(),
    };
    // Threads are not joined: one that hangs in a client library ends with the process.
    outcome.unwrap_or_else(|error| commands::failed(&error))
}

fn start(config: &Config) -> anyhow::Result<Shutdown> {
    let format = match config.log.format {
        config::LogFormat::Text => LogFormat::Text,
        config::LogFormat::Json => LogFormat::Json,
    };
    shared::log::init(format, "info")?;
    // A thread that panics takes the process with it: nothing half-done goes on, and nothing is lost by that.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::exit(1);
    }));
    Ok(Shutdown::install()?)
}
