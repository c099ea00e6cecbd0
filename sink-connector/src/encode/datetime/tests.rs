use super::*;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;

fn date(text: &str) -> Result<i32, EncodeError> {
    let mut out = Vec::new();
    encode_date(Value::Str(text), &mut out)?;
    Ok(i32::from_be_bytes(out.try_into().unwrap()))
}

fn time(text: &str, precision: Option<u8>) -> Result<i64, EncodeError> {
    let mut out = Vec::new();
    encode_time(Value::Str(text), precision, &mut out)?;
    Ok(i64::from_be_bytes(out.try_into().unwrap()))
}

fn timestamp(value: Value<'_>, precision: Option<u8>, zoned: bool) -> Result<i64, EncodeError> {
    let mut out = Vec::new();
    encode_timestamp(value, precision, zoned, &mut out)?;
    Ok(i64::from_be_bytes(out.try_into().unwrap()))
}

/// Microseconds from 2000-01-01T00:00Z, by jiff.
fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond() - EPOCH_MICROS
}

#[test]
fn dates_are_days_from_2000() {
    for (text, expected) in [
        ("2000-01-01", 0),
        ("20000102", 1),
        (" 1999-12-31 ", -1),
        ("1999-1-8", -358),
        ("1970-01-01", -10_957),
        ("2024-02-29T23:59:59Z", 8825),
        ("2024-02-29Z", 8825),
        ("2024-02-29 24:00:00+05", 8825),
        ("0001-02-29 BC", -730_426),
        ("4714-11-24 BC", -2_451_545),
        ("5874897-12-31", 2_145_031_948),
        ("120240101", 3_661_191),
        ("infinity", i32::MAX),
        (" -Infinity ", i32::MIN),
    ] {
        assert_eq!(date(text), Ok(expected), "{text}");
    }
    for text in [
        "2023-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "0000-01-01",
        "4714-11-23 BC",
        "5874898-01-01",
        "0002-02-29 BC",
        "2024-01-01T25:00",
        "2024-01-01T10:60",
    ] {
        assert_eq!(date(text), Err(EncodeError::OutOfRange), "{text}");
    }
    for text in [
        "",
        "abc",
        "10:00",
        "2024",
        "2024-01",
        "2024/01/01",
        "24-01-01",
        "Jan 8 1999",
        "today",
        "epoch",
        "+infinity",
        "inf",
        "+2024-01-01",
        "2024-01-01T",
        "2024-W01-1",
        "2024-01-01é",
    ] {
        assert_eq!(date(text), Err(EncodeError::WrongType), "{text}");
    }
    assert_eq!(encode_date(Value::Int(20_240_101), &mut Vec::new()), Err(EncodeError::WrongType));
}

#[test]
fn times_are_microseconds_from_midnight() {
    const SECOND: i64 = MICROS_PER_SECOND;
    for (text, expected) in [
        ("00:00", 0),
        ("10:00:00", 36_000 * SECOND),
        ("T10:00:00", 36_000 * SECOND),
        ("100000", 36_000 * SECOND),
        ("1000", 36_000 * SECOND),
        ("10:00:00+02", 36_000 * SECOND),
        ("1:2:3.5", 3_723_500_000),
        ("10:00:60.5", 36_060 * SECOND + 500_000),
        ("23:59:60", 86_400 * SECOND),
        ("24:00:00", 86_400 * SECOND),
        ("23:59:59.9999999", 86_400 * SECOND),
        ("00:00:00.0000005", 0),
        ("00:00:00.0000015", 2),
        ("00:00:00.12345650000001", 123_457),
    ] {
        assert_eq!(time(text, None), Ok(expected), "{text}");
    }
    assert_eq!(time("23:59:59.9", Some(0)), Ok(86_400 * SECOND));
    assert_eq!(time("00:00:00.1250", Some(2)), Ok(130_000));
    for text in ["25:00:00", "24:00:00.1", "24:00:01", "23:59:60.5", "10:60", "10:00:61", "10:00+16"] {
        assert_eq!(time(text, None), Err(EncodeError::OutOfRange), "{text}");
    }
    for text in [
        "",
        "10",
        "10:",
        "10:00:",
        "4:05 PM",
        "2024-01-01",
        "2024-01-01 10:00",
        "infinity",
        "now",
        "10:00:00,5",
        "10:00 CET",
    ] {
        assert_eq!(time(text, None), Err(EncodeError::WrongType), "{text}");
    }
}

