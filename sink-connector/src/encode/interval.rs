//! `interval`: microseconds, days, months (`interval_recv`), from ISO 8601 durations and from PostgreSQL's own form.
//!
//! Fractions carry into smaller units as in `DecodeInterval` and `DecodeISO8601Interval` of PostgreSQL 15.

use super::iso8601::MICROS_PER_SECOND;
use super::{EncodeError, Value, trim};
use EncodeError::{OutOfRange, WrongType};

/// The parts that PostgreSQL stores separately, because days and months have no fixed length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Span {
    micros: i128,
    days: i128,
    months: i128,
}

/// What a number is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
}

const DAYS_PER_MONTH: i64 = 30;
const MONTHS_PER_YEAR: i64 = 12;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Limit of `ParseISO8601Number`.
const ISO_LIMIT: f64 = 1e15;

/// Encodes a duration: `P1Y2M3DT4H5M6.7S`, `1 year 2 mons -3 days 04:05:06.7`, `@ 90 minutes ago`.
pub(super) fn encode(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let Value::Str(text) = value else { return Err(WrongType) };
    let text = trim(text);
    let span = match text.strip_prefix('P') {
        Some(duration) => iso8601(duration)?,
        None => units(text)?,
    };
    out.extend_from_slice(&i64::try_from(span.micros).map_err(|_| OutOfRange)?.to_be_bytes());
    out.extend_from_slice(&i32::try_from(span.days).map_err(|_| OutOfRange)?.to_be_bytes());
    out.extend_from_slice(&i32::try_from(span.months).map_err(|_| OutOfRange)?.to_be_bytes());
    Ok(())
}

impl Span {
    fn add(&mut self, unit: Unit, whole: i64, fraction: f64) {
        let wide = i128::from(whole);
        match unit {
            Unit::Millennium => self.add_years(wide, fraction, 1000),
            Unit::Century => self.add_years(wide, fraction, 100),
            Unit::Decade => self.add_years(wide, fraction, 10),
            Unit::Year => self.add_years(wide, fraction, 1),
            Unit::Month => {
                self.months += wide;
                self.add_part_of_days(fraction, DAYS_PER_MONTH);
            }
            Unit::Week => {
                self.days += wide * 7;
                self.add_part_of_days(fraction, 7);
            }
            Unit::Day => {
                self.days += wide;
                self.add_micros(0, fraction, MICROS_PER_DAY);
            }
            Unit::Hour => self.add_micros(wide, fraction, 3600 * MICROS_PER_SECOND),
            Unit::Minute => self.add_micros(wide, fraction, 60 * MICROS_PER_SECOND),
            Unit::Second => self.add_micros(wide, fraction, MICROS_PER_SECOND),
            Unit::Millisecond => self.add_micros(wide, fraction, 1000),
            Unit::Microsecond => self.add_micros(wide, fraction, 1),
        }
    }

    /// `AdjustYears`, `AdjustFractYears`: part of a year is a whole number of months.
    fn add_years(&mut self, whole: i128, fraction: f64, scale: i64) {
        let months = scale * MONTHS_PER_YEAR;
        self.months += whole * i128::from(months) + (fraction * months as f64).round_ties_even() as i128;
    }

    /// `AdjustFractDays`: part of `scale` days.
    fn add_part_of_days(&mut self, fraction: f64, scale: i64) {
        let days = fraction * scale as f64;
        self.days += days.trunc() as i128;
        self.add_micros(0, days.fract(), MICROS_PER_DAY);
    }

    /// `AdjustMicroseconds`, `AdjustFractMicroseconds`: rounded, halves towards zero.
    fn add_micros(&mut self, whole: i128, fraction: f64, scale: i64) {
        let micros = fraction * scale as f64;
        let rest = micros.fract();
        let rounded = if rest > 0.5 {
            1
        } else if rest < -0.5 {
            -1
        } else {
            0
        };
        self.micros += whole * i128::from(scale) + micros.trunc() as i128 + rounded;
    }

    fn reversed(self) -> Span {
        Span { micros: -self.micros, days: -self.days, months: -self.months }
    }
}

/// What follows the `P` of an ISO 8601 duration; each number may have a sign and a fraction.
fn iso8601(text: &str) -> Result<Span, EncodeError> {
    if text.is_empty() {
        return Err(WrongType);
    }
    let (mut span, mut rest, mut in_time) = (Span::default(), text, false);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            (rest, in_time) = (time, true);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '.')).ok_or(WrongType)?;
        let (number, tail) = rest.split_at(end);
        if !number.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(WrongType);
        }
        let value: f64 = number.parse().map_err(|_| WrongType)?;
        let mut tail = tail.chars();
        let unit = match (in_time, tail.next()) {
            (false, Some('Y')) => Unit::Year,
            (false, Some('M')) => Unit::Month,
            (false, Some('W')) => Unit::Week,
            (false, Some('D')) => Unit::Day,
            (true, Some('H')) => Unit::Hour,
            (true, Some('M')) => Unit::Minute,
            (true, Some('S')) => Unit::Second,
            _ => return Err(WrongType),
        };
        if value.abs() > ISO_LIMIT {
            return Err(OutOfRange);
        }
        span.add(unit, value.trunc() as i64, value.fract());
        rest = tail.as_str();
    }
    Ok(span)
}

