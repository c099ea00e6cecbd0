//! A decimal number of any length, parsed exactly from text.

/// A decimal number, borrowed from its text: the digits of `whole` and `fraction` read as one integer, times
/// 10^(`exponent` - length of `fraction`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal<'a> {
    pub negative: bool,
    /// ASCII digits before the point, without leading zeros.
    pub whole: &'a [u8],
    /// ASCII digits after the point.
    pub fraction: &'a [u8],
    /// The written exponent, clamped to ±`EXPONENT_LIMIT`.
    pub exponent: i64,
}

/// Far beyond every type's range, and small enough that sums with lengths cannot overflow.
pub(super) const EXPONENT_LIMIT: i64 = 1 << 40;

/// Why a decimal has no integer value at some scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAnInteger {
    /// Digits other than zero lie below the unit.
    Fraction,
    /// It does not fit 64 bits.
    TooLarge,
}

impl<'a> Decimal<'a> {
    /// Reads `[+-]digits[.digits][e[+-]digits]`, with digits on at least one side of the point, as PostgreSQL's
    /// `set_var_from_str` does; `None` for any other text, surrounding white space included.
    pub(super) fn parse(text: &'a str) -> Option<Decimal<'a>> {
        let bytes = text.as_bytes();
        let (negative, bytes) = match bytes.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, bytes),
        };
        let (whole, rest) = digits(bytes);
        let (fraction, rest) = match rest.split_first() {
            Some((b'.', rest)) => digits(rest),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', rest)) => exponent(rest)?,
            Some(_) => return None,
        };
        let zeros = whole.iter().take_while(|digit| **digit == b'0').count();
        Some(Decimal { negative, whole: &whole[zeros..], fraction, exponent })
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits().all(|digit| digit == 0)
    }

    /// All digits, first to last, each 0 to 9.
    pub(super) fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        self.whole.iter().chain(self.fraction).map(|digit| digit - b'0')
    }

    pub(super) fn len(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    /// The value times 10^`scale`, exactly.
    pub(super) fn to_integer(self, scale: i64) -> Result<i64, NotAnInteger> {
        let split = self.split(scale)?;
        if split.exact { Ok(split.value) } else { Err(NotAnInteger::Fraction) }
    }

    /// The value times 10^`scale`, rounded to the nearest integer, halves away from zero.
    pub(super) fn to_rounded_integer(self, scale: i64) -> Result<i64, NotAnInteger> {
        let split = self.split(scale)?;
        let round = match (split.next >= 5, self.negative) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => -1,
        };
        split.value.checked_add(round).ok_or(NotAnInteger::TooLarge)
    }

    /// The value times 10^`scale`, cut at its point.
    fn split(self, scale: i64) -> Result<Split, NotAnInteger> {
        let mut split = Split { value: 0, next: 0, exact: true };
        if self.is_zero() {
            return Ok(split);
        }
        let keep = self.whole.len() as i64 + self.exponent + scale;
        for (index, digit) in (0i64..).zip(self.digits()) {
            if index < keep {
                split.value = append(split.value, digit, self.negative)?;
            } else {
                split.exact &= digit == 0;
                if index == keep {
                    split.next = digit;
                }
            }
        }
        for _ in self.len() as i64..keep {
            split.value = append(split.value, 0, self.negative)?;
        }
        Ok(split)
    }
}

/// A decimal cut at its point.
struct Split {
    /// The part before the point.
    value: i64,
    /// The first digit after the point.
    next: u8,
    /// Whether nothing but zeros came after the point.
    exact: bool,
}

/// `value` with one more digit, away from zero.
fn append(value: i64, digit: u8, negative: bool) -> Result<i64, NotAnInteger> {
    let digit = if negative { -i64::from(digit) } else { i64::from(digit) };
    value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or(NotAnInteger::TooLarge)
}

/// The leading ASCII digits, and the rest.
fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

/// The exponent after its `e`, clamped.
fn exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, bytes) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, bytes),
    };
    let (digits, rest) = digits(bytes);
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let value =
        digits.iter().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_LIMIT));
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str, scale: i64) -> Result<i64, NotAnInteger> {
        Decimal::parse(text).unwrap().to_integer(scale)
    }

    fn rounded(text: &str, scale: i64) -> Result<i64, NotAnInteger> {
        Decimal::parse(text).unwrap().to_rounded_integer(scale)
    }

    #[test]
    fn integers_are_exact_or_refused() {
        assert_eq!(exact("9223372036854775807", 0), Ok(i64::MAX));
        assert_eq!(exact("-9223372036854775808", 0), Ok(i64::MIN));
        assert_eq!(exact("9223372036854775808", 0), Err(NotAnInteger::TooLarge));
        assert_eq!(exact("1e2", 0), Ok(100));
        assert_eq!(exact("1200e-2", 0), Ok(12));
        assert_eq!(exact("1.50", 0), Err(NotAnInteger::Fraction));
        assert_eq!(exact("1.01", 0), Err(NotAnInteger::Fraction));
        assert_eq!(exact("0.5", 0), Err(NotAnInteger::Fraction));
        assert_eq!(exact("1e-9", 0), Err(NotAnInteger::Fraction));
        assert_eq!(exact("1e99999999999999999999", 0), Err(NotAnInteger::TooLarge));
        assert_eq!(exact("0e99999999999999999999", 0), Ok(0));
        assert_eq!(exact("-0.0", 0), Ok(0));
        assert_eq!(exact("0.000001e6", 0), Ok(1));
    }

    #[test]
    fn a_scale_moves_the_point_and_halves_round_away_from_zero() {
        assert_eq!(exact("1.234", 3), Ok(1234));
        assert_eq!(rounded("1.2345", 3), Ok(1235));
        assert_eq!(rounded("-1.2345", 3), Ok(-1235));
        assert_eq!(rounded("1.23449", 3), Ok(1234));
        assert_eq!(rounded("0.0004", 3), Ok(0));
        assert_eq!(rounded("0.0005", 3), Ok(1));
        assert_eq!(rounded("5e-300", 3), Ok(0));
    }

    #[test]
    fn other_text_is_no_decimal() {
        for text in ["", "-", ".", "e5", "1e", "1e+", "1x", " 1", "1 ", "0x10", "1_000", "--1", "1.2.3"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        for text in ["5.", ".5", "+5", "005", "1E5"] {
            assert!(Decimal::parse(text).is_some(), "{text}");
        }
    }
}
