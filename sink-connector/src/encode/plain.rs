//! Text of dates, times and large integers from counts and bytes, in the form that the encoders read.

use super::calendar::date_from_2000;

const EPOCH_DAYS: i64 = 10_957;
/// No type holds a day further from 1970. Larger values are clamped.
const MAX_DAYS: i64 = 4_000_000_000;

/// The ISO 8601 date of a day since 1970-01-01, and the suffix of the text for its era.
pub(crate) fn iso_date(days: i64) -> (String, &'static str) {
    let (year, month, day) = date_from_2000(days.clamp(-MAX_DAYS, MAX_DAYS) - EPOCH_DAYS);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

/// The time of day `count` units of 10^-`digits` seconds after midnight; `None` if out of range.
pub(crate) fn iso_time(count: i64, digits: usize) -> Option<String> {
    let per_second = 10i64.checked_pow(u32::try_from(digits).ok()?)?;
    let seconds = count.div_euclid(per_second);
    if !(0..=86_400).contains(&seconds) {
        return None;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = count.rem_euclid(per_second);
    Some(format!("{hour:02}:{minute:02}:{second:02}.{fraction:0digits$}"))
}

/// Whether a big-endian integer in two's complement is negative, and its decimal digits. Overwrites the bytes.
pub(crate) fn twos_complement(bytes: &mut [u8]) -> (bool, String) {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    // Words of 32 bits, the highest first, divided by 10^9 until nothing is left.
    let mut words: Vec<u64> = bytes
        .rchunks(4)
        .rev()
        .map(|bytes| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)))
        .collect();
    let mut groups: Vec<u64> = Vec::new();
    let mut first = 0;
    while first < words.len() {
        let mut rest = 0;
        for word in &mut words[first..] {
            let value = rest << 32 | *word;
            (*word, rest) = (value / 1_000_000_000, value % 1_000_000_000);
        }
        groups.push(rest);
        first += words[first..].iter().take_while(|word| **word == 0).count();
    }
    let mut digits = groups.pop().unwrap_or(0).to_string();
    for group in groups.iter().rev() {
        digits.push_str(&format!("{group:09}"));
    }
    (negative, digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_and_counts_become_iso_8601() {
        for (days, expected) in [
            (0, ("1970-01-01", "")),
            (-1, ("1969-12-31", "")),
            (19_859, ("2024-05-16", "")),
            (-719_163, ("0001-12-31", " BC")),
        ] {
            assert_eq!(iso_date(days), (expected.0.to_owned(), expected.1));
        }
        assert_eq!(iso_time(0, 3).as_deref(), Some("00:00:00.000"));
        assert_eq!(iso_time(86_399_999_999, 6).as_deref(), Some("23:59:59.999999"));
        assert_eq!(iso_time(86_400_000, 3).as_deref(), Some("24:00:00.000"));
        assert_eq!(iso_time(-1, 3), None);
        assert_eq!(iso_time(86_401_000, 3), None);
    }

    #[test]
    fn large_integers_are_exact() {
        let mut bytes = [0x7f; 20];
        assert_eq!(twos_complement(&mut bytes).1, "727885129180488904360266563744972327436484050815");
        assert_eq!(twos_complement(&mut [0]), (false, "0".to_owned()));
        assert_eq!(twos_complement(&mut [0xff; 9]), (true, "1".to_owned()));
        assert_eq!(twos_complement(&mut [0x80]), (true, "128".to_owned()));
    }

    proptest! {
        #[test]
        fn integers_come_back(number: i128, pad in 0usize..6) {
            let mut bytes = vec![if number < 0 { 0xff } else { 0 }; pad];
            bytes.extend_from_slice(&number.to_be_bytes());
            let (negative, digits) = twos_complement(&mut bytes);
            let text = if negative { format!("-{digits}") } else { digits };
            prop_assert_eq!(text, number.to_string());
        }
    }
}
