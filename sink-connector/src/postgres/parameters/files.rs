//! The files that a connection string names: whether they can be used, and the password file of libpq.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Parameters, Problem, Roots};

/// Permission bits of the group and of others.
const GROUP_AND_OTHERS: u32 = 0o077;
/// What a file of root may allow its group: to read. Files of Kubernetes Secrets are such.
const GROUP_READS: u32 = 0o040;

/// What is wrong with the files, each once.
pub(super) fn unusable(parameters: &Parameters) -> Vec<Problem> {
    let ssl = &parameters.ssl;
    let root = if let Roots::File(path) = &ssl.roots { Some(path) } else { None };
    let files = [
        ("sslrootcert", root, false),
        ("sslcert", ssl.certificate.as_ref(), false),
        ("sslkey", ssl.key.as_ref(), true),
        ("passfile", parameters.passfile.as_ref(), true),
    ];
    let check = |(name, path, private): (_, Option<&PathBuf>, bool)| {
        let path = path?;
        let reason = readable(path, private).err()?;
        Some(Problem::File { name, path: path.clone(), reason: reason.to_string() })
    };
    files.into_iter().filter_map(check).collect()
}

/// Opens a file. If it is `private`, only its owner, or root and the group, may read it: libpq's rule for keys.
fn readable(path: &Path, private: bool) -> io::Result<()> {
    let file = File::open(path)?.metadata()?;
    if !file.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let allowed = if file.uid() == 0 { GROUP_READS } else { 0 };
    if private && file.mode() & GROUP_AND_OTHERS & !allowed != 0 {
        let text =
            "others may read it; permissions must be 0600 or less, or 0640 or less if it belongs to root";
        return Err(io::Error::other(text));
    }
    Ok(())
}

/// Reads `passfile`: the password of the first line that matches, if there is one.
pub(crate) fn passwords(path: &Path, wanted: [&str; 4]) -> io::Result<Option<String>> {
    readable(path, true)?;
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).map(fields);
    Ok(lines.find_map(|line| {
        let (password, matched) = line.split_last()?;
        let fits = |(field, wanted): (&Field, &str)| field.any || field.text == wanted;
        (matched.len() == wanted.len() && matched.iter().zip(wanted).all(fits)).then(|| password.text.clone())
    }))
}

struct Field {
    text: String,
    /// An asterisk that is not escaped.
    any: bool,
}

/// The fields of `host:port:database:user:password`. A backslash escapes a colon or a backslash.
fn fields(line: &str) -> Vec<Field> {
    let mut fields = vec![Field { text: String::new(), any: line == "*" || line.starts_with("*:") }];
    let mut characters = line.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            ':' if fields.len() < 5 => {
                let rest = &line[at + 1..];
                fields.push(Field { text: String::new(), any: rest.starts_with("*:") });
            }
            c => {
                let c = if c == '\\' { characters.next().map_or('\\', |(_, escaped)| escaped) } else { c };
                if let Some(field) = fields.last_mut() {
                    field.text.push(c);
                }
            }
        }
    }
    fields
}
