//! ISO 8601 text, in the forms that PostgreSQL's `DecodeDateTime` reads the same way.

use super::EncodeError::{self, OutOfRange, WrongType};
use super::calendar::days_in_month;

pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(super) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A day of the calendar that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    /// Astronomical: 1 BC is 0.
    pub year: i64,
    pub month: u32,
    pub day: u32,
}

/// The parts of a text; each may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DateTimeParts {
    pub date: Option<Date>,
    /// Microseconds since midnight, up to and including 24:00:00.
    pub time: Option<i64>,
    /// Seconds east of UTC.
    pub offset: Option<i64>,
}

/// Reads a date, a time or both, an offset from UTC, and an era: `2024-05-17T19:30:00.123+05:30`, `20240517`,
/// `19:30`, `0044-03-15 BC`. `T` or spaces stand before the time; spaces may stand before offset and era. The era may
/// also stand behind the date.
pub(super) fn parse(text: &str) -> Result<DateTimeParts, EncodeError> {
    let mut rest = Cursor(text.as_bytes());
    let date = date(&mut rest)?;
    rest.skip_spaces();
    let early_era = if date.is_some() { era(&mut rest) } else { None };
    rest.skip_spaces();
    if rest.skip_any(b"Tt") && !rest.at_digit() {
        return Err(WrongType);
    }
    let time = if rest.at_digit() { Some(time(&mut rest)?) } else { None };
    if date.is_none() && time.is_none() {
        return Err(WrongType);
    }
    rest.skip_spaces();
    let offset = offset(&mut rest)?;
    rest.skip_spaces();
    let late_era = era(&mut rest);
    if !rest.0.is_empty() || (early_era.is_some() && late_era.is_some()) {
        return Err(WrongType);
    }
    let before_christ = early_era.or(late_era) == Some(Era::BeforeChrist);
    let date = date.map(|date| date.checked(before_christ)).transpose()?;
    Ok(DateTimeParts { date, time, offset })
}

/// What years are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    BeforeChrist,
    AnnoDomini,
}

fn era(rest: &mut Cursor<'_>) -> Option<Era> {
    if rest.skip_word(b"BC") {
        Some(Era::BeforeChrist)
    } else if rest.skip_word(b"AD") {
        Some(Era::AnnoDomini)
    } else {
        None
    }
}

impl Date {
    /// The date with its era applied, if it exists: there is no year 0.
    fn checked(mut self, before_christ: bool) -> Result<Date, EncodeError> {
        if self.year == 0 {
            return Err(OutOfRange);
        }
        if before_christ {
            self.year = 1 - self.year;
        }
        if self.day == 0 || self.day > days_in_month(self.year, self.month) {
            return Err(OutOfRange);
        }
        Ok(self)
    }
}

/// `YYYY-MM-DD` or `YYYYMMDD`, with more digits for later years; `None` when a time comes first.
fn date(rest: &mut Cursor<'_>) -> Result<Option<Date>, EncodeError> {
    let digits = rest.digits_ahead();
    match (digits, rest.0.get(digits)) {
        (4.., Some(b'-')) => {
            let year = rest.number(4..=7)?;
            rest.0 = &rest.0[1..];
            let month = rest.number(1..=2)?;
            if !rest.skip_any(b"-") {
                return Err(WrongType);
            }
            let day = rest.number(1..=2)?;
            Ok(Some(Date { year: i64::from(year), month, day }))
        }
        (8..=11, _) => {
            let number = rest.split(digits - 4);
            let monthday = rest.number(4..=4)?;
            Ok(Some(Date { year: decimal(number), month: monthday / 100, day: monthday % 100 }))
        }
        _ => Ok(None),
    }
}

