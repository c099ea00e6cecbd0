//! `smallint`, `integer` and `bigint`: big-endian two's complement (`int2recv`, `int4recv`, `int8recv`).

use super::decimal::{Decimal, NotAnInteger};
use super::{EncodeError, Value, trim};

/// An integer of the width of a column.
pub(super) trait Integer: TryFrom<i64> {
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Integer for $type {
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}
integer!(i16, i32, i64);

/// Encodes an integer; a number with a fraction part that is not zero is of the wrong type.
pub(super) fn encode<T: Integer>(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let value = match value {
        Value::Int(value) => value,
        Value::Number(literal) => from_number(literal)?,
        Value::Str(text) => from_text(text)?,
        Value::Bool(_) => return Err(EncodeError::WrongType),
    };
    T::try_from(value).map_err(|_| EncodeError::OutOfRange)?.put(out);
    Ok(())
}

fn from_number(literal: &str) -> Result<i64, EncodeError> {
    let decimal = Decimal::parse(literal).ok_or(EncodeError::WrongType)?;
    decimal.to_integer(0).map_err(|error| match error {
        NotAnInteger::Fraction => EncodeError::WrongType,
        NotAnInteger::TooLarge => EncodeError::OutOfRange,
    })
}

/// The value of text as `pg_strtoint64` of PostgreSQL 15 reads it: white space, a sign, digits, white space.
fn from_text(text: &str) -> Result<i64, EncodeError> {
    let text = trim(text);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EncodeError::WrongType);
    }
    text.parse().map_err(|_| EncodeError::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn int4(value: Value<'_>) -> Result<i32, EncodeError> {
        let mut out = Vec::new();
        encode::<i32>(value, &mut out)?;
        Ok(i32::from_be_bytes(out.try_into().unwrap()))
    }

    #[test]
    fn integers_beyond_the_width_are_out_of_range() {
        assert_eq!(int4(Value::Int(2_147_483_647)), Ok(i32::MAX));
        assert_eq!(int4(Value::Int(2_147_483_648)), Err(EncodeError::OutOfRange));
        assert_eq!(int4(Value::Number("18446744073709551615")), Err(EncodeError::OutOfRange));
        assert_eq!(int4(Value::Str("99999999999999999999")), Err(EncodeError::OutOfRange));
        assert_eq!(encode::<i16>(Value::Int(32_768), &mut Vec::new()), Err(EncodeError::OutOfRange));
    }

    #[test]
    fn numbers_without_a_fraction_are_integers_however_written() {
        assert_eq!(int4(Value::Number("1.0")), Ok(1));
        assert_eq!(int4(Value::Number("1e2")), Ok(100));
        assert_eq!(int4(Value::Number("-0")), Ok(0));
        assert_eq!(int4(Value::Number("1.5")), Err(EncodeError::WrongType));
        let mut out = Vec::new();
        encode::<i64>(Value::Number("9007199254740993.0"), &mut out).unwrap();
        assert_eq!(out, 9_007_199_254_740_993_i64.to_be_bytes());
    }

    #[test]
    fn text_is_read_as_the_type_reads_it() {
        for (text, expected) in [("12", 12), (" 12\t", 12), ("+5", 5), ("-0", 0), ("007", 7)] {
            assert_eq!(int4(Value::Str(text)), Ok(expected), "{text}");
        }
        for text in ["", " ", "abc", "1.0", "1e2", "+ 5", "1 2", "0x10", "1_000", "--1", "٣"] {
            assert_eq!(int4(Value::Str(text)), Err(EncodeError::WrongType), "{text}");
        }
        assert_eq!(int4(Value::Bool(true)), Err(EncodeError::WrongType));
    }

    proptest! {
        #[test]
        fn every_integer_survives(value: i64) {
            let text = value.to_string();
            for value in [Value::Int(value), Value::Number(&text), Value::Str(&text)] {
                let mut out = Vec::new();
                encode::<i64>(value, &mut out).unwrap();
                prop_assert_eq!(out, text.parse::<i64>().unwrap().to_be_bytes());
            }
        }
    }
}
