//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use shared::settings::{Layers, SettingsErrors};

use crate::config::{SCHEMA, Scenario, Settings};
use crate::pace::Rate;

/// Publishes records to a Kafka topic: generated IPL live scores, live matches, or the lines of a file.
#[derive(Debug, Parser)]
#[command(
    name = "producer",
    version,
    arg_required_else_help = true,
    after_help = "\
Example: producer --config config/producer.toml run --interval 1s

Configuration comes from files, then the environment (PRODUCER__KAFKA__BOOTSTRAP_SERVERS), then flags.
Exit codes: 0 done, 1 failed or a record was not acknowledged, 2 configuration or usage wrong."
)]
pub struct Cli {
    /// TOML file; may be repeated: later files override earlier ones
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Vec<PathBuf>,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a batch every interval until stopped, and serve metrics and probes meanwhile
    #[command(after_help = "\
Examples:
  producer run --bootstrap-servers localhost:9092 --batch-size 100 --interval 5s
  producer run --scenario live --topic live_scores --deliveries-topic live_deliveries --rate 50/s

In the scenario live, four matches are played at the same time, and a ball counts as one record; --rate 0.1/s is the pace of real
ones.

If the topic does not exist at the start, the run fails within 5 s. SIGTERM and SIGINT end the run, which waits up to 10 s for outstanding acknowledgements. A second
signal ends it immediately. Exit code 1 means that a record was not acknowledged.")]
    Run(RunArgs),
    /// Publish one batch, wait until it is acknowledged, and exit
    #[command(after_help = "\
Example: producer once --bootstrap-servers localhost:9092 --records 10000

Exit code 1 means that a record was not acknowledged; the error says how many. If the topic does not exist,
the error comes within 5 s. If no broker is reachable, the cause is logged at once, and the records wait until
message.timeout.ms (30 s) has passed.")]
    Once(OnceArgs),
    /// Publish the JSON lines of a file, wait until they are acknowledged, and exit
    #[command(after_help = "\
Examples:
  producer publish orders.jsonl --topic orders --key order_id
  producer print --records 1000 | producer publish - --topic scores --key match_id

Every line is one JSON value, and becomes the value of a record as it is; blank lines are skipped. The lines of a file are
checked before the first is published: if one is not JSON, or has not the fields of its key, nothing is, and the exit code
is 2. Lines of standard input and of pipes are published as they come, up to the first bad one (exit code 1). The topic must
exist, unless the brokers create topics. Exit code 1 also means that a record was not acknowledged.")]
    Publish(PublishArgs),
    /// Publish a match from a file in cricsheet's JSON format, ball by ball, and exit
    #[command(after_help = "\
Example: producer replay 1426312.json --topic live_scores --deliveries-topic live_deliveries --rate 10/s

The records are those of the scenario live; the name of the file is the id of the match. cricsheet.org has the files; the format
is at https://cricsheet.org/format/json/ (1.x). Without --rate, the match is published as fast as possible. Exit code 1 means
that the file cannot be replayed, or that a record was not acknowledged.")]
    Replay(ReplayArgs),
    /// Write records to standard output as JSON lines, without Kafka
    #[command(after_help = "\
Examples:
  producer print --records 3 --seed 42
  producer print --scenario live --matches 1 --records 1000")]
    Print(PrintArgs),
    /// Print the effective configuration as TOML, secrets redacted
    #[command(after_help = "Example: producer --config config/producer.toml config > effective.toml")]
    Config,
    /// Print the script that completes command lines in a shell
    #[command(after_help = "Example: producer completions bash > /etc/bash_completion.d/producer")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages
    #[command(hide = true, after_help = "Example: producer man-pages man")]
    ManPages {
        /// A directory that exists
        directory: PathBuf,
    },
    /// Ask the running producer whether it is ready; for health checks
    #[command(after_help = "\
Example: producer --config config/producer.toml health

Asks over HTTP, at the address of http.listen: on loopback, if that is 0.0.0.0. Exit code 0 means ready, 1 that it is not or
that nobody answers within 5 s, 2 that http.listen names no server to ask; the reason is printed.")]
    Health(HealthArgs),
    /// Print the reference, from which docs/reference.md is generated
    #[command(hide = true, after_help = "Example: producer reference")]
    Reference(ReferenceArgs),
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Stop after this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub records: Option<u64>,
    /// Time from the start of one batch to the start of the next
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "rate")]
    pub interval: Option<Duration>,
    /// Flags of every command.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Flags of every command that publishes.
    #[command(flatten)]
    pub kafka: KafkaArgs,
}

