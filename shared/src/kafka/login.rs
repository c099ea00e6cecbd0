//! Logins to Kafka that change while clients run: user and password from files, tokens from a command.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, NulError, c_char};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use std::{io, ptr, thread};

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::producer::{BaseProducer, Partitioner, Producer as _, ProducerContext, ThreadedProducer};
use thiserror::Error;

use super::token::{Token, TokenError};
use super::token_command::TokenCommand;
use crate::repeated::RepeatedFailures;
use crate::settings::{
    RuleError, Secret, SecretCommandError, SecretFileError, run_secret_command, with_change,
};

/// How often the files are read.
const INTERVAL: Duration = Duration::from_secs(1);
/// The wait after a token command that failed.
const RETRY: Duration = Duration::from_secs(2);
const ERROR_BYTES: usize = 512;

/// Where a login comes from that may change.
#[derive(Clone, Debug)]
pub enum LoginSource {
    /// User and password, at least one of them from a file.
    Files {
        /// The user.
        username: Value,
        /// The password.
        password: Value,
    },
    /// A program that prints a token, with its arguments, and its longest time.
    Command(Vec<String>, Duration),
}

/// A value, or the file that it is read from.
#[derive(Clone, Debug)]
pub enum Value {
    /// Given as it is.
    Given(Secret),
    /// Read from a file.
    File(PathBuf),
}

/// Why a client has no new login. It never shows one.
#[derive(Debug, Error)]
enum LoginError {
    #[error("kafka.oauthbearer_token_command: {0}")]
    Command(#[from] SecretCommandError),
    #[error("kafka.oauthbearer_token_command: {0}")]
    Token(#[from] TokenError),
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("the login contains a NUL byte")]
    Nul(#[from] NulError),
    #[error("librdkafka refuses the login: {0}")]
    Refused(String),
}

/// A client whose login can be replaced.
pub trait LoginClient: Send + Sync + 'static {
    /// Its object in librdkafka.
    fn native(&self) -> *mut rd::rd_kafka_t;
}

impl<C: ConsumerContext + 'static> LoginClient for BaseConsumer<C> {
    fn native(&self) -> *mut rd::rd_kafka_t {
        self.client().native_ptr()
    }
}

impl<C, P> LoginClient for BaseProducer<C, P>
where
    C: ProducerContext<P> + 'static,
    P: Partitioner + Send + Sync + 'static,
{
    fn native(&self) -> *mut rd::rd_kafka_t {
        self.client().native_ptr()
    }
}

impl<C, P> LoginClient for ThreadedProducer<C, P>
where
    C: ProducerContext<P> + 'static,
    P: Partitioner + Send + Sync + 'static,
{
    fn native(&self) -> *mut rd::rd_kafka_t {
        self.client().native_ptr()
    }
}

/// Renews the login of a client until it is dropped.
#[derive(Debug)]
pub struct RenewedLogin(#[expect(dead_code, reason = "dropping it ends the thread")] Sender<()>);

impl LoginSource {
    /// The login of these properties, if it may change: some of it is in a file, or a command prints tokens.
    #[must_use]
    pub fn of(properties: &BTreeMap<String, String>, token: &TokenCommand) -> Option<Self> {
        if let Some(command) = &token.command {
            return Some(Self::Command(command.clone(), token.timeout));
        }
        let value = |name: &str| {
            let file = properties.get(&format!("{name}_file")).map(|path| Value::File(path.into()));
            file.or_else(|| properties.get(name).map(|value| Value::Given(Secret::new(value))))
        };
        let (username, password) = (value("sasl.username")?, value("sasl.password")?);
        let file = matches!(username, Value::File(_)) || matches!(password, Value::File(_));
        file.then_some(Self::Files { username, password })
    }

    /// Where a refused login came from, for a message.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Files { username, password } => {
                let files = [("sasl.username_file", username), ("sasl.password_file", password)];
                let described = files.into_iter().filter_map(|(name, value)| match value {
                    Value::Given(_) => None,
                    Value::File(path) => Some(format!("{name} is {}", with_change(path))),
                });
                described.collect::<Vec<_>>().join(", ")
            }
            Self::Command(command, _) => {
                let program = command.first().map_or("", String::as_str);
                format!("the token is the output of kafka.oauthbearer_token_command {program:?}")
            }
        }
    }

    /// Keeps the login of `client` up to date, from now on.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn renew<C: LoginClient>(self, client: &Arc<C>) -> io::Result<RenewedLogin> {
        let (ended, wait) = channel();
        let client = Arc::downgrade(client);
        let mut renewal = Renewal {
            source: self,
            client,
            login: None,
            failed: None,
            failures: RepeatedFailures::default(),
        };
        let thread = thread::Builder::new().name("kafka-login".to_owned());
        thread.spawn(move || renewal.run(&wait)).map(|_| RenewedLogin(ended))
    }
}

