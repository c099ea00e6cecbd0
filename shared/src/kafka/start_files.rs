//! Files that librdkafka, or the configuration, reads only once: certificates, keys, and secrets other than the login.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::settings::with_change;

/// Properties with the path of a file that a client reads when it is created.
const LOCATIONS: &[&str] = &[
    "https.ca.location",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];
/// Those whose files are read again while a client runs, if the login is renewed.
const RENEWED: &[&str] = &["sasl.username_file", "sasl.password_file"];

/// The files of a client as they were at its start.
#[derive(Debug, Default)]
pub struct StartFiles(Vec<StartFile>);

#[derive(Debug)]
struct StartFile {
    property: String,
    path: PathBuf,
    /// Of its content; `None` if it cannot be read, such as a directory.
    hash: Option<u64>,
}

impl StartFiles {
    /// Those of these entries of `kafka.properties`, as they are now. `renewed`: the login is read again.
    #[must_use]
    pub fn of(properties: &BTreeMap<String, String>, renewed: bool) -> Self {
        let once = |name: &str| {
            LOCATIONS.contains(&name) || name.ends_with("_file") && !(renewed && RENEWED.contains(&name))
        };
        let files = properties.iter().filter(|(name, _)| once(name)).map(|(name, path)| StartFile {
            property: name.clone(),
            path: path.into(),
            hash: hash(Path::new(path)),
        });
        Self(files.collect())
    }

    /// A file with another content than at the start, and when it was changed.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        let changed = self.0.iter().find(|file| hash(&file.path).is_some_and(|now| Some(now) != file.hash));
        changed.map(|file| format!("{} is {}", file.property, with_change(&file.path)))
    }
}

fn hash(path: &Path) -> Option<u64> {
    let content = fs::read(path).ok()?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_changed_when_it_has_another_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.crt");
        let entries = |name: &str| [(name.to_owned(), path.display().to_string())].into();
        fs::write(&path, "one").unwrap();
        let files = StartFiles::of(&entries("ssl.certificate.location"), false);
        let of_the_login =
            [true, false].map(|renewed| StartFiles::of(&entries("sasl.password_file"), renewed));
        let other = StartFiles::of(&entries("client.id"), false);
        fs::write(&path, "one").unwrap();
        assert_eq!(files.changed(), None, "it was only touched");
        fs::remove_file(&path).unwrap();
        assert_eq!(files.changed(), None, "it is being replaced");
        fs::write(&path, "two").unwrap();
        let changed = files.changed().unwrap();
        assert!(
            changed.starts_with("ssl.certificate.location is /") && changed.contains("changed at"),
            "{changed}"
        );
        assert_eq!(of_the_login.map(|files| files.changed().is_some()), [false, true]);
        assert_eq!(other.changed(), None);
    }
}
