use super::*;

fn read(text: &str) -> Result<(i64, i32, i32), EncodeError> {
    let mut out = Vec::new();
    encode(Value::Str(text), &mut out)?;
    let (micros, rest) = out.split_first_chunk::<8>().unwrap();
    let (days, months) = rest.split_first_chunk::<4>().unwrap();
    Ok((
        i64::from_be_bytes(*micros),
        i32::from_be_bytes(*days),
        i32::from_be_bytes(months.try_into().unwrap()),
    ))
}

#[test]
fn durations_are_read_in_both_forms() {
    const HOUR: i64 = 3_600_000_000;
    for (text, expected) in [
        ("P1Y2M3DT4H5M6.7S", (4 * HOUR + 306_700_000, 3, 14)),
        ("1 year 2 mons 3 days 04:05:06.7", (4 * HOUR + 306_700_000, 3, 14)),
        ("P-1Y2M", (0, 0, -10)),
        ("PT-6H3M", (-6 * HOUR + 180_000_000, 0, 0)),
        ("P1W", (0, 7, 0)),
        ("PT0.000001S", (1, 0, 0)),
        ("PT0S", (0, 0, 0)),
        ("PT36H", (36 * HOUR, 0, 0)),
        ("P1.5D", (12 * HOUR, 1, 0)),
        ("@ 90 minutes ago", (-HOUR - HOUR / 2, 0, 0)),
        ("-1 day +2:03:04", (2 * HOUR + 184_000_000, -1, 0)),
        ("1d2h", (2 * HOUR, 1, 0)),
        ("1.5 h", (HOUR + HOUR / 2, 0, 0)),
        ("1.5 years", (0, 0, 18)),
        ("0.5 month", (0, 15, 0)),
        ("-.5 seconds", (-500_000, 0, 0)),
        ("1 second 500 ms", (1_500_000, 0, 0)),
        ("1.5 hours 1 ms", (HOUR + HOUR / 2 + 1_000, 0, 0)),
        ("9223372036854775807 us", (i64::MAX, 0, 0)),
        ("1 millennium", (0, 0, 12_000)),
        ("100:00:00", (100 * HOUR, 0, 0)),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
    for text in [
        "",
        "P",
        "P1",
        "1",
        "1-2",
        "P1H",
        "1 day 2 days",
        "1.5 seconds 500 ms",
        "1 fortnight",
        "ago",
        "1:2:3 1 hour",
        "P1e3D",
        "5 1:00",
        "-P1D",
        "P0001-02-03",
        "PD",
    ] {
        assert_eq!(read(text), Err(WrongType), "{text}");
    }
    for text in ["9223372036854775808 us", "2147483648 days", "1:60", "200000000 years", "P1000000000000000D"]
    {
        assert_eq!(read(text), Err(OutOfRange), "{text}");
    }
    assert_eq!(encode(Value::Int(5), &mut Vec::new()), Err(WrongType));
}