/// Flags of `once`.
#[derive(Debug, Args)]
pub struct OnceArgs {
    /// Records of the one batch, in place of its configured size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub records: Option<u64>,
    /// Flags of every command.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Flags of every command that publishes.
    #[command(flatten)]
    pub kafka: KafkaArgs,
}

/// Flags of `publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// File of JSON lines; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Topic to publish to
    #[arg(long, value_name = "NAME")]
    pub topic: String,
    /// Fields that give each record its key: of one field its text or JSON, of several an object with just them. Without
    /// it records have no key
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',', value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub key: Vec<String>,
    /// Bootstrap brokers, comma-separated
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap_servers: Option<String>,
}

/// Flags of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A match: a file such as 1426312.json
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Balls per second, evenly spread
    #[arg(long, value_name = "N/s")]
    pub rate: Option<Rate>,
    /// Flags of every command that publishes.
    #[command(flatten)]
    pub kafka: KafkaArgs,
}

/// Flags of `print`.
#[derive(Debug, Args)]
pub struct PrintArgs {
    /// Records to write, in place of the configured batch size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub records: Option<u64>,
    /// Flags of every command.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Flags of `health`.
#[derive(Clone, Copy, Debug, Args)]
pub struct HealthArgs {
    /// Ask /livez instead of /readyz: whether the process works at all, whatever its brokers do
    #[arg(long)]
    pub live: bool,
}

/// Flags of `reference`.
#[derive(Debug, Args)]
pub struct ReferenceArgs {
    /// Print the JSON schema of a configuration file instead, from which the chart's schema is made
    #[arg(long)]
    pub json_schema: bool,
}

/// Flags of every command that generates records.
#[derive(Debug, Default, Args)]
pub struct SourceArgs {
    /// What is generated: matches, each of them once, or live matches, ball by ball
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<Scenario>,
    /// Live matches in all, after which the command ends
    #[arg(long, value_name = "N")]
    pub matches: Option<u64>,
    /// Records per batch
    #[arg(long, value_name = "N")]
    pub batch_size: Option<u64>,
    /// The same seed gives the same bytes; the seed also determines the time in the records
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Records per second, evenly spread, one batch after the other without a pause
    #[arg(long, value_name = "N/s")]
    pub rate: Option<Rate>,
}

/// Flags of every command that publishes.
#[derive(Debug, Args)]
pub struct KafkaArgs {
    /// Bootstrap brokers, comma-separated
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap_servers: Option<String>,
    /// Topic to publish to
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Topic for the single balls of live matches, one record for each
    #[arg(long, value_name = "NAME")]
    pub deliveries_topic: Option<String>,
}

impl Command {
    /// The flags of every command that generates records.
    fn source(&self) -> Option<&SourceArgs> {
        match self {
            Self::Run(RunArgs { source, .. })
            | Self::Once(OnceArgs { source, .. })
            | Self::Print(PrintArgs { source, .. }) => Some(source),
            _ => None,
        }
    }

    /// The pace, if a flag sets one.
    pub fn rate(&self) -> Option<Rate> {
        match self {
            Self::Replay(replay) => replay.rate,
            other => other.source().and_then(|source| source.rate),
        }
    }