#[test]
fn timestamps_with_an_offset_move_to_utc_and_without_a_zone_ignore_it() {
    let expected = micros("2024-05-17T14:00:00.123Z");
    for text in [
        "2024-05-17T19:30:00.123+05:30",
        "2024-05-17 19:30:00.123 +0530",
        "20240517T193000.123+05:30:00",
        "2024-05-17 19:30:00.123+530",
        "2024-05-17t14:00:00.123z",
        "2024-05-17 14:00:00.123",
        "2024-05-17 14:00:00.123 UTC",
    ] {
        assert_eq!(timestamp(Value::Str(text), None, true), Ok(expected), "{text}");
    }
    let local = Ok(micros("2024-05-17T19:30:00.123Z"));
    assert_eq!(timestamp(Value::Str("2024-05-17T19:30:00.123+05:30"), None, false), local);
    assert_eq!(timestamp(Value::Str("2024-01-01"), None, true), Ok(micros("2024-01-01T00:00:00Z")));
    assert_eq!(timestamp(Value::Str("1969-12-31T23:59:60Z"), None, true), Ok(-EPOCH_MICROS));
    assert_eq!(timestamp(Value::Str("2023-12-31T24:00:00Z"), None, true), Ok(micros("2024-01-01T00:00:00Z")));
    let caesar = timestamp(Value::Str("0044-03-15 12:00 BC"), None, true);
    assert_eq!(timestamp(Value::Str("0044-03-15 BC 12:00Z"), None, true), caesar);
    assert_eq!(timestamp(Value::Str("0044-03-15 BC 12:00 BC"), None, true), Err(EncodeError::WrongType));
    assert_eq!(timestamp(Value::Str("infinity"), Some(0), true), Ok(i64::MAX));
    assert_eq!(timestamp(Value::Str("-INFINITY"), Some(0), false), Ok(i64::MIN));
    assert_eq!(timestamp(Value::Str("10000-01-01T00:00:00Z"), None, true), Ok(252_455_616_000_000_000));
    for text in [
        "10:00",
        "now",
        "epoch",
        "1700000000000",
        "20240101100000",
        "2024-01-01 10:00 UTCBC",
        "2024-01-01T10",
        "2024-01-01 10:00.5",
    ] {
        assert_eq!(timestamp(Value::Str(text), None, true), Err(EncodeError::WrongType), "{text}");
    }
}

#[test]
fn timestamps_keep_to_the_range_of_the_server() {
    let zoned = |text| timestamp(Value::Str(text), None, true);
    assert_eq!(zoned("4714-11-24 00:00:00+00 BC"), Ok(TIMESTAMPS.start));
    assert_eq!(zoned("294276-12-31 23:59:59.999999"), Ok(TIMESTAMPS.end - 1));
    for text in
        ["294277-01-01", "294276-12-31 23:59:59.999999-01", "4714-11-24 00:00:00+01 BC", "9999999-01-01"]
    {
        assert_eq!(zoned(text), Err(EncodeError::OutOfRange), "{text}");
    }
    assert_eq!(timestamp(Value::Str("294276-12-31 23:59:59.9"), Some(0), true), Err(EncodeError::OutOfRange));
    for number in [Value::Int(i64::MAX), Value::Int(9_224_318_016_000_000), Value::Number("1e300")] {
        assert_eq!(timestamp(number, None, true), Err(EncodeError::OutOfRange), "{number:?}");
    }
}

#[test]
fn a_number_is_milliseconds_since_1970() {
    for (number, expected) in [
        (Value::Int(1_715_954_400_123), "2024-05-17T14:00:00.123Z"),
        (Value::Int(-1), "1969-12-31T23:59:59.999Z"),
        (Value::Number("1715954400123.456"), "2024-05-17T14:00:00.123456Z"),
        (Value::Number("1715954400123.4565"), "2024-05-17T14:00:00.123457Z"),
        (Value::Number("1.715954400123e12"), "2024-05-17T14:00:00.123Z"),
    ] {
        for zoned in [true, false] {
            assert_eq!(timestamp(number, None, zoned), Ok(micros(expected)), "{number:?}");
        }
    }
    assert_eq!(timestamp(Value::Bool(true), None, true), Err(EncodeError::WrongType));
}

#[test]
fn a_precision_rounds_halves_away_from_2000() {
    let seconds = |text| timestamp(Value::Str(text), Some(0), false).map(|micros| micros / MICROS_PER_SECOND);
    assert_eq!(seconds("1999-12-31 23:59:59.5"), Ok(-1));
    assert_eq!(seconds("1999-12-31 23:59:58.5"), Ok(-2));
    assert_eq!(seconds("2000-01-01 00:00:00.5"), Ok(1));
    assert_eq!(seconds("2000-01-01 00:00:00.4"), Ok(0));
}

proptest! {
    #[test]
    fn timestamps_agree_with_jiff(micros in -62_135_596_800_000_000i64..253_370_764_800_000_000, minutes in -900i64..900) {
        let at = Timestamp::from_microsecond(micros).unwrap();
        let local = at.checked_add(minutes.minutes()).unwrap().to_string();
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hour, minute) = (minutes.abs() / 60, minutes.abs() % 60);
        let text = format!("{}{sign}{hour:02}:{minute:02}", local.trim_end_matches('Z'));
        prop_assume!(!text.starts_with('-') && !text.starts_with("0000"));
        prop_assert_eq!(timestamp(Value::Str(&text), None, true), Ok(micros - EPOCH_MICROS), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9TZ:+. -]{0,30}|.*") {
        let _ = (date(&text), time(&text, Some(3)), timestamp(Value::Str(&text), None, true));
    }
}
