//! Values that are never printed: secrets, passwords in URLs, secret librdkafka properties.

use std::path::Path;
use std::{fmt, fs, io};

use serde::{Deserialize, Serialize, Serializer};

use super::keywords;
use crate::time;

const REDACTED: &str = "[redacted]";

/// A secret. Debug, Display and Serialize show `[redacted]`; only [`Secret::expose`] returns it.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

/// Why a secret file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file is absent, not readable or not UTF-8.
    #[error("cannot read {0}: {1}")]
    Read(String, #[source] io::Error),
    /// The file is empty.
    #[error("{0} is empty")]
    Empty(String),
}

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Reads a secret from a file, without line endings at its end.
    ///
    /// # Errors
    /// See [`SecretFileError`].
    pub fn read(path: &Path) -> Result<Self, SecretFileError> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| SecretFileError::Read(shown.clone(), error))?;
        match text.trim_end_matches(['\n', '\r']) {
            "" => Err(SecretFileError::Empty(shown)),
            secret => Ok(Self::new(secret)),
        }
    }

    /// The secret in clear text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// The path of a file, and when it was changed last, for a message about the secret in it. The same until the next change:
/// failures that repeat are recognised by their text.
#[must_use]
pub fn with_change(path: &Path) -> String {
    let shown = path.display();
    match fs::metadata(path).and_then(|file| file.modified()) {
        Ok(changed) => format!("{shown}, which was changed at {}", time::text(changed)),
        Err(_) => shown.to_string(),
    }
}

/// Parameters of a connection string whose values are no secrets. The value of any other name is hidden: it may be a misspelt
/// password.
const SHOWN_PARAMETERS: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "passfile",
    "port",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslsni",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// A URL or `keyword=value` string without its secrets: the password before `@`, and the values of parameters that are not known
/// to be harmless.
#[must_use]
pub fn redact_url(url: &str) -> String {
    if !url.contains("://") && url.contains('=') {
        return keywords::redact(url, REDACTED, |name| !SHOWN_PARAMETERS.contains(&name));
    }
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    let query_at = rest.find('?').unwrap_or(rest.len());
    // The last `@` before the query, because a password that is not percent-encoded may contain `@`. If it also contains
    // `?`, the first `@`.
    let at = rest[..query_at].rfind('@').or_else(|| rest.find('@'));
    let (user, rest) = at.map_or(("", rest), |at| rest.split_at(at));
    let user = user.split_once(':').map_or(user.to_owned(), |(user, _)| format!("{user}:{REDACTED}"));
    let Some((address, query)) = rest.split_once('?') else { return format!("{scheme}{user}{rest}") };
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if !SHOWN_PARAMETERS.contains(&name) => format!("{name}={REDACTED}"),
        _ => parameter.to_owned(),
    });
    format!("{scheme}{user}{address}?{}", parameters.collect::<Vec<_>>().join("&"))
}

/// Whether a librdkafka property holds a secret, by its name.
#[must_use]
pub fn is_secret_property(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.ends_with("_file")
        && ["password", "passphrase", "secret", "key.pem", "jaas", "oauthbearer.config"]
            .iter()
            .any(|part| name.contains(part))
}

/// `serialize_with` functions that write settings without their secrets.
pub mod redacted {
    use std::collections::BTreeMap;

    use serde::Serializer;

    /// A URL without its passwords.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn url<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::redact_url(url))
    }

    /// librdkafka properties without the values of the secret ones.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn properties<S: Serializer>(
        properties: &BTreeMap<String, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let shown = |name: &str, value| if super::is_secret_property(name) { super::REDACTED } else { value };
        serializer.collect_map(properties.iter().map(|(name, value)| (name, shown(name, value.as_str()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn passwords_in_urls_are_redacted_wherever_they_stand() {
        for (url, shown) in [
            ("postgresql://u@h/db", "postgresql://u@h/db"),
            ("postgresql://u:p@h:5432/db", "postgresql://u:[redacted]@h:5432/db"),
            ("postgresql://u:p@q:r@h/db", "postgresql://u:[redacted]@h/db"),
            (
                "postgres://h/db?sslmode=require&password=x",
                "postgres://h/db?sslmode=require&password=[redacted]",
            ),
            ("postgres://h/db?sslpassword=x&port=1", "postgres://h/db?sslpassword=[redacted]&port=1"),
            ("postgres://h/db?pasword=x&user=u", "postgres://h/db?pasword=[redacted]&user=u"),
            ("postgres://h/db?%70assword=x&port=1", "postgres://h/db?%70assword=[redacted]&port=1"),
            ("host=h password=x pasword = y", "host=h password=[redacted] pasword=[redacted]"),
            ("postgres://u:p?q@h/db", "postgres://u:[redacted]@h/db"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }

    #[test]
    fn secret_properties_are_known_by_name() {
        for name in ["sasl.password", "ssl.key.pem", "ssl.key.password", "sasl.oauthbearer.client.secret"] {
            assert!(is_secret_property(name), "{name}");
        }
        for name in ["sasl.username", "ssl.ca.pem", "security.protocol", "sasl.password_file"] {
            assert!(!is_secret_property(name), "{name}");
        }
    }

    #[test]
    fn a_secret_file_loses_its_line_ending_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        fs::write(&file, " s3cret \r\n").unwrap();
        assert_eq!(Secret::read(&file).unwrap().expose(), " s3cret ");
        fs::write(&file, "\n").unwrap();
        assert!(matches!(Secret::read(&file), Err(SecretFileError::Empty { .. })));
        assert!(matches!(Secret::read(&directory.path().join("absent")), Err(SecretFileError::Read { .. })));
    }
}
