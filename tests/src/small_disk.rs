//! A disk that is soon full.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of three megabytes, unmounted when it goes.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it at this path, for the owner of the directory above: the server's user. None if this user may not mount.
    pub fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let owner = fs::metadata(at.parent().expect("a directory above")).unwrap();
        let options = format!("size=3m,mode=700,uid={},gid={}", owner.uid(), owner.gid());
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may have the table open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
