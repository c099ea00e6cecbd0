//! `connection.*`: a JDBC URL becomes a libpq URL.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::translation::{Translation, is_reference};

/// What is encoded in a part of a URL.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const URL: [&str; 2] = ["postgres", "url"];

/// Parameters of the JDBC driver that the sink has no use for.
const NOT_NEEDED: &[&str] = &[
    "ApplicationName",
    "applicationName",
    "binaryTransfer",
    "cancelSignalTimeout",
    "defaultRowFetchSize",
    "loadBalanceHosts",
    "loginTimeout",
    "logUnclosedConnections",
    "loggerLevel",
    "preferQueryMode",
    "prepareThreshold",
    "preparedStatementCacheQueries",
    "preparedStatementCacheSizeMiB",
    "reWriteBatchedInserts",
    "receiveBufferSize",
    "sendBufferSize",
    "socketTimeout",
    "ssl",
    "sslfactory",
    "stringtype",
    "tcpKeepAlive",
];

pub(super) fn convert(t: &mut Translation) {
    password(t);
    let user = t.either(&["connection.user", "connection.username"]);
    let Some(url) = t.get("connection.url") else {
        if let Some((key, _)) = user {
            t.not_supported(key, "there is no connection.url; write the user into postgres.url");
        }
        return;
    };
    let Some(rest) = url.strip_prefix("jdbc:postgresql:").or_else(|| url.strip_prefix("postgresql:")) else {
        let why = if is_reference(&url) {
            "the worker resolves it; write postgres.url yourself"
        } else {
            "is not a URL of PostgreSQL (jdbc:postgresql://…); this sink writes to PostgreSQL only"
        };
        t.not_supported("connection.url", why);
        if let Some((key, _)) = user {
            t.not_supported(key, "write the user into postgres.url");
        }
        return;
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    // jdbc:postgresql:database is on this host.
    let place = match place.strip_prefix("//") {
        Some(place) => place.to_owned(),
        None => format!("localhost/{}", place.trim_start_matches('/')),
    };
    let place = if place.starts_with('/') { format!("localhost{place}") } else { place };
    let mut own_user = user.as_ref().map(|(_, user)| utf8_percent_encode(user, PART).to_string());
    let parameters = parameters(t, query, &mut own_user);
    if let Some((key, user)) = user {
        if is_reference(&user) {
            own_user = None;
            t.not_supported(key, "the worker resolves it; write the user into postgres.url");
        } else {
            t.taken(key, "the user in postgres.url");
        }
    }
    let user = own_user.map_or_else(String::new, |user| format!("{user}@"));
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    t.take("connection.url", &URL, format!("postgresql://{user}{place}{query}"));
}

/// The parameters of a libpq URL that say the same.
fn parameters(t: &mut Translation, query: &str, user: &mut Option<String>) -> Vec<String> {
    let key = "connection.url";
    let mut given: Vec<(&str, &str)> = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !given.iter().any(|(known, _)| *known == name) {
            given.push((name, value));
        }
    }
    let has = |name: &str| given.iter().any(|(given, _)| *given == name);
    let verified = given.iter().any(|(name, value)| *name == "sslmode" && value.starts_with("verify"));
    let encrypted = given.iter().any(|(name, value)| *name == "ssl" && *value != "false") && !has("sslmode");
    let mut kept = Vec::new();
    if encrypted {
        // The driver then checks certificate and host.
        kept.push("sslmode=verify-full".to_owned());
    }
    if (encrypted || verified) && !has("sslrootcert") {
        kept.push("sslrootcert=system".to_owned());
    }
    for (name, value) in given.iter().copied() {
        match name {
            "user" => {
                user.get_or_insert_with(|| value.to_owned());
            }
            "password" => t.taken(
                key,
                "its password is not copied: put it into the file that postgres.password_file names",
            ),
            "currentSchema" => kept.push(format!("options=-csearch_path%3D{}", value.replace(',', "%2C"))),
            "sslmode" => kept.push(format!("sslmode={value}")),
            "connectTimeout" => kept.push(format!("connect_timeout={value}")),
            "sslrootcert" if Path::new(value).exists() => kept.push(format!("sslrootcert={value}")),
            "sslrootcert" => t.not_supported(
                key,
                format!("the file of sslrootcert={value} is not here: add it to postgres.url"),
            ),
            "targetServerType" if matches!(value, "any") => {}
            "targetServerType" if matches!(value, "primary" | "master") => {
                kept.push("target_session_attrs=read-write".to_owned());
            }
            name if NOT_NEEDED.contains(&name) => {}
            name => t.not_supported(key, format!("postgres.url has nothing for the parameter {name}")),
        }
    }
    let dropped: Vec<&str> = given
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| NOT_NEEDED.contains(name) && *name != "ssl")
        .collect();
    if !dropped.is_empty() {
        t.taken(key, format!("without {}, which only the JDBC driver needs", dropped.join(", ")));
    }
    kept
}

/// A password is never copied into a file that people read and send around.
fn password(t: &mut Translation) {
    let key = "connection.password";
    if t.get(key).is_some() {
        t.taken(key, "not copied: put it into the file that postgres.password_file names");
        t.todo.push(
            "[postgres] password_file = \"/run/secrets/postgres/password\"   # connection.password"
                .to_owned(),
        );
    }
}
