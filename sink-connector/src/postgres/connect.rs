//! Opens sessions: hosts in their order, passwords and certificates as they are now, TLS as `sslmode` says.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::Client;
use postgres::config::{
    ChannelBinding as ClientBinding, LoadBalanceHosts, SslMode as ClientMode, SslNegotiation,
};
use postgres_openssl::MakeTlsConnector;
use shared::settings::Secret;

use crate::config::Config;
use crate::postgres::failure::Failure;
use crate::postgres::handshake::{self, CONNECT_TIMEOUT, ConnectError};
use crate::postgres::parameters::{Address, ChannelBinding, Host, Parameters, SessionAttributes, SslMode};
use crate::postgres::password::Password;
use crate::postgres::settings;
use crate::postgres::sqlstate::Class;
use crate::postgres::tls::{self, Handshake, TlsError};

/// How long a failure that needs the operator is returned again without another attempt: the pool asks several times a
/// second, and servers lock accounts.
const HOLD: Duration = Duration::from_secs(1);

/// Makes sessions of one connector.
pub(crate) struct Connector {
    parameters: Parameters,
    password: Password,
    application_name: String,
    held: Mutex<Option<(Instant, Failure)>>,
}

impl Connector {
    /// # Errors
    /// A certificate or a key cannot be used. The connection string itself was checked with the configuration.
    pub(crate) fn new(config: &Config, application_name: &str) -> Result<Self, ConnectError> {
        let parameters = Parameters::parse(config.postgres.url.expose()).map_err(ConnectError::Parameters)?;
        let password = Password::new(config, &parameters);
        let connector = Self::with(parameters, password, application_name);
        tls::connector(&connector.parameters.ssl)?;
        Ok(connector)
    }

    fn with(parameters: Parameters, password: Password, application_name: &str) -> Self {
        Self { parameters, password, application_name: application_name.to_owned(), held: Mutex::default() }
    }

    /// A session with the settings of the sink. After a failure that needs the operator, the next attempt waits.
    pub(crate) fn open(&self) -> Result<Client, Failure> {
        if let Some((until, failure)) = &*self.held.lock()
            && Instant::now() < *until
        {
            return Err(failure.clone());
        }
        self.connect(&settings::statements()).map_err(|error| {
            let failure = Failure::from(error);
            if failure.class == Class::Configuration {
                *self.held.lock() = Some((Instant::now() + HOLD, failure.clone()));
            }
            failure
        })
    }

    /// A session in which `settings` have been executed.
    pub(crate) fn connect(&self, settings: &str) -> Result<Client, ConnectError> {
        let tls = tls::connector(&self.parameters.ssl)?;
        let password = self.password.current()?;
        let hosts = self.hosts();
        // With prefer-standby, any server will do if no standby answers.
        let wanted = match self.parameters.session {
            SessionAttributes::PreferStandby => vec![SessionAttributes::Standby, SessionAttributes::Any],
            attributes => vec![attributes],
        };
        let mut errors: Vec<ConnectError> = Vec::new();
        for wanted in wanted {
            for host in &hosts {
                let password = password.of(host, &self.parameters)?;
                let attempt = Attempt { connector: self, tls: &tls, password, host, settings, wanted };
                match attempt.run() {
                    Ok(client) => return Ok(client),
                    Err(error) => errors.push(error),
                }
            }
        }
        Err(failed(errors))
    }

    fn hosts(&self) -> Vec<&Host> {
        let mut hosts: Vec<&Host> = self.parameters.hosts.iter().collect();
        shuffle(self.parameters.random_host, &mut hosts);
        hosts
    }

    fn client(&self, host: &Host, address: Option<IpAddr>, password: Option<&Secret>) -> postgres::Config {
        let parameters = &self.parameters;
        let mut client = postgres::Config::new();
        match &host.address {
            Address::Socket(directory) => client.host_path(directory),
            Address::Tcp(name, _) => client.host(name),
        };
        address.map(|address| client.hostaddr(address));
        client.port(host.port).load_balance_hosts(LoadBalanceHosts::Disable);
        parameters.user.as_ref().map(|user| client.user(user));
        password.map(|password| client.password(password.expose()));
        parameters.database.as_ref().map(|database| client.dbname(database));
        parameters.options.as_ref().map(|options| client.options(options));
        client.application_name(&self.application_name);
        client.connect_timeout(parameters.connect_timeout.unwrap_or(CONNECT_TIMEOUT));
        // Keepalives are not sent while data is unacknowledged. The kernel's own limit is about 15 minutes.
        client.tcp_user_timeout(parameters.tcp_user_timeout.unwrap_or(Duration::from_secs(60)));
        let keepalives = &parameters.keepalives;
        client.keepalives(!keepalives.off);
        client.keepalives_idle(keepalives.idle.unwrap_or(Duration::from_secs(30)));
        client.keepalives_interval(keepalives.interval.unwrap_or(Duration::from_secs(10)));
        client.keepalives_retries(keepalives.count.unwrap_or(3));
        client.channel_binding(match parameters.channel_binding {
            ChannelBinding::Disable => ClientBinding::Disable,
            ChannelBinding::Prefer => ClientBinding::Prefer,
            ChannelBinding::Require => ClientBinding::Require,
        });
        if parameters.ssl.direct {
            client.ssl_negotiation(SslNegotiation::Direct);
        }
        client
    }
}

