//! TLS to PostgreSQL, with certificates and verification as libpq has them.
//!
//! The client library supports `disable`, `prefer` and `require`. This module decides what is verified.
//! Source: PostgreSQL's documentation, "SSL Support", and `fe-secure-openssl.c`.

use std::error::Error;
use std::fs;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use postgres_openssl::MakeTlsConnector;
use thiserror::Error;

use crate::postgres::parameters::{Host, Problem, Roots, Ssl, SslMode, TlsVersion};

/// Where distributions keep the certificates that they trust. OpenSSL's own place is empty: it is compiled in.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Variables that name other ones. OpenSSL reads them itself.
const SYSTEM_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A certificate or key that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("postgres.url: {0}")]
    File(Problem),
    #[error("TLS: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// Reads the certificates, so that each connection uses the files as they are now.
pub(crate) fn connector(ssl: &Ssl) -> Result<MakeTlsConnector, TlsError> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(version(ssl.versions.0)))?;
    builder.set_max_proto_version(ssl.versions.1.map(version))?;
    match &ssl.roots {
        Roots::Unverified => {}
        Roots::System => {
            let variable = SYSTEM_VARIABLES.iter().any(|variable| std::env::var_os(variable).is_some());
            if let Some(file) = SYSTEM_ROOTS.iter().find(|file| !variable && Path::new(file).exists()) {
                builder.set_ca_file(file)?;
            }
        }
        // Replaces the system's certificates, which the builder has loaded.
        Roots::File(path) => {
            let mut store = X509StoreBuilder::new()?;
            for certificate in certificates("sslrootcert", path)? {
                store.add_cert(certificate)?;
            }
            builder.set_cert_store(store.build());
        }
    }
    let verify = ssl.roots != Roots::Unverified;
    builder.set_verify(if verify { SslVerifyMode::PEER } else { SslVerifyMode::NONE });
    if let (Some(certificate), Some(key)) = (&ssl.certificate, &ssl.key) {
        client_certificate(&mut builder, certificate, key, ssl)?;
    }
    if ssl.direct {
        postgres_openssl::set_postgresql_alpn(&mut builder)?;
    }
    let mut connector = MakeTlsConnector::new(builder.build());
    let (hostname, server_name) = (ssl.mode == SslMode::VerifyFull, ssl.server_name);
    connector.set_callback(move |configuration, _| {
        configuration.set_verify_hostname(hostname);
        configuration.set_use_server_name_indication(server_name);
        Ok(())
    });
    Ok(connector)
}

fn version(version: TlsVersion) -> SslVersion {
    match version {
        TlsVersion::V1_0 => SslVersion::TLS1,
        TlsVersion::V1_1 => SslVersion::TLS1_1,
        TlsVersion::V1_2 => SslVersion::TLS1_2,
        TlsVersion::V1_3 => SslVersion::TLS1_3,
    }
}

fn file_error(name: &'static str, path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::File(Problem::File { name, path: path.to_owned(), reason: reason.into() })
}

fn read(name: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| file_error(name, path, error.to_string()))
}

fn certificates(name: &'static str, path: &Path) -> Result<Vec<X509>, TlsError> {
    let found = X509::stack_from_pem(&read(name, path)?);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(file_error(name, path, "has no certificate in PEM format")),
    }
}

fn client_certificate(
    builder: &mut SslConnectorBuilder,
    certificate: &Path,
    key: &Path,
    ssl: &Ssl,
) -> Result<(), TlsError> {
    let chain = certificates("sslcert", certificate)?;
    for (index, link) in chain.into_iter().enumerate() {
        if index == 0 { builder.set_certificate(&link)? } else { builder.add_extra_chain_cert(link)? }
    }
    builder.set_private_key(&*private_key(key, ssl)?)?;
    let matches = builder.check_private_key();
    matches.map_err(|_| file_error("sslkey", key, "is not the key of the certificate in sslcert"))
}

