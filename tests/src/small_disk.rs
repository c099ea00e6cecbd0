//! A file system of a few megabytes, so that a real disk can be full.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system; unmounted when it goes.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts three megabytes at `at`, which belong to the owner of the directory above it: the server's user. None if this
    /// user may not mount.
    ///
    /// # Panics
    /// When the directory cannot be made.
    #[must_use]
    pub fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("a directory to mount at");
        let above = at.parent().expect("a directory above");
        let owner = fs::metadata(above).expect("the directory above");
        let options = format!("size=3m,mode=700,uid={},gid={}", owner.uid(), owner.gid());
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    /// Writes a file of so many bytes, or of all that is left.
    ///
    /// # Panics
    /// When the file cannot be created.
    #[must_use]
    pub fn fill(&self, bytes: usize) -> PathBuf {
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler).expect("a file");
        for _ in 0..bytes.div_ceil(4096) {
            if std::io::Write::write_all(&mut file, &[0; 4096]).is_err() {
                break;
            }
        }
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may have the table open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
