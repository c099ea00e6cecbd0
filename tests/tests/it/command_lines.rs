//! What both command lines do beside their work: help, completions, manual pages, configuration.

use std::fs;
use std::process::{Command, Output, Stdio};

use tests::paths;
use tests::scratch::Scratch;

const BINARIES: [(&str, &str); 2] = [("sink-connector", "SINK_BIN"), ("producer", "PRODUCER_BIN")];

fn run((binary, variable): (&str, &str), args: &[&str]) -> Output {
    let mut command = Command::new(paths::binary(binary, variable));
    command.args(args).current_dir(paths::workspace("")).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_bare_command_prints_its_help_and_exits_with_2() {
    for binary in BINARIES {
        let output = run(binary, &[]);
        assert_eq!(output.status.code(), Some(2), "{binary:?}");
        let help = String::from_utf8(output.stderr).unwrap();
        assert!(help.contains("Commands:") && help.contains("run"), "{help}");
    }
}

#[test]
fn completions_and_manual_pages_name_the_commands() {
    for binary in BINARIES {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let output = run(binary, &["completions", shell]);
            assert_eq!(output.status.code(), Some(0), "{binary:?} {shell}");
            assert!(String::from_utf8(output.stdout).unwrap().contains("health"), "{binary:?} {shell}");
        }
        let dir = Scratch::new("man").unwrap();
        let output = run(binary, &["man-pages", &dir.path().display().to_string()]);
        assert_eq!(output.status.code(), Some(0), "{binary:?}");
        let page = fs::read_to_string(dir.path().join(format!("{}-run.1", binary.0))).unwrap();
        assert!(page.contains(".TH"), "{page}");
    }
}

#[test]
fn the_effective_configuration_loads_again_to_the_same() {
    for binary in BINARIES {
        let first = run(binary, &["config"]);
        assert_eq!(first.status.code(), Some(0), "{binary:?}");
        let dir = Scratch::new("config").unwrap();
        let file = dir.path().join("effective.toml");
        fs::write(&file, &first.stdout).unwrap();
        let second = run(binary, &["--config", &file.display().to_string(), "config"]);
        assert_eq!(
            String::from_utf8(first.stdout).unwrap(),
            String::from_utf8(second.stdout).unwrap(),
            "{binary:?}"
        );
    }
}
