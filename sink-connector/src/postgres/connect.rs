//! Connection settings: the URL, the password, and the sink's own defaults.

use std::time::Duration;

use crate::config::Config;
use crate::postgres::handshake::CONNECT_TIMEOUT;
use crate::postgres::tls::{self, UrlError};

pub(crate) fn settings(
    config: &Config,
) -> Result<(postgres::Config, postgres_openssl::MakeTlsConnector), UrlError> {
    let (mut postgres, tls) = tls::parse(config.postgres.url.expose())?;
    if let Some(password) = &config.postgres.password {
        postgres.password(password.expose());
    }
    postgres.application_name(&format!("kafka-sink:{}", config.name));
    if postgres.get_connect_timeout().is_none() {
        postgres.connect_timeout(CONNECT_TIMEOUT);
    }
    postgres.keepalives(true).keepalives_idle(Duration::from_secs(30));
    postgres.keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
    if postgres.get_tcp_user_timeout().is_none() {
        // Keepalives are not sent while data is unacknowledged. The kernel's own limit is about 15 minutes.
        postgres.tcp_user_timeout(Duration::from_secs(60));
    }
    Ok((postgres, tls))
}