/// What `kafka.oauthbearer_token_command` demands of the properties, and OAUTHBEARER of it.
#[must_use]
pub fn broken_token_command<'a>(
    token: &TokenCommand,
    properties: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<RuleError> {
    const KEY: &str = "kafka.oauthbearer_token_command";
    let properties: BTreeMap<&str, &str> = properties.into_iter().collect();
    let is =
        |name: &str, value: &str| properties.get(name).is_some_and(|given| given.eq_ignore_ascii_case(value));
    let oauthbearer = is("sasl.mechanism", "OAUTHBEARER") || is("sasl.mechanisms", "OAUTHBEARER");
    let others = [("enable.sasl.oauthbearer.unsecure.jwt", "true"), ("sasl.oauthbearer.method", "oidc")];
    let other = others.into_iter().find(|(name, value)| is(name, value));
    let problem = match (&token.command, other) {
        (None, None) if oauthbearer => {
            "must be given with sasl.mechanism=OAUTHBEARER: a program that prints a token; or let librdkafka get it, with \
             sasl.oauthbearer.method=oidc"
                .to_owned()
        }
        (None, _) => return None,
        (Some(command), _) if command.first().is_none_or(String::is_empty) => "is empty: name a program".to_owned(),
        (Some(_), Some((name, value))) => format!("prints tokens, but {name}={value} is another source of them"),
        (Some(_), None) if oauthbearer => return None,
        (Some(_), None) => "needs \"sasl.mechanism\" = \"OAUTHBEARER\" in [kafka.properties]".to_owned(),
    };
    Some(RuleError::new([KEY], problem))
}

struct Renewal<C> {
    source: LoginSource,
    client: Weak<C>,
    /// The user and password that the client has.
    login: Option<(Secret, Secret)>,
    /// The last failure.
    failed: Option<String>,
    /// Which failures are logged.
    failures: RepeatedFailures,
}