/// `HH:MM[:SS[.fraction]]`, `HHMM` or `HHMMSS[.fraction]`, in microseconds.
fn time(rest: &mut Cursor<'_>) -> Result<i64, EncodeError> {
    let digits = rest.digits_ahead();
    let (hour, minute, second) = if rest.0.get(digits) == Some(&b':') {
        let hour = rest.number(1..=2)?;
        rest.0 = &rest.0[1..];
        let minute = rest.number(1..=2)?;
        let second = if rest.skip_any(b":") { Some(rest.number(1..=2)?) } else { None };
        (hour, minute, second)
    } else {
        match digits {
            4 => (rest.number_of(2), rest.number_of(2), None),
            6 => (rest.number_of(2), rest.number_of(2), Some(rest.number_of(2))),
            _ => return Err(WrongType),
        }
    };
    let fraction = if second.is_some() && rest.skip_any(b".") { micros(rest)? } else { 0 };
    let second = second.unwrap_or(0);
    // A second of 60 is a leap second, and runs into the next minute.
    let micros = i64::from(hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + fraction;
    if minute > 59 || second > 60 || micros > MICROS_PER_DAY {
        return Err(OutOfRange);
    }
    Ok(micros)
}

/// The digits after a decimal point in microseconds, rounded as the server's `ParseFraction` does.
fn micros(rest: &mut Cursor<'_>) -> Result<i64, EncodeError> {
    let digits = rest.split(rest.digits_ahead());
    if digits.len() <= 6 {
        return Ok(decimal(digits) * 10i64.pow(6 - u32::try_from(digits.len()).map_err(|_| WrongType)?));
    }
    let fraction: f64 = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| format!("0.{digits}").parse().ok())
        .ok_or(WrongType)?;
    Ok((fraction * 1e6).round_ties_even() as i64)
}

/// `Z`, `UTC`, `GMT`, `±HH`, `±HHMM`, `±HH:MM` or `±HH:MM:SS`, in seconds.
fn offset(rest: &mut Cursor<'_>) -> Result<Option<i64>, EncodeError> {
    if rest.skip_word(b"UTC") || rest.skip_word(b"GMT") || rest.skip_word(b"Z") {
        return Ok(Some(0));
    }
    let sign = match rest.0.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Ok(None),
    };
    rest.0 = &rest.0[1..];
    let (hour, minute, second) = match rest.digits_ahead() {
        digits @ 3..=4 => (rest.number_of(digits - 2), rest.number_of(2), 0),
        _ => {
            let hour = rest.number(1..=2)?;
            let minute = if rest.skip_any(b":") { rest.number(1..=2)? } else { 0 };
            let second = if rest.skip_any(b":") { rest.number(1..=2)? } else { 0 };
            (hour, minute, second)
        }
    };
    if hour > 15 || minute > 59 || second > 59 {
        return Err(OutOfRange);
    }
    Ok(Some(sign * i64::from(hour * 3600 + minute * 60 + second)))
}

/// The rest of a text.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn digits_ahead(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn at_digit(&self) -> bool {
        self.0.first().is_some_and(u8::is_ascii_digit)
    }

    fn skip_spaces(&mut self) {
        while self.skip_any(b" \t") {}
    }

    fn skip_any(&mut self, bytes: &[u8]) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if bytes.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Skips a whole word, in any case.
    fn skip_word(&mut self, word: &[u8]) -> bool {
        let found = self.0.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !self.0.get(word.len()).is_some_and(u8::is_ascii_alphabetic);
        if found {
            self.0 = &self.0[word.len()..];
        }
        found
    }

    fn split(&mut self, length: usize) -> &'a [u8] {
        let (start, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        start
    }

    /// All digits ahead, if their count is allowed.
    fn number(&mut self, lengths: std::ops::RangeInclusive<usize>) -> Result<u32, EncodeError> {
        let digits = self.digits_ahead();
        if lengths.contains(&digits) { Ok(self.number_of(digits)) } else { Err(WrongType) }
    }

    /// The next `digits` bytes, which are digits, at most seven.
    fn number_of(&mut self, digits: usize) -> u32 {
        self.split(digits).iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
    }
}

/// The value of ASCII digits, at most eighteen.
fn decimal(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}
