//! kubectl and helm, as a user calls them.

use std::process::Command;

use serde_json::Value;

/// What a command printed, and whether it succeeded.
pub(crate) struct CommandOutput {
    pub(crate) succeeded: bool,
    /// stdout and stderr.
    pub(crate) text: String,
}

/// Runs a command whatever its outcome.
pub(crate) fn attempt(program: &str, args: &[&str]) -> CommandOutput {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    CommandOutput { succeeded: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
}

/// Runs a command that must succeed; returns its stdout.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {}: {}\n{stdout}{stderr}", args.join(" "), output.status);
    stdout.into_owned()
}

/// `kubectl ARGS…`.
#[track_caller]
pub(crate) fn kubectl(args: &[&str]) -> String {
    run("kubectl", args)
}

/// `kubectl ARGS… -o json`.
#[track_caller]
pub(crate) fn json(args: &[&str]) -> Value {
    let text = kubectl(&[args, &["-o", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("kubectl {}: {error}\n{text}", args.join(" ")))
}