impl<C: LoginClient> Renewal<C> {
    fn run(&mut self, ended: &Receiver<()>) {
        loop {
            let wait = match self.once() {
                Ok(wait) => {
                    if self.failed.take().is_some() {
                        self.failures.ended();
                        tracing::info!("the login to Kafka is renewed again");
                    }
                    wait
                }
                Err(error) => {
                    self.report(error.to_string());
                    RETRY
                }
            };
            if ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Renews the login, if it has changed. Returns when to do it again.
    fn once(&mut self) -> Result<Duration, LoginError> {
        match &self.source {
            LoginSource::Files { username, password } => {
                let login = (read(username)?, read(password)?);
                if self.login.as_ref() != Some(&login) {
                    self.set_login(&login)?;
                    self.login = Some(login);
                }
                Ok(INTERVAL)
            }
            LoginSource::Command(command, timeout) => {
                let token = Token::read(&run_secret_command(command, *timeout)?)?;
                self.set_token(&token)?;
                // As librdkafka does with its own tokens.
                Ok(token.lifetime(SystemTime::now()).mul_f64(0.8).max(RETRY))
            }
        }
    }

    fn set_login(&self, (username, password): &(Secret, Secret)) -> Result<(), LoginError> {
        let Some(client) = self.client.upgrade() else { return Ok(()) };
        let (username, password) = (CString::new(username.expose())?, CString::new(password.expose())?);
        // SAFETY: the client lives during the call, and librdkafka copies the strings.
        let error = unsafe {
            rd::rd_kafka_sasl_set_credentials(client.native(), username.as_ptr(), password.as_ptr())
        };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the error is ours, and its text is valid until it is destroyed.
        let text = unsafe {
            let text = text(rd::rd_kafka_error_string(error));
            rd::rd_kafka_error_destroy(error);
            text
        };
        Err(LoginError::Refused(text))
    }

    fn set_token(&self, token: &Token) -> Result<(), LoginError> {
        let Some(client) = self.client.upgrade() else { return Ok(()) };
        let (text_of_token, principal) =
            (CString::new(token.text.expose())?, CString::new(token.principal.as_str())?);
        let mut reason: [c_char; ERROR_BYTES] = [0; ERROR_BYTES];
        // SAFETY: the client lives during the call, librdkafka copies the strings, and writes at most so many bytes.
        let result = unsafe {
            rd::rd_kafka_oauthbearer_set_token(
                client.native(),
                text_of_token.as_ptr(),
                token.expires_ms,
                principal.as_ptr(),
                ptr::null_mut(),
                0,
                reason.as_mut_ptr(),
                ERROR_BYTES,
            )
        };
        match result {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            // SAFETY: librdkafka has ended the text with a NUL byte, which was there before as well.
            _ => Err(LoginError::Refused(unsafe { text(reason.as_ptr()) })),
        }
    }

    /// Logs a failure, unless it was logged within the last minute. The client gets one that may leave it without a token, and
    /// reports it as its error.
    fn report(&mut self, failure: String) {
        if let Some(times) = self.failures.to_log(&failure, Instant::now()) {
            tracing::warn!(
                error = failure,
                times,
                "cannot renew the login to Kafka; the previous one stays in use"
            );
        }
        if self.failed.as_ref() == Some(&failure) {
            return;
        }
        if matches!(self.source, LoginSource::Command(..))
            && let Some(client) = self.client.upgrade()
            && let Ok(reason) = CString::new(failure.as_str())
        {
            // SAFETY: the client lives during the call, and librdkafka copies the string.
            let result =
                unsafe { rd::rd_kafka_oauthbearer_set_token_failure(client.native(), reason.as_ptr()) };
            tracing::debug!(?result, "the client has no new token");
        }
        self.failed = Some(failure);
    }
}

fn read(value: &Value) -> Result<Secret, LoginError> {
    match value {
        Value::Given(secret) => Ok(secret.clone()),
        Value::File(path) => Ok(Secret::read(path)?),
    }
}

/// Copies a C string.
///
/// # Safety
/// `pointer` must be a NUL-terminated string that is valid during the call.
unsafe fn text(pointer: *const c_char) -> String {
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(command: Option<&[&str]>, properties: &[(&str, &str)]) -> Option<String> {
        let command = command.map(|command| command.iter().map(|part| (*part).to_owned()).collect());
        let token = TokenCommand { command, ..TokenCommand::default() };
        broken_token_command(&token, properties.iter().copied()).map(|rule| rule.problem)
    }

    #[test]
    fn tokens_have_exactly_one_source() {
        let mechanism = ("sasl.mechanisms", "oauthbearer");
        assert_eq!(broken(None, &[]), None);
        assert_eq!(broken(None, &[mechanism, ("sasl.oauthbearer.method", "oidc")]), None);
        assert_eq!(broken(Some(&["token"]), &[mechanism]), None);
        for (command, properties, words) in [
            (None, &[mechanism][..], "must be given"),
            (Some(&["token"][..]), &[], "needs \"sasl.mechanism\" = \"OAUTHBEARER\""),
            (Some(&[]), &[mechanism], "is empty"),
            (
                Some(&["token"]),
                &[mechanism, ("enable.sasl.oauthbearer.unsecure.jwt", "true")],
                "another source",
            ),
        ] {
            let problem = broken(command, properties).unwrap();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn only_a_login_with_a_file_changes() {
        let of = |names: &[&str]| {
            let properties = names.iter().map(|name| ((*name).to_owned(), "/x".to_owned())).collect();
            LoginSource::of(&properties, &TokenCommand::default()).map(|source| source.described())
        };
        assert_eq!(of(&["sasl.username", "sasl.password"]), None);
        assert_eq!(of(&["sasl.username"]), None);
        assert_eq!(of(&["sasl.username", "sasl.password_file"]).as_deref(), Some("sasl.password_file is /x"));
        assert!(of(&["sasl.username_file", "sasl.password"]).is_some());
    }
}
