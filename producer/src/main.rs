//! The producer's process: configuration, log, command.

// `println!` panics on a write error; `shared::output` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

use std::io::{BufWriter, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser};
use producer::cli::{Cli, Command, HealthArgs};
use producer::config::Settings;
use producer::file::{FileError, Input, Publication};
use producer::metrics::Measured;
use producer::print::print;
use producer::produce::{Batches, Production};
use producer::publish::{PublishError, Publisher};
use producer::source::Source;
use producer::status::Status;
use shared::health::{Probe, Unhealthy, ask};
use shared::output::with_causes;
use shared::signal::Shutdown;
use shared::{http, log};

fn main() -> ExitCode {
    let code = command(&Cli::parse());
    log::flush();
    code
}

fn command(cli: &Cli) -> ExitCode {
    let outcome = match &cli.command {
        Command::Reference(args) => {
            shared::out!("{}", producer::reference::text(args.json_schema)).map_err(Into::into)
        }
        Command::Completions { shell } => {
            let script = shared::manual::completions(Cli::command(), *shell);
            shared::out!("{script}").map_err(Into::into)
        }
        Command::ManPages { directory } => {
            shared::manual::write_pages(Cli::command(), directory).map_err(Into::into)
        }
        Command::Config => cli.settings().map_err(Into::into).and_then(|settings| {
            shared::out!("{}", settings.to_toml()?)?;
            Ok(())
        }),
        Command::Health(args) => {
            cli.settings().map_err(Into::into).and_then(|settings| health(&settings, args))
        }
        command => cli.settings().map_err(Into::into).and_then(|settings| run(command, &settings)),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    log::report("", &with_causes(error.chain().map(ToString::to_string)));
    let usage = error.is::<shared::settings::SettingsErrors>()
        || matches!(error.downcast_ref(), Some(PublishError::Configuration(_)))
        || matches!(error.downcast_ref(), Some(log::LogError::Filter { .. }))
        || error.downcast_ref().is_some_and(Unhealthy::is_configuration)
        || error.downcast_ref().is_some_and(FileError::is_usage);
    ExitCode::from(if usage { 2 } else { 1 })
}

fn run(command: &Command, settings: &Settings) -> anyhow::Result<()> {
    log::init(settings.log.format, "info")?;
    let size = settings.producer.batch_size;
    let mut source = match command {
        Command::Replay(args) => Source::replay(&args.file, args.rate)?,
        command => Source::new(&settings.producer, command.rate()),
    };
    if let Command::Print(args) = command {
        let all = settings.producer.matches.map(|_| u64::MAX);
        let records = args.records.or(all).unwrap_or(size);
        return Ok(print(&mut source, records, BufWriter::new(stdout().lock()))?);
    }
    let shutdown = Shutdown::install()?;
    let status = Arc::new(Status::new(Measured::new()?, &settings.kafka, source.seed()));
    let publisher = Publisher::new(&settings.kafka, Arc::clone(&status), shutdown.clone())?;
    if let Command::Publish(args) = command {
        let key = args.key.clone();
        let input = Input::from(args.file.as_path());
        let publication = Publication { input, key, max_bytes: settings.kafka.max_bytes() };
        return Ok(publication.run(publisher, &status, &shutdown)?);
    }
    tracing::info!(topic = settings.kafka.topic, seed = source.seed(), "publishing");
    let production = Production::new(source, publisher, Arc::clone(&status), shutdown);
    match command {
        Command::Run(args) => {
            // Dropped, and stopped, after the run.
            let server = settings.http.listen()?.map(|listen| http::serve(listen, status)).transpose()?;
            if let Some(server) = &server {
                tracing::info!(address = %server.local_addr(), "serving metrics and probes");
            }
            let batches = Batches { size, interval: settings.producer.interval, records: args.records };
            production.run(batches)?;
        }
        Command::Once(args) => {
            // So many matches are one batch.
            let all = settings.producer.matches.is_some();
            production.once(args.records.or_else(|| (!all).then_some(size)))?;
        }
        Command::Replay(_) => production.once(None)?,
        _ => {}
    }
    Ok(())
}

/// Asks the running producer whether it is ready.
fn health(settings: &Settings, args: &HealthArgs) -> anyhow::Result<()> {
    let answer = ask(&settings.http.listen, if args.live { Probe::Live } else { Probe::Ready })?;
    shared::outln!("{answer}")?;
    Ok(())
}
