//! Where the workspace, its target directory and our binaries are.

use std::env;
use std::path::{Path, PathBuf};

/// A path inside the workspace, e.g. `config/ipl_livescores.sql`.
pub fn workspace(inside: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the workspace").join(inside)
}

/// The directory of the current profile, e.g. `target/checked`.
pub fn profile_dir() -> PathBuf {
    let me = env::current_exe().expect("the path of this process");
    let dir = me.parent().expect("a file lies in a directory");
    // Test binaries lie in target/<profile>/deps.
    let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    dir.to_owned()
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    let profile = profile_dir();
    profile.parent().unwrap_or(&profile).to_owned()
}

/// One of our binaries, of the profile that is running now; the environment variable `var` names another one.
///
/// # Panics
/// When it has not been built.
pub fn binary(name: &str, var: &str) -> PathBuf {
    let path = env::var_os(var).map_or_else(|| profile_dir().join(name), PathBuf::from);
    assert!(path.is_file(), "{} is not there: `cargo build --workspace --bins` first", path.display());
    path
}
