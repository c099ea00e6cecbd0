//! `date` (days), `time`, `timetz`, `timestamp` and `timestamptz` (microseconds), all counted from 2000-01-01 or
//! midnight (`date_recv`, `time_recv`, `timetz_recv`, `timestamp_recv`, `timestamptz_recv`).

use super::calendar::days_from_2000;
use super::decimal::Decimal;
use super::iso8601::{Date, MICROS_PER_DAY, MICROS_PER_SECOND, parse};
use super::{EncodeError, Value, trim};

const EPOCH_MICROS: i64 = 10_957 * MICROS_PER_DAY;
/// The first and the last day that `date` holds: 4714-11-24 BC and 5874897-12-31.
const DAYS: std::ops::RangeInclusive<i64> = -2_451_545..=2_145_031_948;
/// What `timestamp` and `timestamptz` hold: 4714-11-24 BC to before 294277-01-01 (`MIN_TIMESTAMP`,
/// `END_TIMESTAMP`).
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// Encodes a date; a time after it is dropped, as the type does.
pub(super) fn encode_date(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let text = text(value)?;
    let days = match infinity(text) {
        Some(Infinity::Future) => i32::MAX,
        Some(Infinity::Past) => i32::MIN,
        None => {
            let days = days(parse(text)?.date.ok_or(EncodeError::WrongType)?);
            i32::try_from(days).ok().filter(|_| DAYS.contains(&days)).ok_or(EncodeError::OutOfRange)?
        }
    };
    out.extend_from_slice(&days.to_be_bytes());
    Ok(())
}

/// Encodes a time of day; an offset after it is dropped, as the type does.
pub(super) fn encode_time(
    value: Value<'_>,
    precision: Option<u8>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let parts = parse(text(value)?)?;
    let micros = parts.time.filter(|_| parts.date.is_none()).ok_or(EncodeError::WrongType)?;
    put(round(micros, precision), out)
}

/// Encodes a time of day and its offset, UTC without one. The server counts offsets in seconds west.
pub(super) fn encode_timetz(
    value: Value<'_>,
    precision: Option<u8>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let parts = parse(text(value)?)?;
    let micros = parts.time.filter(|_| parts.date.is_none()).ok_or(EncodeError::WrongType)?;
    let west = i32::try_from(-parts.offset.unwrap_or(0)).map_err(|_| EncodeError::OutOfRange)?;
    put(round(micros, precision), out)?;
    out.extend_from_slice(&west.to_be_bytes());
    Ok(())
}

/// Encodes a timestamp. An offset moves it to UTC when the column is `zoned`, and is dropped otherwise, as the types
/// do. A number is milliseconds since 1970-01-01 UTC.
pub(super) fn encode_timestamp(
    value: Value<'_>,
    precision: Option<u8>,
    zoned: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let micros = match value {
        Value::Int(millis) => millis.checked_mul(1000).map(|micros| micros.checked_sub(EPOCH_MICROS)),
        Value::Number(literal) => {
            let millis = Decimal::parse(literal).ok_or(EncodeError::WrongType)?;
            millis.to_rounded_integer(3).ok().map(|micros| micros.checked_sub(EPOCH_MICROS))
        }
        Value::Str(text) => {
            let text = trim(text);
            match infinity(text) {
                Some(Infinity::Future) => return put(i64::MAX, out),
                Some(Infinity::Past) => return put(i64::MIN, out),
                None => Some(from_text(text, zoned)?),
            }
        }
        Value::Bool(_) => return Err(EncodeError::WrongType),
    };
    let micros =
        micros.flatten().filter(|micros| TIMESTAMPS.contains(micros)).ok_or(EncodeError::OutOfRange)?;
    let micros = round(micros, precision);
    if TIMESTAMPS.contains(&micros) { put(micros, out) } else { Err(EncodeError::OutOfRange) }
}

fn put(micros: i64, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend_from_slice(&micros.to_be_bytes());
    Ok(())
}

/// The timestamp of ISO 8601 text, at midnight without a time; `None` when it is beyond 64 bits.
fn from_text(text: &str, zoned: bool) -> Result<Option<i64>, EncodeError> {
    let parts = parse(text)?;
    let date = parts.date.ok_or(EncodeError::WrongType)?;
    let offset = if zoned { parts.offset.unwrap_or(0) } else { 0 };
    let in_day = parts.time.unwrap_or(0) - offset * MICROS_PER_SECOND;
    Ok(days(date).checked_mul(MICROS_PER_DAY).and_then(|micros| micros.checked_add(in_day)))
}

fn days(date: Date) -> i64 {
    days_from_2000(date.year, date.month, date.day)
}

/// The text of a string; no other JSON value is a date or a time.
fn text(value: Value<'_>) -> Result<&str, EncodeError> {
    match value {
        Value::Str(text) => Ok(trim(text)),
        Value::Bool(_) | Value::Int(_) | Value::Number(_) => Err(EncodeError::WrongType),
    }
}

enum Infinity {
    Future,
    Past,
}

fn infinity(text: &str) -> Option<Infinity> {
    if text.eq_ignore_ascii_case("infinity") {
        Some(Infinity::Future)
    } else if text.eq_ignore_ascii_case("-infinity") {
        Some(Infinity::Past)
    } else {
        None
    }
}

/// Rounds to `precision` digits of a second, halves away from 2000-01-01 (`AdjustTimestampForTypmod`).
fn round(micros: i64, precision: Option<u8>) -> i64 {
    let Some(dropped) = precision.and_then(|digits| 6u32.checked_sub(u32::from(digits))) else {
        return micros;
    };
    let unit = 10i64.pow(dropped);
    let half = if micros >= 0 { unit / 2 } else { -(unit / 2) };
    micros.checked_add(half).map_or(micros, |micros| micros / unit * unit)
}

#[cfg(test)]
mod tests;
