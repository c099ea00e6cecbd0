//! The parameters of a JDBC URL as those of a libpq URL.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::translation::Translation;

/// What is encoded in a value; libpq takes an unencoded slash.
const VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'+');

/// Parameters of the driver that the sink has no use for.
const NOT_NEEDED: &[&str] = &[
    "ApplicationName",
    "adaptiveFetch",
    "applicationName",
    "autosave",
    "binaryTransfer",
    "cancelSignalTimeout",
    "cleanupSavepoints",
    "databaseMetadataCacheFields",
    "databaseMetadataCacheFieldsMiB",
    "defaultRowFetchSize",
    "escapeSyntaxCallMode",
    "hostRecheckSeconds",
    "logServerErrorDetail",
    "logUnclosedConnections",
    "loggerFile",
    "loggerLevel",
    "maxResultBuffer",
    "preferQueryMode",
    "prepareThreshold",
    "preparedStatementCacheQueries",
    "preparedStatementCacheSizeMiB",
    "quoteReturningIdentifiers",
    "reWriteBatchedInserts",
    "receiveBufferSize",
    "sendBufferSize",
    "socketTimeout",
    "stringtype",
    "tcpKeepAlive",
    "unknownLength",
];
/// The same under another name.
const RENAMED: &[(&str, &str)] = &[
    ("channelBinding", "channel_binding"),
    ("connectTimeout", "connect_timeout"),
    ("loginTimeout", "connect_timeout"),
    ("sslNegotiation", "sslnegotiation"),
];
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];
const PASSWORD: &str = "its password is not copied: put it into the file that postgres.password_file names";

/// The user in the parameters, and those of a libpq URL that say the same.
pub(super) struct Parameters {
    pub user: Option<String>,
    pub kept: Vec<String>,
}

/// The parameters, reported at `key`.
pub(super) fn convert(t: &mut Translation, key: &str, query: &str) -> Parameters {
    let given = Given::new(query);
    let mut own = Own { t, key, kept: Vec::new() };
    own.options(&given);
    own.ssl(&given);
    for (name, value) in &given.0 {
        own.one(name, value);
    }
    let dropped: Vec<&str> =
        given.0.iter().map(|(name, _)| name.as_str()).filter(|name| NOT_NEEDED.contains(name)).collect();
    if !dropped.is_empty() {
        own.t.taken(key, format!("without {}, which only the JDBC driver needs", dropped.join(", ")));
    }
    Parameters { kept: own.kept, user: given.get("user").map(str::to_owned) }
}

/// The parameters of the input, decoded; the first of a name counts, as for the driver.
struct Given(Vec<(String, String)>);

impl Given {
    fn new(query: &str) -> Self {
        let mut given: Vec<(String, String)> = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if given.iter().all(|(known, _)| known != name) {
                given.push((name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()));
            }
        }
        Self(given)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }
}

/// The parameters of ours so far.
struct Own<'a> {
    t: &'a mut Translation,
    key: &'a str,
    kept: Vec<String>,
}

impl Own<'_> {
    fn keep(&mut self, name: &str, value: &str) {
        self.kept.push(format!("{name}={}", utf8_percent_encode(value, VALUE)));
    }

    fn not_supported(&mut self, why: impl Into<String>) {
        self.t.not_supported(self.key, why);
    }

    /// Whether the connection is encrypted, and what is checked.
    fn ssl(&mut self, given: &Given) {
        let unchecked = given.get("sslfactory").is_some_and(|class| class.ends_with("NonValidatingFactory"));
        let flag = given.0.iter().find(|(name, _)| name == "ssl").is_some_and(|(_, value)| value != "false");
        let mode = match given.get("sslmode") {
            Some(mode) => Some(mode),
            None if flag && unchecked => Some("require"),
            // The driver then checks certificate and host.
            None => flag.then_some("verify-full"),
        };
        let root = self.files(given);
        let mode = if mode == Some("verify-ca") && !root {
            self.not_supported(
                "sslmode=verify-ca needs a file of sslrootcert; sslmode=verify-full stands there, with the authorities of the \
                 system",
            );
            Some("verify-full")
        } else {
            mode
        };
        if let Some(mode) = mode {
            self.keep("sslmode", mode);
        }
        if mode == Some("verify-full") && !root {
            self.keep("sslrootcert", "system");
        }
    }

    /// Files that are here as well, of which a certificate and its key belong together. Returns whether the root is.
    fn files(&mut self, given: &Given) -> bool {
        let here = |name: &str| given.get(name).is_some_and(|file| Path::new(file).exists());
        let client = here("sslcert") && here("sslkey");
        for name in FILES {
            let Some(file) = given.get(name) else { continue };
            if if name == "sslrootcert" { here(name) } else { client } {
                self.keep(name, file);
            } else {
                self.not_supported(format!(
                    "the file of {name}={file} is not here: add {name} to postgres.url, with a file in PEM"
                ));
            }
        }
        here("sslrootcert")
    }

    /// Settings of the session.
    fn options(&mut self, given: &Given) {
        let schema =
            given.get("currentSchema").map(|schema| format!("-csearch_path={}", schema.replace(' ', "")));
        let options: Vec<String> =
            schema.into_iter().chain(given.get("options").map(str::to_owned)).collect();
        if !options.is_empty() {
            self.keep("options", &options.join(" "));
        }
    }

    fn one(&mut self, name: &str, value: &str) {
        match name {
            "user" | "currentSchema" | "options" | "sslmode" | "ssl" | "sslfactory" => {}
            name if FILES.contains(&name) || NOT_NEEDED.contains(&name) => {}
            "password" => {
                self.t.taken(self.key, PASSWORD);
                self.t.has_password = true;
            }
            "sslpassword" => self.not_supported(
                "its sslpassword is not copied: use a key without one (openssl pkey), or add it to postgres.url",
            ),
            "targetServerType" if value == "any" => {}
            "targetServerType" if matches!(value, "primary" | "master") => {
                self.keep("target_session_attrs", "read-write");
            }
            "loadBalanceHosts" if value == "true" => self.keep("load_balance_hosts", "random"),
            "loadBalanceHosts" => {}
            // The driver's default tries Kerberos, if it can; libpq has no such word.
            "gssEncMode" if value == "allow" => {}
            "gssEncMode" => self.keep("gssencmode", value),
            name => match RENAMED.iter().find(|(jdbc, _)| *jdbc == name) {
                Some((_, own)) if self.kept.iter().all(|kept| !kept.starts_with(own)) => self.keep(own, value),
                Some(_) => {}
                None => self.not_supported(format!("postgres.url has nothing for the parameter {name}")),
            },
        }
    }
}
