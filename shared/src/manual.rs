//! What comes with the command lines: completions for shells, and manual pages.

use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

/// The script that completes the command line in a shell.
#[must_use]
pub fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a manual page for the command and each of its subcommands into a directory that exists.
///
/// # Errors
/// A page cannot be written.
pub fn write_pages(command: Command, directory: &Path) -> io::Result<()> {
    clap_mangen::generate_to(command, directory)
}
