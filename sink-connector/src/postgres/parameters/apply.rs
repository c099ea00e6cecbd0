//! Names and values to typed parameters.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use shared::settings::Secret;

use super::names::{ALIASES, REFUSED, TAKEN};
use super::{
    Address, ChannelBinding, Host, Keepalives, Parameters, Problem, Roots, SessionAttributes, Ssl, SslMode,
    TlsVersion,
};

const DEFAULT_PORT: u16 = 5432;

/// The given parameters, and what was found wrong with them.
struct Given {
    values: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

/// Types the parameters, of which a later one overrides an earlier one.
pub(super) fn parameters(pairs: Vec<(String, String)>) -> Result<Parameters, Vec<Problem>> {
    let pairs =
        pairs.into_iter().map(|(name, value)| match ALIASES.iter().find(|(alias, _)| *alias == name) {
            Some((_, name)) => ((*name).to_owned(), value),
            None => (name, value),
        });
    let mut given = Given { values: pairs.collect(), problems: Vec::new() };
    given.refuse();
    let ssl = given.ssl();
    let parameters = Parameters {
        hosts: given.hosts(ssl.mode),
        user: given.text("user"),
        password: given.text("password").map(Secret::new),
        passfile: given.text("passfile").map(PathBuf::from),
        database: given.text("dbname"),
        options: given.text("options"),
        connect_timeout: given.number("connect_timeout", SECONDS).map(Duration::from_secs),
        tcp_user_timeout: given
            .number("tcp_user_timeout", "a number of milliseconds")
            .map(Duration::from_millis),
        keepalives: given.keepalives(),
        ssl,
        session: given.choice("target_session_attrs", SESSIONS, SESSION_WORDS),
        channel_binding: given.choice("channel_binding", BINDINGS, "disable, prefer, require"),
        random_host: given.choice("load_balance_hosts", BALANCES, "disable, random"),
    };
    let tls = !matches!(parameters.ssl.mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
    if parameters.ssl.direct && !tls {
        given
            .problems
            .push(Problem::Contradiction("sslnegotiation=direct needs sslmode=require or stronger"));
    }
    if given.problems.is_empty() { Ok(parameters) } else { Err(given.problems) }
}

const SECONDS: &str = "a number of seconds";
const SESSION_WORDS: &str = "any, read-write, read-only, primary, standby, prefer-standby";
const SESSIONS: &[(&str, SessionAttributes)] = &[
    ("any", SessionAttributes::Any),
    ("read-write", SessionAttributes::ReadWrite),
    ("read-only", SessionAttributes::ReadOnly),
    ("primary", SessionAttributes::Primary),
    ("standby", SessionAttributes::Standby),
    ("prefer-standby", SessionAttributes::PreferStandby),
];
const BINDINGS: &[(&str, ChannelBinding)] = &[
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];
const BALANCES: &[(&str, bool)] = &[("disable", false), ("random", true)];
const FLAGS: &[(&str, bool)] = &[("0", false), ("1", true)];
/// Whether no certificate is sent. `require` means that the server has to ask for one, which the client cannot see.
const CERTIFICATE_MODES: &[(&str, bool)] = &[("disable", true), ("allow", false)];
const MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];
const MODE_WORDS: &str = "disable, allow, prefer, require, verify-ca, verify-full";
const VERSIONS: &[(&str, Option<TlsVersion>)] = &[
    ("TLSv1", Some(TlsVersion::V1_0)),
    ("TLSv1.1", Some(TlsVersion::V1_1)),
    ("TLSv1.2", Some(TlsVersion::V1_2)),
    ("TLSv1.3", Some(TlsVersion::V1_3)),
];
const VERSION_WORDS: &str = "TLSv1, TLSv1.1, TLSv1.2, TLSv1.3";
/// Values that change nothing, of parameters that have others.
const WITHOUT_EFFECT: &[(&str, &[&str], &str)] = &[
    (
        "gssencmode",
        &["disable", "prefer"],
        "disable or prefer: Kerberos for PostgreSQL is not in this client",
    ),
    ("sslcompression", &["0"], "0: compression inside TLS is unsafe"),
    ("client_encoding", &["utf8", "utf-8", "unicode", "auto"], "UTF8: the sink writes UTF-8"),
];

impl Given {
    /// Empty means not given, as in libpq.
    fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn refuse(&mut self) {
        for name in self.values.keys() {
            if let Some((name, reason)) = REFUSED.iter().find(|(refused, _)| refused == name) {
                self.problems.push(Problem::Refused { name, reason });
            } else if !TAKEN.contains(&name.as_str()) {
                self.problems.push(Problem::Unknown { name: name.clone() });
            }
        }
        for (name, allowed, expected) in WITHOUT_EFFECT {
            let given = self.text(name).map(|value| value.to_ascii_lowercase());
            if given.is_some_and(|value| !allowed.contains(&value.as_str())) {
                self.problems.push(Problem::Value { name, expected });
            }
        }
    }

