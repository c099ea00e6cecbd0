//! Enumerated types: the label (`enum_recv`), if the catalog has it.

use super::kind::Enum;
use super::{EncodeError, Value, text};

/// Encodes a label of the type.
pub(super) fn encode(value: Value<'_>, of: &Enum, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    text::encode_text(value, out)?;
    let known = std::str::from_utf8(&out[start..]).is_ok_and(|label| of.has(label));
    if known { Ok(()) } else { Err(EncodeError::UnknownLabel) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labels_of_the_type_are_taken() {
        let of = Enum::new("mood".into(), vec!["sad".into(), "7".into(), "Ok".into()]);
        let mut out = b"before".to_vec();
        assert_eq!(encode(Value::Str("sad"), &of, &mut out), Ok(()));
        assert_eq!(encode(Value::Int(7), &of, &mut out), Ok(()));
        assert_eq!(out, b"beforesad7");
        for label in ["ok", " Ok", "", "sad7"] {
            assert_eq!(encode(Value::Str(label), &of, &mut Vec::new()), Err(EncodeError::UnknownLabel));
        }
    }
}
