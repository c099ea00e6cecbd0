use super::*;
use proptest::prelude::*;

/// The text of a binary numeric, as `numeric_out` writes it: written from the format, not from the encoder.
fn decode(bytes: &[u8]) -> String {
    let words: Vec<u16> = bytes.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect();
    let (weight, sign, scale, digits) = (words[1] as i16, words[2], words[3] as usize, &words[4..]);
    match sign {
        0xC000 => return "NaN".into(),
        0xD000 => return "Infinity".into(),
        0xF000 => return "-Infinity".into(),
        _ => {}
    }
    assert_eq!(words[0] as usize, digits.len());
    assert!(digits.iter().all(|digit| *digit < 10_000));
    let digit = |at: i32| {
        usize::try_from(i32::from(weight) - at).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let whole: String = (0..=i32::from(weight).max(0)).rev().map(|at| format!("{:04}", digit(at))).collect();
    let groups = i32::try_from(scale.div_ceil(4)).unwrap();
    let fraction: String = (1..=groups).map(|at| format!("{:04}", digit(-at))).collect();
    assert!(fraction[scale..].bytes().all(|digit| digit == b'0'), "digits below the display scale");
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if scale > 0 { "." } else { "" };
    let sign = if sign == 0x4000 { "-" } else { "" };
    format!("{sign}{whole}{point}{}", &fraction[..scale])
}

fn numeric(text: &str, modifier: Option<(u16, i16)>) -> Result<String, EncodeError> {
    let modifier = modifier.map(|(precision, scale)| Modifier { precision, scale });
    let mut out = b"before".to_vec();
    encode(Value::Str(text), modifier, true, &mut out)?;
    Ok(decode(&out[6..]))
}

#[test]
fn numbers_are_exact_at_any_length() {
    for text in [
        "0",
        "1",
        "-1",
        "10000",
        "9999",
        "0.1",
        "0.0001",
        "0.00001",
        "12345.6789",
        "1.10",
        "100000000",
        "123456789012345678901234567890.123456789012345678901234567890",
        "-0.000000000000000000001",
    ] {
        assert_eq!(numeric(text, None).as_deref(), Ok(text));
    }
    for (text, expected) in [
        ("1e5", "100000"),
        ("1.5e-3", "0.0015"),
        ("-0", "0"),
        ("-0.00", "0.00"),
        ("1.50e1", "15.0"),
        (" 007 ", "7"),
        ("5.", "5"),
        (".5", "0.5"),
        ("+5", "5"),
        ("0e20000", "0"),
        ("12E+2", "1200"),
    ] {
        assert_eq!(numeric(text, None).as_deref(), Ok(expected), "{text}");
    }
    let long = format!("{}.{}", "7".repeat(5_000), "3".repeat(5_000));
    assert_eq!(numeric(&long, None), Ok(long));
    assert_eq!(numeric("1e131071", None).unwrap().len(), 131_072);
}

#[test]
fn a_modifier_rounds_halves_away_from_zero_and_bounds_the_digits() {
    for (text, modifier, expected) in [
        ("-0.005", (5, 2), "-0.01"),
        ("-0.004", (5, 2), "0.00"),
        ("999.994", (5, 2), "999.99"),
        ("12345500", (5, -3), "12346000"),
        ("1e5", (5, -3), "100000"),
        ("500", (5, -3), "1000"),
        ("499", (5, -3), "0"),
        ("0.00099", (2, 5), "0.00099"),
        ("9999.5", (5, 0), "10000"),
        ("0.99995", (5, 4), "1.0000"),
        ("1.005", (3, 2), "1.01"),
        ("5", (5, 2), "5.00"),
        ("NaN", (5, 2), "NaN"),
        ("99999999.5", (9, 0), "100000000"),
        ("0.00004999", (9, 4), "0.0000"),
        ("0.00005", (9, 4), "0.0001"),
        ("1e-20000", (10, 2), "0.00"),
        ("5e3", (2, -4), "10000"),
        ("0.5", (1, 0), "1"),
        ("0.05", (1, 1), "0.1"),
    ] {
        assert_eq!(numeric(text, Some(modifier)).as_deref(), Ok(expected), "{text} {modifier:?}");
    }
    for (text, modifier) in [
        ("999.995", (5, 2)),
        ("1000", (5, 2)),
        ("0.001", (2, 5)),
        ("0.000995", (2, 5)),
        ("Infinity", (5, 2)),
        ("1e200000", (10, 2)),
        ("99999.5", (5, 0)),
    ] {
        assert_eq!(numeric(text, Some(modifier)), Err(EncodeError::OutOfRange), "{text} {modifier:?}");
    }
}

#[test]
fn what_the_format_cannot_hold_is_out_of_range() {
    for text in ["1e131072", "1e-16384", "0e-20000", "1e2147483647", "1e99999999999999999999"] {
        assert_eq!(numeric(text, None), Err(EncodeError::OutOfRange), "{text}");
    }
    assert!(numeric("1e-16383", None).is_ok());
}

#[test]
fn special_values_are_words_and_other_text_is_refused() {
    for (text, expected) in
        [("nan", "NaN"), ("inf", "Infinity"), ("+Infinity", "Infinity"), ("-INF", "-Infinity")]
    {
        assert_eq!(numeric(text, None).as_deref(), Ok(expected), "{text}");
    }
    for text in ["", ".", "-NaN", "infin", "1,5", "0x10", "1_000", "abc"] {
        assert_eq!(numeric(text, None), Err(EncodeError::WrongType), "{text}");
    }
    assert_eq!(encode(Value::Bool(true), None, true, &mut Vec::new()), Err(EncodeError::WrongType));
}

proptest! {
    #[test]
    fn every_numeric_survives(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?") {
        let zero = text.bytes().all(|byte| !matches!(byte, b'1'..=b'9'));
        let expected = if zero { text.trim_start_matches('-') } else { &text };
        prop_assert_eq!(numeric(&text, None), Ok(expected.to_owned()));
    }

    #[test]
    fn rounding_agrees_with_integer_arithmetic(value: i64, written in 0u32..12, scale in 0u32..12) {
        let text = format!("{value}e-{written}");
        let rounded = if scale >= written {
            i128::from(value) * 10i128.pow(scale - written)
        } else {
            let unit = 10i128.pow(written - scale);
            (i128::from(value) + i128::from(value.signum()) * unit / 2) / unit
        };
        let got = numeric(&text, Some((60, i16::try_from(scale).unwrap()))).unwrap();
        prop_assert_eq!(got.replace('.', "").parse::<i128>().unwrap(), rounded);
        prop_assert_eq!(got.split_once('.').map_or(0, |(_, fraction)| fraction.len()), scale as usize);
    }
}

#[test]
fn infinities_are_refused_where_the_server_has_none() {
    for text in ["inf", "-Infinity"] {
        assert!(encode(Value::Str(text), None, true, &mut Vec::new()).is_ok());
        assert_eq!(encode(Value::Str(text), None, false, &mut Vec::new()), Err(EncodeError::OutOfRange));
    }
    assert!(encode(Value::Str("NaN"), None, false, &mut Vec::new()).is_ok());
}
