//! The command line of the sink.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::check::{self, CheckArgs};
use crate::commands::config::{self, ConfigArgs};
use crate::commands::dead_letters::{self, DeadLettersCommand};
use crate::commands::health::{self, HealthArgs};
use crate::commands::import_connect::{self, ImportConnectArgs};
use crate::commands::infer_ddl::{self, InferDdlArgs};
use crate::commands::offsets::{self, OffsetsCommand};
use crate::commands::reference::ReferenceArgs;
use crate::commands::try_file::{self, TryArgs};
use crate::commands::{EXIT_CODES, Output};
use crate::config::Flag;
use crate::run;
use crate::run::args::RunArgs;

const EXAMPLES: &str = "\
Examples:
  sink-connector run                                  run with the bundled configuration
  sink-connector --config sink.toml check             check everything that the sink needs
  sink-connector --config sink.toml run --until-end   write the records up to the current end, then exit
  SINK__LOG__FORMAT=json sink-connector config        print the effective configuration

Exit codes:";

fn after() -> String {
    let codes = EXIT_CODES.iter().map(|(code, meaning)| format!("\n  {code}  {meaning}"));
    codes.fold(EXAMPLES.to_owned(), |text, line| text + &line)
}

/// Writes the JSON records of Kafka topics to PostgreSQL tables, exactly once in effect.
#[derive(Clone, Debug, Parser, PartialEq)]
#[command(name = "sink-connector", version, after_help = after(), arg_required_else_help = true, subcommand_required = true)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that set the configuration; every command takes them.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Configuration")]
pub struct SettingsArgs {
    /// TOML file; may be repeated: later files override earlier ones, variables SINK__… override files
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Vec<PathBuf>,
    /// Sets `name`, under which positions are stored
    #[arg(long, global = true)]
    pub name: Option<String>,
    /// Sets `kafka.bootstrap_servers`
    #[arg(long, value_name = "HOST:PORT,…", global = true)]
    pub bootstrap_servers: Option<String>,
    /// Sets `postgres.url`; other users of the machine can see it, so put the password in a file
    #[arg(long, value_name = "URL", global = true)]
    pub postgres_url: Option<String>,
}

/// The commands.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Write records to PostgreSQL until a signal or a bound stops it
    #[command(after_help = run::args::AFTER)]
    Run(RunArgs),
    /// Check everything that the sink needs; writes nothing
    #[command(after_help = check::AFTER)]
    Check(CheckArgs),
    /// Show or reset partition positions
    #[command(subcommand, after_help = offsets::AFTER)]
    Offsets(OffsetsCommand),
    /// List, replay or discard dead letters
    #[command(subcommand, after_help = dead_letters::AFTER)]
    DeadLetters(DeadLettersCommand),
    /// Propose a table from the newest records of a topic
    #[command(after_help = infer_ddl::AFTER)]
    InferDdl(InferDdlArgs),
    /// Decode a file of JSON lines as the sink would, without Kafka
    #[command(after_help = try_file::AFTER)]
    Try(TryArgs),
    /// Translate the configuration of a JDBC sink on Kafka Connect into one for this sink
    #[command(after_help = import_connect::AFTER)]
    ImportConnect(ImportConnectArgs),
    /// Print the effective configuration, secrets redacted
    #[command(after_help = config::AFTER)]
    Config(ConfigArgs),
    /// Ask the running sink whether it is ready; for health checks
    #[command(after_help = health::AFTER)]
    Health(HealthArgs),
    /// Print the script that completes command lines in a shell
    #[command(
        after_help = "Example:\n  sink-connector completions bash > /etc/bash_completion.d/sink-connector"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages
    #[command(hide = true)]
    ManPages {
        /// A directory that exists
        directory: PathBuf,
    },
    /// Print the reference, from which docs/reference.md is generated
    #[command(hide = true)]
    Reference(ReferenceArgs),
}