/// Numbers with their units, each unit once, and a time of day's form for hours, minutes and seconds.
fn units(text: &str) -> Result<Span, EncodeError> {
    let text = text.strip_prefix('@').unwrap_or(text);
    let (mut span, mut seen, mut rest) = (Span::default(), 0u32, trim_start(text));
    if rest.is_empty() {
        return Err(WrongType);
    }
    let mut first = true;
    while !rest.is_empty() {
        if !first && rest.eq_ignore_ascii_case("ago") {
            return Ok(span.reversed());
        }
        first = false;
        let negative = rest.starts_with('-');
        rest = trim_start(rest.strip_prefix(['-', '+']).unwrap_or(rest));
        let (number, tail) = split(rest, |c| c.is_ascii_digit());
        let mask = if let (false, Some(tail)) = (number.is_empty(), tail.strip_prefix(':')) {
            let (micros, tail) = clock(number, tail)?;
            span.micros += if negative { -micros } else { micros };
            rest = tail;
            Unit::clock_mask()
        } else {
            let (fraction, tail) = match tail.strip_prefix('.') {
                Some(tail) => split(tail, |c| c.is_ascii_digit()),
                None => ("", tail),
            };
            if number.is_empty() && fraction.is_empty() {
                return Err(WrongType);
            }
            let (word, tail) = split(trim_start(tail), |c| c.is_ascii_alphabetic());
            let unit = Unit::named(word).ok_or(WrongType)?;
            let sign = if negative { "-" } else { "" };
            let whole = if number.is_empty() { "0" } else { number };
            let whole: i64 = format!("{sign}{whole}").parse().map_err(|_| OutOfRange)?;
            let fraction: f64 = format!("{sign}0.{fraction}").parse().map_err(|_| WrongType)?;
            span.add(unit, whole, fraction);
            rest = tail;
            unit.mask(fraction != 0.0)
        };
        if seen & mask != 0 {
            return Err(WrongType);
        }
        seen |= mask;
        rest = trim_start(rest);
    }
    Ok(span)
}

/// `hours:MM[:SS[.fraction]]`, of which `hours` and its colon have been read, in microseconds; and what follows.
fn clock<'a>(hours: &str, rest: &'a str) -> Result<(i128, &'a str), EncodeError> {
    let part = |text: &'a str, most: i128| {
        let (digits, rest) = split(text, |c| c.is_ascii_digit());
        if !(1..=2).contains(&digits.len()) {
            return Err(WrongType);
        }
        let value: i128 = digits.parse().map_err(|_| WrongType)?;
        if value <= most { Ok((value, rest)) } else { Err(OutOfRange) }
    };
    let hours: i64 = hours.parse().map_err(|_| OutOfRange)?;
    let (minutes, mut rest) = part(rest, 59)?;
    let (mut seconds, mut micros) = (0, 0);
    if let Some(tail) = rest.strip_prefix(':') {
        (seconds, rest) = part(tail, 60)?; // a leap second
        if let Some(tail) = rest.strip_prefix('.') {
            let (fraction, tail) = split(tail, |c| c.is_ascii_digit());
            let value: f64 = format!("0.{fraction}").parse().map_err(|_| WrongType)?;
            micros = (value * 1e6).round_ties_even() as i128;
            rest = tail;
        }
    }
    let whole = (i128::from(hours) * 60 + minutes) * 60 + seconds;
    Ok((whole * i128::from(MICROS_PER_SECOND) + micros, rest))
}

impl Unit {
    /// The unit of a word of PostgreSQL's `deltatktbl`.
    fn named(word: &str) -> Option<Unit> {
        Some(match word.to_ascii_lowercase().as_str() {
            "millennia" | "millennium" | "mil" | "mils" => Unit::Millennium,
            "century" | "centuries" | "cent" | "c" => Unit::Century,
            "decade" | "decades" | "dec" | "decs" => Unit::Decade,
            "year" | "years" | "yr" | "yrs" | "y" => Unit::Year,
            "month" | "months" | "mon" | "mons" => Unit::Month,
            "week" | "weeks" | "w" => Unit::Week,
            "day" | "days" | "d" => Unit::Day,
            "hour" | "hours" | "hr" | "hrs" | "h" => Unit::Hour,
            "minute" | "minutes" | "min" | "mins" | "m" => Unit::Minute,
            "second" | "seconds" | "sec" | "secs" | "s" => Unit::Second,
            "millisecond" | "milliseconds" | "msec" | "msecs" | "ms" => Unit::Millisecond,
            "microsecond" | "microseconds" | "usec" | "usecs" | "us" => Unit::Microsecond,
            _ => return None,
        })
    }

    /// Which fields a number in this unit fills; no field is filled twice. Days and weeks are two, as are years and
    /// centuries.
    fn mask(self, has_fraction: bool) -> u32 {
        if self == Unit::Second && has_fraction {
            Unit::Second.bit() | Unit::Millisecond.bit() | Unit::Microsecond.bit()
        } else {
            self.bit()
        }
    }

    fn clock_mask() -> u32 {
        Unit::Hour.bit() | Unit::Minute.bit() | Unit::Second.mask(true)
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

/// The leading characters that are `of` a class, and the rest.
fn split(text: &str, of: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !of(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
