//! The newest installed PostgreSQL, and the user it may run as.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::signals;

/// Where initdb and postgres are: PG_BIN, else the newest version under /usr/lib/postgresql (Debian) or
/// /usr/pgsql-* (Red Hat).
///
/// # Errors
/// There is none.
pub fn bin_dir() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("PG_BIN") {
        return Ok(dir.into());
    }
    let version = |dir: &PathBuf| -> Option<u32> {
        let name = dir.file_name()?.to_str()?;
        name.trim_start_matches("pgsql-").parse().ok()
    };
    let entries = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries("/usr/lib/postgresql")
        .chain(entries("/usr"))
        .filter(|dir| version(dir).is_some() && dir.join("bin/initdb").is_file())
        .max_by_key(version)
        .map(|dir| dir.join("bin"))
        .context("no PostgreSQL server in /usr/lib/postgresql/*/bin: `tests/setup.sh` installs it")
}

/// The user and group to run PostgreSQL as: it refuses root.
///
/// # Errors
/// We are root and there is no user `postgres`.
pub fn owner() -> Result<Option<(u32, u32)>> {
    if !signals::is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let ids = users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.first() == Some(&"postgres"))
            .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
    });
    Ok(Some(ids.context("there is no user `postgres`, and PostgreSQL does not run as root")?))
}

/// A command of the installation, run as [`owner`].
///
/// # Errors
/// See [`bin_dir`] and [`owner`].
pub fn command(program: &str) -> Result<Command> {
    let mut command = Command::new(bin_dir()?.join(program));
    if let Some((user, group)) = owner()? {
        command.uid(user).gid(group);
    }
    // The current directory may be closed to that user; PG* variables of a developer's shell are not for this cluster.
    command.current_dir("/");
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    Ok(command)
}