impl Command {
    /// The flags of `run`, if this is `run`.
    #[must_use]
    pub fn run_args(&self) -> Option<&RunArgs> {
        if let Self::Run(args) = self { Some(args) } else { None }
    }

    /// The output format of `check`, if this is `check`.
    #[must_use]
    pub fn check_output(&self) -> Option<Output> {
        if let Self::Check(args) = self { Some(args.output) } else { None }
    }
}

impl SettingsArgs {
    /// The flags that set keys, for [`crate::config::Config::load`].
    #[must_use]
    pub fn flags(&self) -> [Flag<'_>; 3] {
        [
            ("--name", "name", self.name.as_deref()),
            ("--bootstrap-servers", "kafka.bootstrap_servers", self.bootstrap_servers.as_deref()),
            ("--postgres-url", "postgres.url", self.postgres_url.as_deref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use std::time::Duration;

    use super::*;
    use crate::run::args::SummaryFormat;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_declaration_is_sound() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn without_a_command_the_help_is_printed() {
        let help = parse("sink-connector").unwrap_err();
        assert_eq!(help.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
        assert!(help.to_string().contains("Commands:"), "{help}");
        assert_eq!(parse("sink-connector --config a.toml").unwrap_err().exit_code(), 2);
        let cli = parse("sink-connector run --config a.toml --config b.toml").unwrap();
        assert_eq!(cli.command, Command::Run(RunArgs::default()));
        assert_eq!(cli.settings.config, [PathBuf::from("a.toml"), PathBuf::from("b.toml")]);
    }

    #[test]
    fn every_flag_of_a_run_is_read() {
        let line = "sink-connector run --max-records 100 --until-end --idle-timeout 10s --deadline 10m \
                    --fail-on-dead-letters --summary json --summary-file s.json --name n --config a.toml";
        let cli = parse(line).unwrap();
        let Command::Run(run) = cli.command else { panic!("{cli:?}") };
        let expected = RunArgs {
            max_records: Some(100),
            until_end: true,
            idle_timeout: Some(Duration::from_secs(10)),
            deadline: Some(Duration::from_secs(600)),
            fail_on_dead_letters: true,
            summary: Some(SummaryFormat::Json),
            summary_file: Some("s.json".into()),
        };
        assert_eq!(run, expected);
        assert!(run.is_bounded() && !RunArgs::default().is_bounded());
        assert_eq!(cli.settings.flags()[0], ("--name", "name", Some("n")));
        assert_eq!(cli.settings.config.len(), 1);
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for line in [
            "run --max-records 0",
            "run --max-records many",
            "run --idle-timeout 10",
            "run --deadline 0s",
            "run --summary xml",
            "run --fail-on-dead-letters",
            "--until-ends",
            "fly",
            "check --sample -1",
            "check --output xml",
            "offsets",
            "offsets reset",
            "offsets reset --to-earliest --to-latest",
            "offsets reset --to-offset -1",
            "offsets reset --to-datetime yesterday",
            "infer-ddl",
            "dead-letters",
            "dead-letters list --partition -1",
            "dead-letters replay --since yesterday",
            "dead-letters discard --output xml",
            "try",
            "try a b",
            "import-connect",
            "completions",
            "completions cmd",
            "",
        ] {
            assert_eq!(parse(&format!("sink-connector {line}")).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn every_help_has_an_example() {
        for line in [
            "--help",
            "run --help",
            "check --help",
            "offsets --help",
            "offsets show --help",
            "offsets reset --help",
            "infer-ddl --help",
            "dead-letters --help",
            "dead-letters list --help",
            "dead-letters replay --help",
            "dead-letters discard --help",
            "try --help",
            "import-connect --help",
            "completions --help",
            "config --help",
            "health --help",
        ] {
            let help = parse(&format!("sink-connector {line}")).unwrap_err();
            assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0), "{line}");
            assert!(help.to_string().contains("Example"), "{line}");
        }
    }
}
