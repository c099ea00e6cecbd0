//! `real` and `double precision`: big-endian IEEE 754 (`float4recv`, `float8recv`), rounded once, from the text.

use super::{EncodeError, Value, trim};
use std::str::FromStr;

/// A floating-point number of the width of a column.
pub(super) trait Float: FromStr + Copy {
    /// The float nearest to an integer.
    fn nearest(value: i64) -> Self;
    fn is_infinite(self) -> bool;
    fn is_zero(self) -> bool;
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! float {
    ($($type:ty),*) => {$(
        impl Float for $type {
            fn nearest(value: i64) -> Self {
                value as $type
            }
            fn is_infinite(self) -> bool {
                <$type>::is_infinite(self)
            }
            fn is_zero(self) -> bool {
                self == 0.0
            }
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}
float!(f32, f64);

/// Encodes a float. Like `float8in`, it rejects a number that rounds to infinity, or to zero without being zero.
pub(super) fn encode<T: Float>(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match value {
        Value::Int(value) => T::nearest(value).put(out),
        Value::Number(literal) => from_text::<T>(literal)?.put(out),
        Value::Str(text) => from_text::<T>(trim(text))?.put(out),
        Value::Bool(_) => return Err(EncodeError::WrongType),
    }
    Ok(())
}

/// The value of decimal text, of "NaN", "inf" or "infinity", with a sign or none, in any case.
fn from_text<T: Float>(text: &str) -> Result<T, EncodeError> {
    let value: T = text.parse().map_err(|_| EncodeError::WrongType)?;
    if value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(EncodeError::OutOfRange);
    }
    if value.is_zero() && !is_zero_text(text) {
        return Err(EncodeError::OutOfRange);
    }
    Ok(value)
}

/// Whether the digits before the exponent are all zero.
fn is_zero_text(text: &str) -> bool {
    text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).all(|byte| !matches!(byte, b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float8(value: Value<'_>) -> Result<f64, EncodeError> {
        let mut out = Vec::new();
        encode::<f64>(value, &mut out)?;
        Ok(f64::from_be_bytes(out.try_into().unwrap()))
    }

    fn float4(value: Value<'_>) -> Result<f32, EncodeError> {
        let mut out = Vec::new();
        encode::<f32>(value, &mut out)?;
        Ok(f32::from_be_bytes(out.try_into().unwrap()))
    }

    #[test]
    fn what_rounds_to_infinity_or_wrongly_to_zero_is_out_of_range() {
        for text in ["1e400", "-1e400", "1e-400", "1e-324", "1e99999999999"] {
            assert_eq!(float8(Value::Number(text)), Err(EncodeError::OutOfRange), "{text}");
            assert_eq!(float8(Value::Str(text)), Err(EncodeError::OutOfRange), "{text}");
        }
        assert_eq!(float4(Value::Number("3.4028236e38")), Err(EncodeError::OutOfRange));
        assert_eq!(float4(Value::Number("1e-46")), Err(EncodeError::OutOfRange));
        assert_eq!(float4(Value::Number("1e-45")), Ok(1e-45));
        assert_eq!(float8(Value::Number("4.9e-324")), Ok(5e-324));
        assert_eq!(float8(Value::Number("0e-999")), Ok(0.0));
    }

    #[test]
    fn minus_zero_and_the_special_values_are_kept() {
        assert!(float8(Value::Number("-0.0")).is_ok_and(f64::is_sign_negative));
        assert!(float8(Value::Str("NaN")).is_ok_and(f64::is_nan));
        for (text, expected) in [
            ("Infinity", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("+INFINITY", f64::INFINITY),
            (" 1.5 ", 1.5),
            ("5.", 5.0),
            (".5", 0.5),
        ] {
            assert_eq!(float8(Value::Str(text)), Ok(expected), "{text}");
        }
        for text in ["", "abc", ".", "1.5x", "0x10", "infin", "1,5"] {
            assert_eq!(float8(Value::Str(text)), Err(EncodeError::WrongType), "{text}");
        }
        assert_eq!(float8(Value::Bool(true)), Err(EncodeError::WrongType));
    }

    #[test]
    fn a_real_is_rounded_once() {
        // Just above the middle of two floats; through f64 it would be exactly the middle, and round to even.
        let text = "1.00000005960464477540";
        assert_eq!(float4(Value::Number(text)), Ok(1.000_000_1));
        assert_eq!(text.parse::<f64>().unwrap() as f32, 1.0);
    }

    proptest! {
        #[test]
        fn every_float_survives_its_shortest_text(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            prop_assert_eq!(float8(Value::Number(&format!("{value:e}"))).unwrap().to_bits(), value.to_bits());
        }

        #[test]
        fn every_real_survives_its_shortest_text(value in any::<f32>().prop_filter("finite", |v| v.is_finite())) {
            prop_assert_eq!(float4(Value::Number(&format!("{value:e}"))).unwrap().to_bits(), value.to_bits());
        }
    }
}
