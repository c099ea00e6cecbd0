//! Temporary directories that the user PostgreSQL runs as may reach, deleted with their owner or by the reaper.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{reaper, signals};

/// A temporary directory; deleted on drop.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    /// A new, empty directory whose name starts with `livescores-` and `what`.
    ///
    /// # Errors
    /// No temporary directory can be written and reached.
    pub fn new(what: &str) -> Result<Self> {
        let root = root()?;
        let dir = tempfile::Builder::new()
            .prefix(&format!("livescores-{what}-"))
            .tempdir_in(&root)
            .with_context(|| format!("a directory in {}", root.display()))?;
        let path = dir.keep();
        reaper::remove(&path);
        Ok(Self { path, kept: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory to whoever comes after this process.
    pub fn keep(mut self) -> PathBuf {
        self.kept = true;
        reaper::keep(&self.path);
        self.path.clone()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept && fs::remove_dir_all(&self.path).is_ok() {
            reaper::keep(&self.path);
        }
    }
}

/// The first usual place that another user may pass through, where that matters: as root we start PostgreSQL as
/// another user, and a private TMPDIR would keep it out.
fn root() -> Result<PathBuf> {
    for place in [env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
        if !signals::is_root() || place.ancestors().all(open_to_all) {
            return Ok(place);
        }
    }
    bail!("no temporary directory that other users may pass through (TMPDIR, /tmp, /var/tmp)")
}

fn open_to_all(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 != 0)
}
