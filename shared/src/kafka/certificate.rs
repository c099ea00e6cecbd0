//! Why the certificate of a broker is refused: librdkafka says only that it could not be verified.

use std::collections::HashMap;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::ssl::{HandshakeError, SslConnector, SslMethod};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509VerifyResult};
use parking_lot::Mutex;
use rdkafka::config::ClientConfig;

/// Longest time of a connection attempt, and of each read in the handshake.
const TIMEOUT: Duration = Duration::from_millis(500);
/// How long a reason is used again: it is asked for inside of a callback.
const FRESH: Duration = Duration::from_secs(10);

/// Verifies certificates as a client of these properties does.
#[derive(Debug)]
pub(super) struct Verifier {
    location: Option<String>,
    pem: Option<String>,
    hostname: bool,
    known: Mutex<HashMap<String, (Instant, Option<String>)>>,
}

impl Verifier {
    pub(super) fn new(config: &ClientConfig) -> Self {
        let property = |name| config.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        Self {
            location: property("ssl.ca.location").filter(|location| location != "probe"),
            pem: property("ssl.ca.pem"),
            hostname: config.get("ssl.endpoint.identification.algorithm") != Some("none"),
            known: Mutex::default(),
        }
    }

    /// An error of librdkafka in words that name the reason, if it is about a broker's certificate. Connects to the broker.
    pub(super) fn explain(&self, error: &str) -> Option<String> {
        if !error.contains("certificate verify failed")
            && !error.contains("certificate could not be verified")
        {
            return None;
        }
        let (scheme, rest) = error.split_once("://")?;
        let (address, _) = rest.split_once(": ")?;
        let (host, port) = address.rsplit_once(':')?;
        let reason = self.reason(host.trim_matches(['[', ']']), port.parse().ok()?)?;
        let trusted = match (&self.location, &self.pem) {
            (Some(location), _) => format!("ssl.ca.location={location}"),
            (None, Some(_)) => "ssl.ca.pem".to_owned(),
            (None, None) => "no ssl.ca.location: the system's certificates".to_owned(),
        };
        Some(format!("{scheme}://{address}: the certificate of {host} is refused: {reason} ({trusted})"))
    }

    fn reason(&self, host: &str, port: u16) -> Option<String> {
        let key = format!("{host}:{port}");
        let now = Instant::now();
        let mut known = self.known.lock();
        if let Some((at, reason)) = known.get(&key)
            && now < *at + FRESH
        {
            return reason.clone();
        }
        let found = self.verify(host, port);
        let reason =
            found.filter(|found| *found != X509VerifyResult::OK).map(|found| found.error_string().to_owned());
        // Bounded by the brokers of a cluster.
        known.insert(key, (now, reason.clone()));
        reason
    }

    /// What a handshake finds; `None` if there is none.
    fn verify(&self, host: &str, port: u16) -> Option<X509VerifyResult> {
        let connector = self.connector().ok()?;
        let address = (host, port).to_socket_addrs().ok()?.next()?;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.set_write_timeout(Some(TIMEOUT)).ok()?;
        let mut configuration = connector.configure().ok()?;
        configuration.set_verify_hostname(self.hostname);
        match configuration.connect(host, stream) {
            Err(HandshakeError::Failure(failed)) => Some(failed.ssl().verify_result()),
            Ok(_) | Err(_) => None,
        }
    }

    fn connector(&self) -> Result<SslConnector, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        if self.location.is_some() || self.pem.is_some() {
            // Replaces the system's certificates, which the builder has loaded.
            builder.set_cert_store(X509StoreBuilder::new()?.build());
        }
        if let Some(location) = self.location.as_deref().map(Path::new) {
            let (file, folder) =
                if location.is_dir() { (None, Some(location)) } else { (Some(location), None) };
            builder.load_verify_locations(file, folder)?;
        }
        for certificate in X509::stack_from_pem(self.pem.as_deref().unwrap_or_default().as_bytes())? {
            builder.cert_store_mut().add_cert(certificate)?;
        }
        Ok(builder.build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_about_certificates_are_looked_into() {
        let verifier = Verifier::new(&ClientConfig::new());
        assert_eq!(verifier.explain("ssl://127.0.0.1:1: Connection refused"), None);
        assert_eq!(
            verifier.explain("ssl://127.0.0.1:1: SSL handshake failed: certificate verify failed"),
            None
        );
        assert!(verifier.known.lock().contains_key("127.0.0.1:1"), "nobody listens there");
    }
}