/// Reads a key in PEM or DER format. Without `sslpassword`, OpenSSL would ask for it on a terminal.
fn private_key(path: &Path, ssl: &Ssl) -> Result<PKey<Private>, TlsError> {
    let bytes = read("sslkey", path)?;
    let mut encrypted = false;
    let pem = PKey::private_key_from_pem_callback(&bytes, |buffer| {
        encrypted = true;
        let password = ssl.key_password.as_ref().map_or("", |password| password.expose()).as_bytes();
        let room = buffer.get_mut(..password.len()).ok_or_else(ErrorStack::get)?;
        room.copy_from_slice(password);
        Ok(password.len())
    });
    pem.or_else(|_| PKey::private_key_from_der(&bytes)).map_err(|_| {
        let reason = match (encrypted, &ssl.key_password) {
            (true, None) => "is encrypted: give sslpassword",
            (true, Some(_)) => "cannot be decrypted with sslpassword",
            (false, _) => "has no private key in PEM or DER format",
        };
        file_error("sslkey", path, reason)
    })
}

/// What happened to a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// We do not accept the server: what is wrong with its certificate.
    ServerRefused(String),
    /// The server does not accept us: its alert.
    ClientRefused(String),
    /// The server has no TLS.
    NotOffered,
    /// Something else, such as a closed connection.
    Failed,
}

/// The handshake that an error is about. The client library returns texts only.
pub(crate) fn handshake(error: &postgres::Error) -> Option<Handshake> {
    if error.as_db_error().is_some() {
        return None;
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    outcome(&text)
}

fn outcome(text: &str) -> Option<Handshake> {
    if text.contains("server does not support TLS") {
        return Some(Handshake::NotOffered);
    }
    if let Some((_, rest)) = text.split_once("certificate verify failed") {
        // "…:file:line:: reason", and once more as the cause of the error.
        let reason = rest.split(": ").nth(1).unwrap_or("it cannot be verified");
        return Some(Handshake::ServerRefused(reason.trim().to_owned()));
    }
    if let Some(alert) =
        text.split(':').find(|part| part.contains(" alert ") && !part.starts_with("SSL alert"))
    {
        let alert = alert.split_once(" alert ").map_or(alert, |(_, alert)| alert);
        return Some(Handshake::ClientRefused(alert.trim().to_owned()));
    }
    text.contains("TLS handshake").then_some(Handshake::Failed)
}

impl Handshake {
    /// What is wrong, if it is a matter of certificates: the same attempt fails again.
    pub(crate) fn problem(&self, host: &Host, ssl: &Ssl) -> Option<String> {
        let parameter = |name: &str, path: Option<&Path>| {
            path.map_or_else(|| format!("no {name}"), |path| format!("{name}={}", path.display()))
        };
        let (name, mode) = (host.name(), ssl.mode.name());
        let roots = parameter("sslrootcert", ssl.roots.given());
        match self {
            Self::ServerRefused(reason) => Some(format!(
                "the certificate of {name}:{} is refused: {reason} (sslmode={mode}, {roots})",
                host.port
            )),
            Self::ClientRefused(alert) => Some(format!(
                "{name}:{} refuses the TLS connection: {alert} ({}, sslmode={mode}, {roots})",
                host.port,
                parameter("sslcert", ssl.certificate.as_deref())
            )),
            Self::NotOffered => {
                Some(format!("{name}:{} has no TLS, which sslmode={mode} demands", host.port))
            }
            Self::Failed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_read_from_the_librarys_texts() {
        let server = "error performing TLS handshake: error:0A000086:SSL routines:tls_post_process_server_certificate:\
                      certificate verify failed:ssl/statem/statem_clnt.c:2103:: hostname mismatch: error:0A000086:…";
        assert_eq!(outcome(server), Some(Handshake::ServerRefused("hostname mismatch".to_owned())));
        let client = "error communicating with the server: error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert \
                      unknown ca:ssl/record/rec_layer_s3.c:909:SSL alert number 48";
        assert_eq!(outcome(client), Some(Handshake::ClientRefused("unknown ca".to_owned())));
        let none = "error performing TLS handshake: server does not support TLS";
        assert_eq!(outcome(none), Some(Handshake::NotOffered));
        assert_eq!(outcome("error performing TLS handshake: unexpected EOF"), Some(Handshake::Failed));
        assert_eq!(outcome("error connecting to server: Connection refused"), None);
    }
}
