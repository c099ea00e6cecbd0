//! `boolean`: one byte, 0 or 1 (`boolrecv`).

use super::{EncodeError, Value, trim};

/// Encodes a boolean: true, false, the numbers 1 and 0, and the words of [`from_text`].
pub(super) fn encode(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let value = match value {
        Value::Bool(value) => value,
        Value::Int(0) | Value::Number("0") => false,
        Value::Int(1) | Value::Number("1") => true,
        Value::Str(text) => from_text(trim(text)).ok_or(EncodeError::WrongType)?,
        Value::Int(_) | Value::Number(_) => return Err(EncodeError::WrongType),
    };
    out.push(u8::from(value));
    Ok(())
}

/// Parses text like `parse_bool_with_len`: any unambiguous prefix, in any case.
fn from_text(text: &str) -> Option<bool> {
    let prefix_of = |word: &str, shortest: usize| {
        text.len() >= shortest && word.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
    };
    if prefix_of("true", 1) || prefix_of("yes", 1) || prefix_of("on", 2) || text == "1" {
        Some(true)
    } else if prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_as_the_type_reads_them() {
        let read = |value| {
            let mut out = Vec::new();
            encode(value, &mut out).map(|()| out[0] == 1)
        };
        for text in ["t", "TRUE", "tru", "y", " YES ", "on", "1"] {
            assert_eq!(read(Value::Str(text)), Ok(true), "{text}");
        }
        for text in ["f", "False", "n", "no", "of", "off", "0"] {
            assert_eq!(read(Value::Str(text)), Ok(false), "{text}");
        }
        for text in ["", "o", "truee", "2", "00", "t r", "é"] {
            assert_eq!(read(Value::Str(text)), Err(EncodeError::WrongType), "{text}");
        }
        assert_eq!(read(Value::Bool(true)), Ok(true));
        assert_eq!(read(Value::Int(1)), Ok(true));
        assert_eq!(read(Value::Int(2)), Err(EncodeError::WrongType));
        assert_eq!(read(Value::Number("1.0")), Err(EncodeError::WrongType));
    }
}
