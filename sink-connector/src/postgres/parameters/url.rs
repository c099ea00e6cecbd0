//! A connection URL as parameters.
//!
//! Source: `conninfo_uri_parse_options` of PostgreSQL's `fe-connect.c`. Every part may be percent-encoded. Errors show
//! nothing of the URL, which may hold a password.

use percent_encoding::percent_decode_str;

use super::Problem;

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// What follows the scheme, if `text` is a URL.
pub(super) fn after_scheme(text: &str) -> Option<&str> {
    SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme))
}

/// The parameters of a URL, after its scheme. A later one overrides an earlier one.
pub(super) fn parameters(url: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut parameters = Vec::new();
    let mut add = |name: &str, value: &str| -> Result<(), Problem> {
        parameters.push((name.to_owned(), decoded(value)?));
        Ok(())
    };
    let (login, rest) = login_and_rest(url);
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    for (name, value) in [("user", user), ("password", password)] {
        if !value.is_empty() {
            add(name, value)?;
        }
    }
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = address.split_once('/').unwrap_or((address, ""));
    if !hosts.is_empty() {
        let (names, ports) = hosts_and_ports(hosts)?;
        add("host", &names)?;
        add("port", &ports)?;
    }
    if !database.is_empty() {
        add("dbname", database)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(Problem::Malformed("a parameter without ="))?;
        match (decoded(name)?.as_str(), value) {
            // As JDBC drivers write it.
            ("ssl", "true") => add("sslmode", "require")?,
            (name, value) => add(name, value)?,
        }
    }
    Ok(parameters)
}

/// Splits at the `@` before the hosts, if there is one. libpq takes what is before a `/` for hosts and ports. If it cannot be
/// that, it is a login whose password has a `/`.
fn login_and_rest(url: &str) -> (&str, &str) {
    let authority = &url[..url.find(['@', '/']).unwrap_or(url.len())];
    let path = url[authority.len()..].split('?').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let is_port = port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    let at = if is_port { path.starts_with('@').then_some(0) } else { path.find('@') };
    at.map_or(("", url), |at| (&url[..authority.len() + at], &url[authority.len() + at + 1..]))
}

/// The names and the ports of `a:1,[::1]:2,c`, each list separated by commas.
fn hosts_and_ports(hosts: &str) -> Result<(String, String), Problem> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(host) => {
                let (name, rest) = host.split_once(']').ok_or(Problem::Malformed("an address without ]"))?;
                if !rest.is_empty() && !rest.starts_with(':') {
                    return Err(Problem::Malformed("something between ] and the port"));
                }
                (name, rest.trim_start_matches(':'))
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        names.push(name);
        ports.push(port);
    }
    Ok((names.join(","), ports.join(",")))
}

fn decoded(text: &str) -> Result<String, Problem> {
    let bytes = text.as_bytes();
    let escape =
        |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && !escape(at)) {
        return Err(Problem::Malformed(
            "a % without two hexadecimal digits; write %25 for the character itself",
        ));
    }
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| Problem::Malformed("percent-encoded bytes that are not UTF-8"))?;
    if text.contains('\0') { Err(Problem::Malformed("%00")) } else { Ok(text.into_owned()) }
}