    /// The scenario, if a flag or the command itself sets one.
    fn scenario(&self) -> Option<Scenario> {
        match self {
            Self::Replay(_) => Some(Scenario::Live),
            other => other.source().and_then(|source| source.scenario),
        }
    }

    /// Brokers and topic, where they were given.
    fn kafka(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Run(RunArgs { kafka, .. })
            | Self::Once(OnceArgs { kafka, .. })
            | Self::Replay(ReplayArgs { kafka, .. }) => {
                (kafka.bootstrap_servers.as_deref(), kafka.topic.as_deref())
            }
            Self::Publish(args) => (args.bootstrap_servers.as_deref(), Some(&args.topic)),
            _ => (None, None),
        }
    }

    fn deliveries_topic(&self) -> Option<&str> {
        match self {
            Self::Run(RunArgs { kafka, .. })
            | Self::Once(OnceArgs { kafka, .. })
            | Self::Replay(ReplayArgs { kafka, .. }) => kafka.deliveries_topic.as_deref(),
            _ => None,
        }
    }

    fn interval(&self) -> Option<Duration> {
        match self {
            Self::Run(run) => run.interval,
            _ => None,
        }
    }
}

impl Cli {
    /// Loads the settings from files, environment and flags.
    ///
    /// # Errors
    /// All errors, each with its key and origin.
    pub fn settings(&self) -> Result<Settings, SettingsErrors> {
        let mut layers = Layers::new(&SCHEMA);
        for file in &self.config {
            layers = layers.file(file);
        }
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let source = self.command.source();
        let (bootstrap_servers, topic) = self.command.kafka();
        let none = SourceArgs::default();
        let source = source.unwrap_or(&none);
        let scenario = self.command.scenario().map(Scenario::name);
        let interval_ms = self.command.interval().map(|interval| interval.as_millis().to_string());
        layers = layers
            .environment(std::env::vars_os())
            .flag("--batch-size", "producer.batch_size", number(source.batch_size).as_deref())
            .flag("--seed", "producer.seed", number(source.seed).as_deref())
            .flag("--scenario", "producer.scenario", scenario)
            .flag("--matches", "producer.matches", number(source.matches).as_deref())
            .flag("--interval", "producer.interval_ms", interval_ms.as_deref())
            .flag("--bootstrap-servers", "kafka.bootstrap_servers", bootstrap_servers)
            .flag("--topic", "kafka.topic", topic)
            .flag("--deliveries-topic", "kafka.deliveries_topic", self.command.deliveries_topic());
        Settings::load(layers)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
        for command in commands.chain([&Cli::command()]) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example =
                ["Example: producer ", "Examples:\n  producer "].iter().any(|words| help.contains(words));
            assert!(example, "{}", command.get_name());
        }
    }

    #[test]
    fn flags_reach_the_settings() {
        let cli = Cli::parse_from(
            "producer run --interval 1500ms --batch-size 7 --seed 3 --topic t".split_whitespace(),
        );
        let settings = cli.settings().unwrap();
        assert_eq!(settings.producer.interval, Duration::from_millis(1500));
        assert_eq!((settings.producer.batch_size, settings.producer.seed), (7, Some(3)));
        assert_eq!(settings.kafka.topic, "t");
    }

    #[test]
    fn live_matches_can_be_asked_for_by_flags_alone() {
        let cli = Cli::parse_from(
            "producer once --scenario live --matches 3 --deliveries-topic balls".split_whitespace(),
        );
        let settings = cli.settings().unwrap();
        assert_eq!((settings.producer.scenario, settings.producer.matches), (Scenario::Live, Some(3)));
        assert_eq!(settings.kafka.deliveries_topic.as_deref(), Some("balls"));
        let cli =
            Cli::parse_from("producer replay 1.json --deliveries-topic balls --rate 5/s".split_whitespace());
        assert!(cli.settings().is_ok() && cli.command.rate().is_some());
    }
}
