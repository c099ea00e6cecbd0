//! `bytea`: the bytes (`bytearecv`), from hexadecimal digits or base64.

use super::{EncodeError, Value};

/// Encodes bytes from `\x` and hexadecimal digits, as PostgreSQL prints them, or from base64 (RFC 4648 §4, with line
/// breaks or without), as Java and Kafka Connect do.
pub(super) fn encode(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let Value::Str(text) = value else { return Err(EncodeError::WrongType) };
    let done = match text.strip_prefix("\\x") {
        Some(digits) => from_hex(digits.as_bytes(), out),
        None => from_base64(text.as_bytes(), out),
    };
    done.ok_or(EncodeError::WrongType)
}

/// Decodes hexadecimal digits with optional white space between the bytes (`hex_decode`).
fn from_hex(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Some(()),
            [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] => rest,
            [high, low, rest @ ..] => {
                out.push(hex(*high)? << 4 | hex(*low)?);
                rest
            }
            [_] => return None,
        };
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Decodes base64 with its required padding at the end.
fn from_base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut group, mut count, mut padding) = (0u32, 0, 0);
    for byte in text {
        let digit = match byte {
            b' ' | b'\n' | b'\t' | b'\r' => continue,
            b'=' if count >= 2 => {
                padding += 1;
                0
            }
            _ if padding > 0 => return None,
            _ => sextet(*byte)?,
        };
        group = group << 6 | u32::from(digit);
        count += 1;
        if count == 4 {
            let bytes = group.to_be_bytes();
            out.extend_from_slice(&bytes[1..4 - padding]);
            if padding == 0 {
                (group, count) = (0, 0);
            }
        } else if count > 4 {
            return None;
        }
    }
    // A group that ends in padding keeps its count.
    (count == 0 || (count == 4 && padding > 0)).then_some(())
}

fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        encode(Value::Str(text), &mut out).ok().map(|()| out)
    }

    #[test]
    fn bytes_are_read_from_hexadecimal_and_from_base64() {
        for (text, expected) in [
            ("", &b""[..]),
            ("\\x", b""),
            ("\\xDEad 00\n01", b"\xde\xad\x00\x01"),
            ("AA==", b"\x00"),
            ("AAE=", b"\x00\x01"),
            ("AAEC", b"\x00\x01\x02"),
            ("aGVs\r\nbG8=", b"hello"),
            ("+/+/", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(bytes(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "\\x0", "\\xg0", "\\x0 0", "A", "AA", "AAE", "AA=", "AA=A", "AA===", "AA==AA==", "====", "hé==",
            "-_-_",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!(encode(Value::Int(1), &mut Vec::new()), Err(EncodeError::WrongType));
    }
}
