//! `text`, `character varying`, `character` and `name`: the characters in UTF-8 (`textrecv`, `varcharrecv`,
//! `bpcharrecv`, `namerecv`).

use std::io::Write;

use super::{EncodeError, Value};
use crate::types::IDENTIFIER_MAX_BYTES;

/// Encodes text without a limit; numbers and booleans as they were written.
pub(super) fn encode_text(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match value {
        Value::Str(text) | Value::Number(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(value) => write!(out, "{value}").map_err(|_| EncodeError::TooLong)?,
    }
    Ok(())
}

/// Encodes text of at most `max_chars` characters. As `varchar_input` and `bpchar_input` do, an excess of nothing
/// but spaces is cut off.
pub(super) fn encode_limited(
    value: Value<'_>,
    max_chars: Option<u32>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    encode_text(value, out)?;
    let Some(max_chars) = max_chars.map(|chars| chars as usize) else { return Ok(()) };
    let text = &out[start..];
    if text.len() <= max_chars {
        return Ok(()); // a character is at least a byte
    }
    let mut starts = text.iter().enumerate().filter(|(_, byte)| !is_continuation(**byte)).map(|(at, _)| at);
    let Some(excess) = starts.nth(max_chars) else { return Ok(()) };
    if text[excess..].iter().any(|byte| *byte != b' ') {
        return Err(EncodeError::TooLong);
    }
    out.truncate(start + excess);
    Ok(())
}

pub(super) fn encode_name(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    encode_text(value, out)?;
    if out.len() - start > IDENTIFIER_MAX_BYTES { Err(EncodeError::TooLong) } else { Ok(()) }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(text: &str, max_chars: u32) -> Result<String, EncodeError> {
        let mut out = b"before".to_vec();
        encode_limited(Value::Str(text), Some(max_chars), &mut out)?;
        Ok(String::from_utf8(out.split_off(6)).unwrap())
    }

    #[test]
    fn numbers_and_booleans_become_the_text_they_were_written_as() {
        for (value, expected) in [
            (Value::Int(-5), "-5"),
            (Value::Number("1.10"), "1.10"),
            (Value::Number("123456789012345678901234567890"), "123456789012345678901234567890"),
            (Value::Bool(true), "true"),
            (Value::Str(""), ""),
        ] {
            let mut out = Vec::new();
            encode_text(value, &mut out).unwrap();
            assert_eq!(out, expected.as_bytes());
        }
    }

    #[test]
    fn a_limit_counts_characters_and_forgives_trailing_spaces() {
        assert_eq!(limited("abc", 3), Ok("abc".into()));
        assert_eq!(limited("äöü", 3), Ok("äöü".into()));
        assert_eq!(limited("äöü  ", 3), Ok("äöü".into()));
        assert_eq!(limited("ab ", 3), Ok("ab ".into()));
        assert_eq!(limited("abcd", 3), Err(EncodeError::TooLong));
        assert_eq!(limited("abc d", 3), Err(EncodeError::TooLong));
        assert_eq!(limited("abc\t", 3), Err(EncodeError::TooLong));
        assert_eq!(limited("\u{1F600}", 1), Ok("\u{1F600}".into()));
    }

    #[test]
    fn a_name_has_at_most_63_bytes() {
        assert!(encode_name(Value::Str(&"a".repeat(63)), &mut Vec::new()).is_ok());
        assert_eq!(encode_name(Value::Str(&"a".repeat(64)), &mut Vec::new()), Err(EncodeError::TooLong));
    }
}