/// One host.
struct Attempt<'a> {
    connector: &'a Connector,
    tls: &'a MakeTlsConnector,
    password: Option<Secret>,
    host: &'a Host,
    settings: &'a str,
    wanted: SessionAttributes,
}

impl Attempt<'_> {
    /// Tries the addresses of the host.
    fn run(&self) -> Result<Client, ConnectError> {
        let addresses: Vec<Option<IpAddr>> = match &self.host.address {
            Address::Socket(_) => vec![None],
            Address::Tcp(_, Some(address)) => vec![Some(*address)],
            Address::Tcp(name, None) => {
                let unknown = |source| ConnectError::Resolve { host: name.clone(), source };
                let found = (name.as_str(), self.host.port).to_socket_addrs().map_err(unknown)?;
                let mut seen = BTreeSet::new();
                let mut found: Vec<_> = found.map(|found| found.ip()).filter(|ip| seen.insert(*ip)).collect();
                shuffle(self.connector.parameters.random_host, &mut found);
                found.into_iter().map(Some).collect()
            }
        };
        let mut errors = Vec::new();
        for address in addresses {
            match self.address(address) {
                Ok(client) => return Ok(client),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            errors.push(ConnectError::NoAddress(self.host.name()));
        }
        Err(failed(errors))
    }

    /// Tries one address with TLS, without, or both, as libpq does.
    fn address(&self, address: Option<IpAddr>) -> Result<Client, ConnectError> {
        let ssl = &self.connector.parameters.ssl;
        let modes = match (&self.host.address, ssl.mode) {
            // A socket has no TLS, whatever is demanded.
            (Address::Socket(_), _) | (_, SslMode::Disable) => (ClientMode::Disable, None),
            (_, SslMode::Allow) => (ClientMode::Disable, Some(ClientMode::Require)),
            (_, SslMode::Prefer) => (ClientMode::Prefer, Some(ClientMode::Disable)),
            (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => (ClientMode::Require, None),
        };
        let mut client = self.connector.client(self.host, address, self.password.as_ref());
        let mut once = |mode| {
            client.ssl_mode(mode);
            handshake::connect(&client, self.tls, self.settings, self.wanted)
        };
        let outcome = match (once(modes.0), modes.1) {
            (Err(error), Some(other)) if may_differ(&error) => match once(other) {
                // The first attempt says more than that the second kind is not offered.
                Err(second) if !may_differ(&second) => Err(error),
                outcome => outcome,
            },
            (outcome, _) => outcome,
        };
        outcome.map_err(|error| self.explain(error, &client))
    }

    /// Adds what the client library does not know: which server, whose certificate, and whose password.
    fn explain(&self, error: ConnectError, client: &postgres::Config) -> ConnectError {
        let ConnectError::Client(error) = error else { return error };
        let ssl = &self.connector.parameters.ssl;
        let problem = tls::handshake(&error).and_then(|handshake| handshake.problem(self.host, ssl));
        if let Some(problem) = problem {
            return ConnectError::Certificate(problem);
        }
        let server = handshake::server(client);
        let refused = error.as_db_error().is_some_and(|error| error.code().code().starts_with("28P"));
        let missing = error.source().is_some_and(|cause| cause.to_string() == "password missing");
        if refused || missing {
            let source_of_password = self.connector.password.source(self.password.is_some());
            return ConnectError::Login { server, error, source_of_password };
        }
        match error.as_db_error() {
            Some(_) => ConnectError::Refused { server, error },
            None => ConnectError::Unreachable { server, error },
        }
    }
}

/// One error for those of all hosts. The last one that the operator has to correct, or else the last one, decides the class.
fn failed(mut errors: Vec<ConnectError>) -> ConnectError {
    let worst = errors.iter().rposition(ConnectError::is_the_operators);
    match errors.len() {
        0 => ConnectError::Parameters(Vec::new()),
        1 => errors.remove(0),
        all => {
            let worst = errors.remove(worst.unwrap_or(all - 1));
            ConnectError::Hosts { worst: Box::new(worst), others: errors }
        }
    }
}

/// Whether an attempt with or without TLS may do what the other did not: it was refused, not unanswered.
fn may_differ(error: &ConnectError) -> bool {
    let ConnectError::Client(error) = error else { return false };
    let refused = error.as_db_error().is_some_and(|error| error.code().code().starts_with("28"));
    refused || tls::handshake(error).is_some_and(|handshake| handshake != Handshake::NotOffered)
}

/// Puts the elements in a random order, if `random`.
fn shuffle<T>(random: bool, elements: &mut [T]) {
    let number = || RandomState::new().build_hasher().finish();
    for last in (1..elements.len()).rev().filter(|_| random) {
        let other = usize::try_from(number() % (last as u64 + 1)).unwrap_or(last);
        elements.swap(last, other);
    }
}

impl From<TlsError> for ConnectError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

#[cfg(test)]
impl Connector {
    /// For a connection string, without a password.
    pub(crate) fn of(text: &str) -> Self {
        Self::with(Parameters::parse(text).unwrap(), Password::None, "test")
    }
}
