//! The PostgreSQL URL: libpq's, with `sslmode` and `sslrootcert` read as libpq reads them.
//!
//! The client library supports `disable`, `prefer` and `require`. This module decides what is verified.
//! Source: PostgreSQL's documentation, "SSL Support", table "SSL Mode Descriptions".

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use percent_encoding::percent_decode_str;
use postgres_openssl::MakeTlsConnector;
use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum UrlError {
    #[error("postgres.url: {0}")]
    Invalid(String),
    #[error(
        "postgres.url: sslmode={0} is not one of disable, allow, prefer, require, verify-ca, verify-full"
    )]
    Mode(String),
    #[error("postgres.url: sslrootcert={path}: {reason}")]
    RootCertificate { path: String, reason: String },
    #[error("TLS: {0}")]
    OpenSsl(#[from] openssl::error::ErrorStack),
}

/// Parses the URL into a client configuration and its TLS settings.
pub(crate) fn parse(url: &str) -> Result<(postgres::Config, MakeTlsConnector), UrlError> {
    let (mut mode, mut root) = (None, None);
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => {
                let path = percent_decode_str(value).decode_utf8();
                let invalid = |error| UrlError::Invalid(format!("sslrootcert={value}: {error}"));
                root = Some(path.map_err(invalid)?.into_owned());
            }
            _ => kept.push(pair),
        }
    }
    let text = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    let mut config: postgres::Config = text.parse().map_err(|error: postgres::Error| {
        let cause = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
        UrlError::Invalid(format!("{error}{cause}"))
    })?;
    let mode = mode.as_deref().unwrap_or("prefer");
    config.ssl_mode(match mode {
        "disable" => postgres::config::SslMode::Disable,
        "allow" | "prefer" => postgres::config::SslMode::Prefer,
        "require" | "verify-ca" | "verify-full" => postgres::config::SslMode::Require,
        other => return Err(UrlError::Mode(other.to_owned())),
    });
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    if let Some(path) = &root {
        builder
            .set_ca_file(path)
            .map_err(|error| UrlError::RootCertificate { path: path.clone(), reason: error.to_string() })?;
    }
    // As libpq: `require` with a root certificate verifies like verify-ca.
    let verify = matches!(mode, "verify-ca" | "verify-full") || (mode == "require" && root.is_some());
    builder.set_verify(if verify { SslVerifyMode::PEER } else { SslVerifyMode::NONE });
    let mut connector = MakeTlsConnector::new(builder.build());
    let hostname = mode == "verify-full";
    connector.set_callback(move |configuration, _| {
        configuration.set_verify_hostname(hostname);
        Ok(())
    });
    Ok((config, connector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postgres::config::SslMode;

    #[test]
    fn sslmode_is_read_as_libpq_reads_it() {
        for (mode, expected) in [
            ("disable", SslMode::Disable),
            ("prefer", SslMode::Prefer),
            ("verify-ca", SslMode::Require),
            ("verify-full", SslMode::Require),
        ] {
            let (config, _) =
                parse(&format!("postgresql://u@h:1/d?sslmode={mode}&connect_timeout=3")).unwrap();
            assert_eq!(config.get_ssl_mode(), expected);
            assert!(config.get_connect_timeout().is_some());
        }
        assert!(matches!(parse("postgresql://u@h/d?sslmode=full"), Err(UrlError::Mode(_))));
        assert!(matches!(
            parse("postgresql://u@h/d?sslrootcert=/does/not/exist.pem"),
            Err(UrlError::RootCertificate { .. })
        ));
        let missing = parse("postgresql://u@h/d?sslrootcert=%2fno%20such%2Ffile.pem").err().unwrap();
        assert!(missing.to_string().contains("/no such/file.pem"), "{missing}");
        assert!(matches!(parse("postgresql://u@h/d?sslrootcert=%ff"), Err(UrlError::Invalid(_))));
        assert!(matches!(parse("postgresql://u@h:port/d"), Err(UrlError::Invalid(_))));
    }
}
