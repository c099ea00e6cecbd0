//! The command line of the sink: loads the configuration and runs the command.

// They panic when they cannot write; `shared::output` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory as _, Parser as _};
use shared::signal::Shutdown;
use sink_connector::cli::{Cli, Command};
use sink_connector::config::Config;
use sink_connector::run::args::RunArgs;
use sink_connector::{commands, run};

fn main() -> ExitCode {
    let code = command(&Cli::parse());
    shared::log::flush();
    code
}

fn command(cli: &Cli) -> ExitCode {
    if let Some(outcome) = without_configuration(cli) {
        return outcome.unwrap_or_else(|error| commands::failed(&error));
    }
    let checks = match &cli.command {
        // Its output completes the configuration.
        Command::InferDdl(_) => commands::CHECKS_WITHOUT_TABLES,
        // It needs the address only, and may run without the files of the sink.
        Command::Health(_) => &[],
        _ => commands::CHECKS,
    };
    let (files, flags) = (&cli.settings.config, cli.settings.flags());
    let config = match Config::load_with(files, std::env::vars_os(), &flags, checks) {
        Ok(config) => config,
        Err(errors) => {
            let command = &cli.command;
            return commands::invalid_configuration(command.run_args(), command.check_output(), &errors);
        }
    };
    let outcome = match &cli.command {
        Command::Run(args) => return run_sink(&config, args),
        Command::Check(args) => commands::check::run(&config, *args),
        Command::Offsets(command) => commands::offsets::run(&config, command),
        Command::DeadLetters(command) => commands::dead_letters::run(&config, command),
        Command::InferDdl(args) => commands::infer_ddl::run(&config, args),
        Command::Try(args) => commands::try_file::run(&config, args),
        Command::Config(args) => commands::config::run(&config, *args),
        Command::Health(args) => commands::health::run(&config, *args),
        Command::ImportConnect(_)
        | Command::Completions { .. }
        | Command::ManPages { .. }
        | Command::Reference(_) => Ok(ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| commands::failed(&error))
}

/// What a command that needs no configuration does.
fn without_configuration(cli: &Cli) -> Option<anyhow::Result<ExitCode>> {
    let done = |()| ExitCode::SUCCESS;
    Some(match &cli.command {
        Command::ImportConnect(args) => {
            commands::import_connect::run(args, cli.settings.bootstrap_servers.as_deref())
        }
        Command::Completions { shell } => {
            let script = shared::manual::completions(Cli::command(), *shell);
            shared::out!("{script}").map(done).map_err(Into::into)
        }
        Command::ManPages { directory } => {
            shared::manual::write_pages(Cli::command(), directory).map(done).map_err(Into::into)
        }
        Command::Reference(args) => commands::reference::run(*args),
        _ => return None,
    })
}

/// The summary is the last that is printed, also for readers of both outputs together.
fn run_sink(config: &Config, args: &RunArgs) -> ExitCode {
    let started = Instant::now();
    let outcome = start(config).and_then(|shutdown| run::run(config, args, shutdown));
    outcome.unwrap_or_else(|error| {
        let code = commands::failed(&error);
        run::print_failure(args, started, &error, commands::exit_code(&error));
        code
    })
}

fn start(config: &Config) -> anyhow::Result<Shutdown> {
    shared::log::init(config.log.format, "info")?;
    Ok(run::prepare()?)
}
