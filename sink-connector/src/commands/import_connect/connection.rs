//! `connection.*`: a JDBC URL becomes a libpq URL.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::translation::{Translation, is_reference};
use super::url_parameters;

/// What is encoded in a part of a URL.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const URL: [&str; 2] = ["postgres", "url"];
const URL_KEY: &str = "connection.url";
/// Stands for a URL that is not known: not the default, which may be a database.
const UNKNOWN_URL: &str = "postgresql://CHANGE-ME:5432/CHANGE-ME";
/// Keys of Confluent Cloud, which has no URL.
const HOST: &str = "connection.host";

pub(super) fn convert(t: &mut Translation) {
    let key = if t.get(HOST).is_some() { HOST } else { URL_KEY };
    let url = if key == HOST { Some(assembled(t)) } else { t.get(URL_KEY) };
    let url = url.as_deref().and_then(|url| {
        let rest = url.strip_prefix("jdbc:postgresql:").or_else(|| url.strip_prefix("postgresql:"));
        if rest.is_none() {
            let why = "is not a URL of PostgreSQL (jdbc:postgresql://…); this sink writes to PostgreSQL only";
            t.not_supported(key, why);
        }
        rest
    });
    let Some(rest) = url else {
        t.set(&URL, UNKNOWN_URL);
        if !t.input.get(URL_KEY).is_some_and(|url| is_reference(url)) && !t.report.has(URL_KEY) {
            t.not_supported(URL_KEY, format!("which database? postgres.url = {UNKNOWN_URL:?} stands there"));
        }
        if let Some((key, _)) = user(t) {
            t.not_supported(key, "write the user into postgres.url");
        }
        return password(t);
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters = url_parameters::convert(t, key, query);
    let mut own_user = parameters.user;
    let place = place_of(t, key, place, &mut own_user);
    if let Some((key, user)) = user(t) {
        t.taken(key, "the user in postgres.url");
        own_user = Some(user);
    }
    let user = own_user.map_or_else(String::new, |user| format!("{}@", utf8_percent_encode(&user, PART)));
    let query =
        if parameters.kept.is_empty() { String::new() } else { format!("?{}", parameters.kept.join("&")) };
    t.take(key, &URL, format!("postgresql://{user}{place}{query}"));
    password(t);
}

fn user(t: &Translation) -> Option<(&'static str, String)> {
    t.either(&["connection.user", "connection.username"])
}

/// Hosts and database. A login before the hosts is none of the driver's, but people write one: the password stays here.
fn place_of(t: &mut Translation, key: &str, place: &str, user: &mut Option<String>) -> String {
    // jdbc:postgresql:database is on this host.
    let Some(place) = place.strip_prefix("//") else {
        return format!("localhost/{}", place.trim_start_matches('/'));
    };
    let place = match place.rsplit_once('@') {
        Some((login, place)) => {
            let (name, password) = login.split_once(':').unwrap_or((login, ""));
            user.get_or_insert_with(|| name.to_owned());
            t.has_password |= !password.is_empty();
            t.taken(
                key,
                "its password is not copied: put it into the file that postgres.password_file names",
            );
            place
        }
        None => place,
    };
    if place.starts_with('/') { format!("localhost{place}") } else { place.to_owned() }
}

/// The URL of Confluent Cloud's keys.
fn assembled(t: &mut Translation) -> String {
    let mut url = format!("jdbc:postgresql://{}", t.get(HOST).unwrap_or_default());
    for (key, before) in [("connection.port", ":"), ("db.name", "/"), ("ssl.mode", "?sslmode=")] {
        if let Some(value) = t.get(key) {
            url += &format!("{before}{value}");
            t.taken(key, "part of postgres.url");
        }
    }
    url
}

/// A password is never copied into a file that people read and send around.
fn password(t: &mut Translation) {
    let key = "connection.password";
    if t.input.get(key).is_some_and(|password| !password.trim().is_empty()) {
        t.taken(key, "not copied: put it into the file that postgres.password_file names");
        t.has_password = true;
    }
    if t.has_password {
        t.todo.push(
            "[postgres] password_file = \"/run/secrets/postgres/password\"   # the password of the connection"
                .to_owned(),
        );
    }
}
