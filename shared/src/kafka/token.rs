//! A token for SASL OAUTHBEARER: a JWT, of which the time of its end and its subject are read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::settings::Secret;

/// Why a text is no token. It shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum TokenError {
    #[error(
        "the output is no JWT: three parts in base64url, separated by dots, the second of them a JSON object"
    )]
    NotJwt,
    #[error("the token has no exp, the time of its end in seconds")]
    NoEnd,
}

/// A token that was read.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) principal: String,
    /// Milliseconds since 1970.
    pub(super) expires_ms: i64,
}

impl Token {
    pub(super) fn read(text: &Secret) -> Result<Self, TokenError> {
        let parts: Vec<&str> = text.expose().split('.').collect();
        let [_, claims, _] = parts.as_slice() else { return Err(TokenError::NotJwt) };
        let claims = decoded(claims).ok_or(TokenError::NotJwt)?;
        let claims: Map<String, Value> = serde_json::from_slice(&claims).map_err(|_| TokenError::NotJwt)?;
        let end = claims.get("exp").and_then(Value::as_f64);
        let principal = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let seconds = end.filter(|seconds| (0.0..1e12).contains(seconds)).ok_or(TokenError::NoEnd)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is in the range above")]
        let expires_ms = (seconds * 1000.0) as i64;
        Ok(Self { text: text.clone(), principal, expires_ms })
    }

    /// How long it is valid from `now` on.
    pub(super) fn lifetime(&self, now: SystemTime) -> Duration {
        let end = UNIX_EPOCH + Duration::from_millis(self.expires_ms.unsigned_abs());
        end.duration_since(now).unwrap_or_default()
    }
}

/// base64url without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut standard = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    while !standard.len().is_multiple_of(4) {
        standard.push('=');
    }
    openssl::base64::decode_block(&standard).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(claims: &str) -> Result<Token, TokenError> {
        let encoded = openssl::base64::encode_block(claims.as_bytes()).replace('+', "-").replace('/', "_");
        Token::read(&Secret::new(format!("e30.{}.", encoded.trim_end_matches('='))))
    }

    #[test]
    fn the_end_and_the_subject_of_a_token_are_read() {
        let token = read(r#"{"sub":"scores","exp":1700000000,"other":[1]}"#).unwrap();
        assert_eq!((token.principal.as_str(), token.expires_ms), ("scores", 1_700_000_000_000));
        let now = UNIX_EPOCH + Duration::from_secs(1_699_999_990);
        assert_eq!(token.lifetime(now), Duration::from_secs(10));
        assert_eq!(token.lifetime(now + Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(read(r#"{"exp":1.5}"#).unwrap().expires_ms, 1500);
    }

    #[test]
    fn what_is_no_token_is_refused_without_showing_it() {
        assert_eq!(read(r#"{"sub":"x"}"#).unwrap_err(), TokenError::NoEnd);
        assert_eq!(read(r#"{"exp":-1}"#).unwrap_err(), TokenError::NoEnd);
        assert_eq!(read("[1]").unwrap_err(), TokenError::NotJwt);
        for text in ["", "a.b", "a.!.c", "a.b.c.d"] {
            assert_eq!(Token::read(&Secret::new(text)).unwrap_err(), TokenError::NotJwt, "{text}");
        }
    }
}
