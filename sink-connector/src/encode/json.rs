//! `json` (its text) and `jsonb` (a version byte, then its text: `jsonb_recv`), and the policy for U+0000.

use super::{EncodeError, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The deepest nesting of objects and arrays that is read.
pub(crate) const MAX_DEPTH: usize = 1000;

/// What happens to U+0000, which JSON can escape and PostgreSQL cannot store; `null_bytes` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NullBytes {
    /// The record is rejected.
    #[default]
    Reject,
    /// The character is left out.
    Strip,
    /// The character is replaced by U+FFFD.
    Replace,
}

/// What a string is for a `json` or `jsonb` column; `json_strings` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonStrings {
    /// A JSON string.
    #[default]
    Keep,
    /// JSON text.
    Parse,
}

const REPLACEMENT: &str = "\u{FFFD}";

/// The text without U+0000, according to `policy`.
///
/// # Errors
/// [`EncodeError::NullByte`] under [`NullBytes::Reject`].
pub(crate) fn resolve_nul(text: &str, policy: NullBytes) -> Result<Cow<'_, str>, EncodeError> {
    match policy {
        _ if !text.contains('\0') => Ok(Cow::Borrowed(text)),
        NullBytes::Reject => Err(EncodeError::NullByte),
        NullBytes::Strip => Ok(Cow::Owned(text.replace('\0', ""))),
        NullBytes::Replace => Ok(Cow::Owned(text.replace('\0', REPLACEMENT))),
    }
}

/// Appends the COPY BINARY bytes of raw JSON text, valid by its grammar, for a `json` or `jsonb` column.
///
/// `json` keeps the text as it is. `jsonb` interprets it, so `\u0000` in it goes by `null_bytes`.
///
/// # Errors
/// [`EncodeError::TooDeep`], [`EncodeError::NullByte`], [`EncodeError::LoneSurrogate`];
/// [`EncodeError::WrongType`] for a `kind` that is not JSON.
pub(crate) fn encode_json(
    kind: &Kind,
    raw: &str,
    null_bytes: NullBytes,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    check_depth(raw)?;
    match kind {
        Kind::Json => {
            out.extend_from_slice(raw.as_bytes());
            Ok(())
        }
        Kind::Jsonb => {
            out.push(1);
            put_checked(raw, null_bytes, out)
        }
        _ => Err(EncodeError::WrongType),
    }
}

/// Rejects JSON text, valid by its grammar, that nests deeper than [`MAX_DEPTH`].
///
/// # Errors
/// [`EncodeError::TooDeep`].
pub(crate) fn check_depth(raw: &str) -> Result<(), EncodeError> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in raw.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(EncodeError::TooDeep);
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Appends JSON text whose `\u` escapes are all characters that PostgreSQL can store.
fn put_checked(raw: &str, null_bytes: NullBytes, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let length = match code_unit(escape) {
            None => 2, // an escape of one letter
            Some(0) => {
                match null_bytes {
                    NullBytes::Reject => return Err(EncodeError::NullByte),
                    NullBytes::Strip => {}
                    NullBytes::Replace => out.extend_from_slice(REPLACEMENT.as_bytes()),
                }
                rest = &escape[6..];
                continue;
            }
            Some(0xD800..=0xDBFF) => match escape.get(6..).and_then(code_unit) {
                Some(0xDC00..=0xDFFF) => 12,
                _ => return Err(EncodeError::LoneSurrogate),
            },
            Some(0xDC00..=0xDFFF) => return Err(EncodeError::LoneSurrogate),
            Some(_) => 6,
        };
        let (escape, after) = escape.split_at_checked(length).ok_or(EncodeError::WrongType)?;
        out.extend_from_slice(escape.as_bytes());
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(())
}

/// The UTF-16 code unit of the `\uXXXX` that text begins with.
fn code_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jsonb(raw: &str, null_bytes: NullBytes) -> Result<String, EncodeError> {
        let mut out = Vec::new();
        encode_json(&Kind::Jsonb, raw, null_bytes, &mut out)?;
        assert_eq!(out[0], 1);
        Ok(String::from_utf8(out.split_off(1)).unwrap())
    }

    #[test]
    fn json_keeps_its_text_and_jsonb_gets_a_version() {
        let raw = r#"{"a": [1.10, "\u0000\ud800"],  "a": 2}"#;
        let mut out = Vec::new();
        encode_json(&Kind::Json, raw, NullBytes::Reject, &mut out).unwrap();
        assert_eq!(out, raw.as_bytes());
        assert_eq!(jsonb("[1, 2]", NullBytes::Reject).as_deref(), Ok("[1, 2]"));
    }

    #[test]
    fn nul_in_jsonb_goes_by_the_policy() {
        let raw = r#"{"k\u0000": "a\u0000b\\u0000"}"#;
        assert_eq!(jsonb(raw, NullBytes::Reject), Err(EncodeError::NullByte));
        assert_eq!(jsonb(raw, NullBytes::Strip).as_deref(), Ok(r#"{"k": "ab\\u0000"}"#));
        assert_eq!(jsonb(raw, NullBytes::Replace).as_deref(), Ok("{\"k\u{FFFD}\": \"a\u{FFFD}b\\\\u0000\"}"));
        assert_eq!(jsonb(r#""\\u0000""#, NullBytes::Reject).as_deref(), Ok(r#""\\u0000""#));
    }

    #[test]
    fn surrogates_in_jsonb_come_in_pairs() {
        assert_eq!(jsonb(r#""\ud83d\ude00\n""#, NullBytes::Reject).as_deref(), Ok(r#""\ud83d\ude00\n""#));
        for raw in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx\ude00""#, r#""\ud83d\ud83d""#] {
            assert_eq!(jsonb(raw, NullBytes::Strip), Err(EncodeError::LoneSurrogate), "{raw}");
        }
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check_depth(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(check_depth(&nested(MAX_DEPTH + 1)), Err(EncodeError::TooDeep));
        assert_eq!(check_depth(&format!(r#""\"{}""#, nested(5000))), Ok(()));
    }

    #[test]
    fn nul_in_text_goes_by_the_policy() {
        assert_eq!(resolve_nul("a\0b", NullBytes::Reject), Err(EncodeError::NullByte));
        assert_eq!(resolve_nul("a\0b", NullBytes::Strip).as_deref(), Ok("ab"));
        assert_eq!(resolve_nul("a\0b", NullBytes::Replace).as_deref(), Ok("a\u{FFFD}b"));
        assert_eq!(resolve_nul("ab", NullBytes::Reject).as_deref(), Ok("ab"));
    }
}
