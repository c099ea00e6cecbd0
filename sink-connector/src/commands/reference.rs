//! The reference: every key, metric, exit code and error class, from the code that acts on them.

use std::process::ExitCode;

use clap::Args;
use shared::fields::fields;
use shared::settings::reference::keys;

use super::{EXIT_CODES, print_json};
use crate::batch::Skip;
use crate::config::SCHEMA;
use crate::decode::Reason;
use crate::observe::metrics::Metrics;
use crate::observe::problem::ProblemStatus;
use crate::positions::stopped::Stopped;
use crate::postgres::sqlstate::{RULES, When};
use crate::run::answer::Answer;
use crate::run::summary::Summary;

/// Flags of `reference`.
#[derive(Args, Clone, Copy, Debug, PartialEq)]
pub struct ReferenceArgs {
    /// Print the JSON schema of a configuration file instead, from which the chart's schema is made
    #[arg(long)]
    pub json_schema: bool,
}

/// Prints the sink's part of docs/reference.md, or the JSON schema of a configuration file.
///
/// # Errors
/// None that is known: a JSON schema is JSON.
pub fn run(args: ReferenceArgs) -> anyhow::Result<ExitCode> {
    if args.json_schema {
        print_json(SCHEMA.json())?;
    } else {
        shared::out!("{}", markdown())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn markdown() -> String {
    let mut text = String::from(
        "<!-- Generated from the code by `make docs`. Do not edit. -->\n\n# Reference\n\n## sink-connector: configuration\n\n",
    );
    text += &keys(&SCHEMA);
    text += "\n## sink-connector: metrics\n\nAll have the label `connector` as well; the standard `process_*` metrics come with them.\n\n";
    text += "| metric | type | labels | what it says |\n|---|---|---|---|\n";
    for metric in Metrics::ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        text +=
            &format!("| `{}` | {} | {} | {} |\n", metric.name, metric.kind, labels.join(", "), metric.help);
    }
    text += &words(
        "`reason` of `sink_dead_letters_total` and of dead letters",
        Reason::ALL.iter().map(|r| r.as_str()),
    );
    text += &words("`reason` of `sink_records_skipped_total`", Skip::ALL.iter().map(|s| s.as_str()));
    text += &words("`reason` of `sink_partitions_stopped`", Stopped::ALL.iter().copied());
    text += "\n## sink-connector: /status\n\nAll times are RFC 3339 in UTC. Fields may be added.\n\n";
    text += &fields::<Answer>();
    text += "\n## sink-connector: /readyz\n\nStatus 200 with `ready: true`, or 503 with `ready: false`, `reason` (that of the first problem) and \
             `problems`. With 200, `problems` is there if a part of the tables, partitions or topics is not written.\n\n";
    text += &fields::<ProblemStatus>();
    text += "\n## sink-connector: summary\n\n`run --summary json` prints it as the last line of standard output, also when the run fails.\n\n";
    text += &fields::<Summary<'_>>();
    text += "\n## sink-connector: exit codes\n\n| code | meaning |\n|---|---|\n";
    for (code, meaning) in EXIT_CODES {
        text += &format!("| {code} | {meaning} |\n");
    }
    text += "\n## sink-connector: what an SQLSTATE does\n\nThe first matching row applies. *record*: a dead letter, and the rest is written. *transient*: tried again, for ever. \
             *configuration*, and **every SQLSTATE not listed**: nothing is dropped, the catalog is read again, tried again slowly until \
             the operator has fixed it, unless evidence shows that a single record is at fault. An error that `RAISE` or `ASSERT` in PL/pgSQL \
             raises, and one with 25006, 53200 or 55006, counts as *configuration* once the same batch has met it five times, for 3 s. A single record that ends five sessions in a row, each of which had written another row of its table, counts as at fault whatever the code is.\n\n| SQLSTATE | class | meaning |\n|---|---|---|\n";
    for rule in RULES {
        let code = if rule.code.len() == 2 { format!("{}xxx", rule.code) } else { rule.code.to_owned() };
        let when = match rule.when {
            When::Always => "",
            When::WithoutConstraint => ", without a constraint's name",
            When::RowSecurity => ", from row-level security",
            When::Again => ", a second time for the same batch",
        };
        text += &format!("| `{code}`{when} | {} | {} |\n", rule.class.word(), rule.meaning);
    }
    text
}

fn words<'a>(what: &str, values: impl Iterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.map(|value| format!("`{value}`")).collect();
    format!("\n{what}: {}.\n", values.join(", "))
}
