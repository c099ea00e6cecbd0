//! A real pgbouncer before a cluster.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Postgres, install};
use crate::process::{Ending, Process};
use crate::scratch::Scratch;
use crate::{ports, wait};

const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A running pgbouncer. Stopped on drop.
pub struct Pooler {
    port: u16,
    _process: Process,
    _dir: Scratch,
}

impl Pooler {
    /// Starts it before `postgres` with a `pool_mode`.
    ///
    /// # Errors
    /// It is not installed, or does not accept connections.
    pub fn start(postgres: &Postgres, mode: &str) -> Result<Self> {
        Self::with(postgres, mode, "")
    }

    /// The same with further settings, a line each.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with(postgres: &Postgres, mode: &str, more: &str) -> Result<Self> {
        let dir = Scratch::new("pgbouncer")?;
        let port = ports::free();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = trust\nauth_file = {}\npool_mode = {mode}\nunix_socket_dir =\nlogfile = {}\n{more}\n",
            postgres.port(),
            at("users"),
            at("log"),
        );
        fs::write(at("users"), "\"postgres\" \"\"\n").context("users")?;
        fs::write(at("settings"), settings).context("settings")?;
        let debian = Path::new("/usr/sbin/pgbouncer");
        let mut command = Command::new(if debian.exists() { debian } else { Path::new("pgbouncer") });
        command.arg("-q").arg(at("settings"));
        if let Some((user, group)) = install::owner()? {
            chown(dir.path(), Some(user), Some(group)).context("owner")?;
            command.uid(user).gid(group);
        }
        let process =
            Process::spawn(&mut command, Ending::Kill).context("`tests/setup.sh` installs pgbouncer")?;
        let pooler = Self { port, _process: process, _dir: dir };
        wait::try_until_ok(READY_DEADLINE, || {
            postgres::Client::connect(&pooler.url_of("postgres"), postgres::NoTls).map(drop)
        })
        .context("pgbouncer accepts no connections")?;
        Ok(pooler)
    }

    /// The URL of a database behind it, as superuser.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }
}
