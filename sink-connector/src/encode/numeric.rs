//! `numeric`: a header of four 16-bit words (digit count, weight, sign, display scale), then digits of base 10,000
//! (`numeric_recv`), exact at any length.

use super::decimal::Decimal;
use super::{EncodeError, Modifier, Value, trim};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// The most digits after the point that the server can store (`NUMERIC_DSCALE_MAX`).
const MAX_DISPLAY_SCALE: i64 = 16_383;
/// The largest weight that the server can store: 131,072 digits before the point.
const MAX_WEIGHT: i64 = 32_767;
/// Limit of exponents in `set_var_from_str` (`INT_MAX / 2`).
const MAX_EXPONENT: i64 = 1_073_741_823;

/// Encodes a numeric, rounded to the scale of `modifier`, halves away from zero. Infinities only where the server
/// has them (`infinite`), and no `modifier` is declared.
pub(super) fn encode(
    value: Value<'_>,
    modifier: Option<Modifier>,
    infinite: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match value {
        Value::Number(literal) => {
            finite(Decimal::parse(literal).ok_or(EncodeError::WrongType)?, modifier, out)
        }
        Value::Int(value) => encode_text(&value.to_string(), modifier, infinite, out),
        Value::Str(text) => encode_text(trim(text), modifier, infinite, out),
        Value::Bool(_) => Err(EncodeError::WrongType),
    }
}

/// Encodes the text that `numeric_in` takes, white space around it already removed.
fn encode_text(
    text: &str,
    modifier: Option<Modifier>,
    infinite: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if let Some(decimal) = Decimal::parse(text) {
        return finite(decimal, modifier, out);
    }
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    let sign = if is(&["nan"]) {
        NAN
    } else if is(&["inf", "infinity", "+inf", "+infinity"]) {
        INFINITY
    } else if is(&["-inf", "-infinity"]) {
        NEGATIVE_INFINITY
    } else {
        return Err(EncodeError::WrongType);
    };
    if sign != NAN && (modifier.is_some() || !infinite) {
        return Err(EncodeError::OutOfRange); // no infinity has a precision
    }
    put(out, [0, 0, sign, 0]);
    Ok(())
}

fn finite(decimal: Decimal<'_>, modifier: Option<Modifier>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if decimal.exponent.abs() >= MAX_EXPONENT {
        return Err(EncodeError::OutOfRange);
    }
    let written_scale = (decimal.fraction.len() as i64 - decimal.exponent).max(0);
    let scale = modifier.map_or(written_scale, |modifier| i64::from(modifier.scale));
    let display_scale =
        u16::try_from(scale.max(0)).ok().filter(|scale| i64::from(*scale) <= MAX_DISPLAY_SCALE);
    let display_scale = display_scale.ok_or(EncodeError::OutOfRange)?;

    let header = out.len();
    put(out, [0, 0, POSITIVE, display_scale]);
    let Some(weight) = put_digits(decimal, scale, out)? else { return Ok(()) };
    let first = i64::from(u16::from_be_bytes([out[header + 8], out[header + 9]]));
    if let Some(modifier) = modifier {
        let digits_before_point = weight * 4 + i64::from(first.ilog10()) + 1;
        if digits_before_point > i64::from(modifier.precision) - i64::from(modifier.scale) {
            return Err(EncodeError::OutOfRange);
        }
    }
    while out.ends_with(&[0, 0]) {
        out.truncate(out.len() - 2);
    }
    let count = u16::try_from((out.len() - header - 8) / 2).map_err(|_| EncodeError::OutOfRange)?;
    let weight = i16::try_from(weight).map_err(|_| EncodeError::OutOfRange)?;
    let sign = if decimal.negative { NEGATIVE } else { POSITIVE };
    out[header..header + 2].copy_from_slice(&count.to_be_bytes());
    out[header + 2..header + 4].copy_from_slice(&weight.to_be_bytes());
    out[header + 4..header + 6].copy_from_slice(&sign.to_be_bytes());
    Ok(())
}

/// Appends the base-10,000 digits of the number rounded to `scale`, the first of them not zero, and returns the
/// weight of the first; `None`, and nothing appended, for zero.
fn put_digits(decimal: Decimal<'_>, scale: i64, out: &mut Vec<u8>) -> Result<Option<i64>, EncodeError> {
    let leading_zeros = decimal.digits().take_while(|digit| *digit == 0).count();
    let significant = decimal.len() - leading_zeros;
    // The number is 0.d1 d2 d3 … × 10^point.
    let point = decimal.whole.len() as i64 + decimal.exponent - leading_zeros as i64;
    let keep = point + scale;
    if significant == 0 || keep < 0 {
        return Ok(None);
    }
    let weight = (point - 1).div_euclid(4);
    if weight > MAX_WEIGHT {
        return Err(EncodeError::OutOfRange);
    }
    if keep == 0 {
        // Only the first digit decides: the number becomes one unit of the scale, or nothing.
        let up = decimal.digits().nth(leading_zeros).is_some_and(|digit| digit >= 5);
        if up {
            put(out, [unit(scale)]);
        }
        return Ok(up.then_some((-scale).div_euclid(4)));
    }
    let start = out.len();
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let mut digits = decimal.digits().skip(leading_zeros);
    // Decimal digits still missing in the group of four at hand.
    let mut room = (point - 1).rem_euclid(4) + 1;
    let mut group: u16 = 0;
    for digit in digits.by_ref().take(keep) {
        group = group * 10 + u16::from(digit);
        room -= 1;
        if room == 0 {
            out.extend_from_slice(&group.to_be_bytes());
            (group, room) = (0, 4);
        }
    }
    let round_up = keep < significant && digits.next().is_some_and(|digit| digit >= 5);
    if room < 4 {
        group *= [1, 10, 100, 1000][room as usize];
        put(out, [group]);
    }
    if round_up && add_with_carry(&mut out[start..], unit(scale)) {
        out.splice(start..start, [0, 1]);
        return Ok(Some(weight + 1));
    }
    Ok(Some(weight))
}

/// 10^-`scale` as part of its digit of base 10,000.
fn unit(scale: i64) -> u16 {
    [1, 10, 100, 1000][(-scale).rem_euclid(4) as usize]
}

/// Adds to the last of the base-10,000 digits; true when a carry is left over in front of the first.
fn add_with_carry(digits: &mut [u8], amount: u16) -> bool {
    let mut carry = amount;
    for digit in digits.chunks_exact_mut(2).rev() {
        let sum = u16::from_be_bytes([digit[0], digit[1]]) + carry;
        digit.copy_from_slice(&(sum % 10_000).to_be_bytes());
        carry = sum / 10_000;
        if carry == 0 {
            return false;
        }
    }
    true
}

fn put<const N: usize>(out: &mut Vec<u8>, words: [u16; N]) {
    for word in words {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
