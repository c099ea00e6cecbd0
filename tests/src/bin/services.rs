//! A Kafka and a PostgreSQL to try things with: `services up`, `status`, `down`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tests::background::BackgroundServices;
use tests::kafka::groups;

/// Starts and stops a local Kafka and PostgreSQL, without Docker.
///
/// Example: eval "$(services up)" && psql "$POSTGRES_URL"
#[derive(Parser)]
struct Arguments {
    /// Where the state is kept.
    #[arg(long, default_value = ".services", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts both in the background, or finds them running; prints their addresses.
    Up {
        /// Kafka's port; a free one if it is taken.
        #[arg(long, default_value_t = 9092)]
        kafka_port: u16,
        /// PostgreSQL's port; a free one if it is taken.
        #[arg(long, default_value_t = 5432)]
        postgres_port: u16,
    },
    /// Prints their addresses as KEY=VALUE lines; exit code 1 when they are not up.
    Status,
    /// Stops both and deletes all their data.
    Down,
    /// Kafka's own consumer-group tool: positions and lag of a group.
    Group {
        /// The group, e.g. ipl_consumer_group.
        group: String,
    },
}

fn main() -> ExitCode {
    match act(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(Arguments { dir, command }: Arguments) -> Result<()> {
    match command {
        Command::Up { kafka_port, postgres_port } => {
            print(&BackgroundServices::up(&dir, kafka_port, postgres_port)?);
        }
        Command::Status => print(&running(&dir)?),
        Command::Down => match BackgroundServices::down(&dir)? {
            true => eprintln!("Kafka and PostgreSQL are stopped, their data is deleted."),
            false => eprintln!("Nothing to stop."),
        },
        Command::Group { group } => {
            print!("{}", groups::describe(&running(&dir)?.bootstrap_servers, &group)?);
        }
    }
    Ok(())
}

fn running(dir: &Path) -> Result<BackgroundServices> {
    BackgroundServices::load(dir)?
        .filter(BackgroundServices::is_up)
        .context("the services are not up: `services up` starts them")
}

fn print(services: &BackgroundServices) {
    println!("BOOTSTRAP_SERVERS={}", services.bootstrap_servers);
    println!("POSTGRES_URL={}", services.postgres_url);
    println!("KAFKA_PID={}", services.kafka.pid);
    println!("POSTGRES_PID={}", services.postgres.pid);
}
