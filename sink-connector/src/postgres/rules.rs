//! The errors of `postgres.url` that only its parser knows.

use shared::settings::RuleError;

use crate::config::Config;
use crate::postgres::tls;

/// Every error, without the URL: it may hold a password. The server is not contacted.
pub(crate) fn broken(config: &Config) -> Vec<RuleError> {
    let url = config.postgres.url.expose();
    match tls::parse(url) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let text = error.to_string();
            let problem = text.strip_prefix("postgres.url: ").unwrap_or(&text);
            vec![RuleError::new(["postgres.url"], problem)]
        }
    }
}