    fn choice<T: Copy + Default>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
        words: &'static str,
    ) -> T {
        let Some(value) = self.text(name) else { return T::default() };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == value) {
            return *choice;
        }
        self.problems.push(Problem::Choice { name, value, choices: words });
        T::default()
    }

    /// A number above zero; zero and less mean the default, as in libpq.
    fn number(&mut self, name: &'static str, expected: &'static str) -> Option<u64> {
        match self.text(name)?.trim().parse::<i32>() {
            Ok(number) => u64::try_from(number).ok().filter(|number| *number > 0),
            Err(_) => {
                self.problems.push(Problem::Value { name, expected });
                None
            }
        }
    }

    fn keepalives(&mut self) -> Keepalives {
        let off = self.text("keepalives").is_some_and(|value| value.trim() == "0");
        if !off {
            self.number("keepalives", "0 or 1");
        }
        Keepalives {
            off,
            idle: self.number("keepalives_idle", SECONDS).map(Duration::from_secs),
            interval: self.number("keepalives_interval", SECONDS).map(Duration::from_secs),
            count: self.number("keepalives_count", "a number").and_then(|count| u32::try_from(count).ok()),
        }
    }

    fn ssl(&mut self) -> Ssl {
        let mut mode = self.choice("sslmode", MODES, MODE_WORDS);
        let roots = match self.text("sslrootcert").as_deref() {
            // libpq reads ~/.postgresql/root.crt here, and refuses to connect without it.
            None if mode == SslMode::VerifyFull => Roots::System,
            None => Roots::Unverified,
            Some("system") => Roots::System,
            Some(path) => Roots::File(path.into()),
        };
        if roots == Roots::System && self.text("sslmode").is_none() {
            mode = SslMode::VerifyFull;
        }
        let certificate = self.text("sslcert").map(PathBuf::from);
        let key = self.text("sslkey").map(PathBuf::from);
        let contradiction = match (mode, &roots) {
            (SslMode::VerifyCa, Roots::Unverified) => Some(
                "sslmode=verify-ca needs sslrootcert=FILE: with the certificate authorities of the system, the certificate \
                 of any host passes; sslmode=verify-full can use those",
            ),
            (mode, Roots::System) if mode != SslMode::VerifyFull => Some(
                "sslrootcert=system needs sslmode=verify-full: with less, the certificate of any host passes",
            ),
            _ if certificate.is_some() != key.is_some() => Some("sslcert and sslkey need each other"),
            _ => None,
        };
        self.problems.extend(contradiction.map(Problem::Contradiction));
        let without = self.choice("sslcertmode", CERTIFICATE_MODES, "disable, allow");
        Ssl {
            mode,
            roots,
            certificate: certificate.filter(|_| !without),
            key: key.filter(|_| !without),
            key_password: self.text("sslpassword").map(Secret::new),
            server_name: self.text("sslsni").is_none() || self.choice("sslsni", FLAGS, "0, 1"),
            direct: self.choice(
                "sslnegotiation",
                &[("postgres", false), ("direct", true)],
                "postgres, direct",
            ),
            versions: (
                self.choice("ssl_min_protocol_version", VERSIONS, VERSION_WORDS).unwrap_or(TlsVersion::V1_2),
                self.choice("ssl_max_protocol_version", VERSIONS, VERSION_WORDS),
            ),
        }
    }

    fn hosts(&mut self, mode: SslMode) -> Vec<Host> {
        let list = |value: Option<String>| -> Vec<String> {
            value.map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default()
        };
        let names = list(self.text("host"));
        let (addresses, ports) = (list(self.text("hostaddr")), list(self.text("port")));
        let count = names.len().max(addresses.len());
        let fits = |list: &[String]| list.is_empty() || list.len() == count;
        if count == 0 {
            self.problems.push(Problem::Contradiction("no host is given"));
        } else if !fits(&names) || !fits(&addresses) || (ports.len() > 1 && !fits(&ports)) {
            let problem = "host, hostaddr and port do not have the same number of elements";
            self.problems.push(Problem::Contradiction(problem));
            return Vec::new();
        }
        let at = |list: &[String], index: usize| list.get(index).filter(|text| !text.is_empty()).cloned();
        let hosts = (0..count).map(|index| {
            let port = at(&ports, if ports.len() == 1 { 0 } else { index });
            host(at(&names, index), at(&addresses, index), port, mode)
        });
        let (hosts, problems): (Vec<_>, Vec<_>) = hosts.partition(Result::is_ok);
        self.problems.extend(problems.into_iter().filter_map(Result::err));
        hosts.into_iter().flatten().collect()
    }
}

fn host(
    name: Option<String>,
    address: Option<String>,
    port: Option<String>,
    mode: SslMode,
) -> Result<Host, Problem> {
    let port = port.map_or(Ok(DEFAULT_PORT), |port| port.trim().parse());
    let port = port.ok().filter(|port| *port > 0);
    let port = port.ok_or(Problem::Value { name: "port", expected: "a number from 1 to 65535" })?;
    let address = address.map(|address| address.parse::<IpAddr>()).transpose();
    let address = address.map_err(|_| Problem::Value { name: "hostaddr", expected: "an IP address" })?;
    let address = match (name, address) {
        (None, None) => return Err(Problem::Contradiction("one of the hosts is empty")),
        (None, Some(_)) if mode == SslMode::VerifyFull => {
            return Err(Problem::Contradiction("sslmode=verify-full needs host beside hostaddr"));
        }
        (None, Some(address)) => Address::Tcp(address.to_string(), Some(address)),
        (Some(name), None) if name.starts_with('/') => Address::Socket(name.into()),
        (Some(name), _) if name.contains('@') => {
            return Err(Problem::Malformed("an @ too many; write %40 for one in the user or the password"));
        }
        (Some(name), address) => Address::Tcp(name, address),
    };
    Ok(Host { address, port })
}
