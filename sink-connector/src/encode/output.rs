//! An encoded field as text that its type's input function reads the same way, for COPY TEXT and for text arrays.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Kind;
use super::calendar::date_from_2000;
use super::iso8601::MICROS_PER_DAY;
use super::kind::Array;

/// The fields come from [`super::encode`], so they have the form of their kind.
const WELL_FORMED: &str = "an encoded field has the form of its kind";
const IN_MEMORY: &str = "writing to a Vec cannot fail";

/// Appends the text of `field`, whose bytes [`super::encode`] made for `kind`, without any quoting.
///
/// The text does not depend on the session's DateStyle, IntervalStyle or time zone.
///
/// # Panics
/// When `field` is not of `kind`.
pub(crate) fn write_text(kind: &Kind, field: &[u8], out: &mut Vec<u8>) {
    match kind {
        Kind::Bool => out.push(if field == [0] { b'f' } else { b't' }),
        Kind::Int2 => put(out, format_args!("{}", i16::from_be_bytes(exact(field)))),
        Kind::Int4 => put(out, format_args!("{}", i32::from_be_bytes(exact(field)))),
        Kind::Int8 => put(out, format_args!("{}", i64::from_be_bytes(exact(field)))),
        // With an exponent, because the largest would have hundreds of digits.
        Kind::Float4 => put(out, format_args!("{:e}", f32::from_be_bytes(exact(field)))),
        Kind::Float8 => put(out, format_args!("{:e}", f64::from_be_bytes(exact(field)))),
        Kind::Numeric { .. } => numeric(field, out),
        Kind::Jsonb => out.extend_from_slice(&field[1..]),
        Kind::Uuid => hex(field, out),
        Kind::Date => match i32::from_be_bytes(exact(field)) {
            i32::MAX => out.extend_from_slice(b"infinity"),
            i32::MIN => out.extend_from_slice(b"-infinity"),
            days => {
                let era = date(i64::from(days), out);
                out.extend_from_slice(era);
            }
        },
        Kind::Time { .. } => time(i64::from_be_bytes(exact(field)).unsigned_abs(), out),
        Kind::Timetz { .. } => {
            let (micros, west) = field.split_first_chunk::<8>().expect(WELL_FORMED);
            time(i64::from_be_bytes(*micros).unsigned_abs(), out);
            let west = i32::from_be_bytes(exact(west));
            out.push(if west > 0 { b'-' } else { b'+' });
            let seconds = west.unsigned_abs();
            put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
        }
        Kind::Timestamp { .. } => timestamp(i64::from_be_bytes(exact(field)), "", out),
        Kind::Timestamptz { .. } => timestamp(i64::from_be_bytes(exact(field)), "+00", out),
        Kind::Interval => interval(field, out),
        Kind::Bytea => {
            out.extend_from_slice(b"\\x");
            hex(field, out);
        }
        Kind::Inet | Kind::Cidr => {
            match &field[4..] {
                v4 @ [_, _, _, _] => put(out, format_args!("{}", Ipv4Addr::from(exact::<4>(v4)))),
                v6 => put(out, format_args!("{}", Ipv6Addr::from(exact::<16>(v6)))),
            }
            put(out, format_args!("/{}", field[1]));
        }
        Kind::Array(of) => array(of, field, out),
        Kind::Text
        | Kind::VarChar { .. }
        | Kind::BpChar { .. }
        | Kind::Name
        | Kind::Json
        | Kind::Enum(_)
        | Kind::Input(_) => out.extend_from_slice(field),
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect(IN_MEMORY);
}

fn exact<const N: usize>(field: &[u8]) -> [u8; N] {
    field.try_into().expect(WELL_FORMED)
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        put(out, format_args!("{byte:02x}"));
    }
}

/// Appends a date, and returns the era to be appended after its time.
fn date(days: i64, out: &mut Vec<u8>) -> &'static [u8] {
    let (year, month, day) = date_from_2000(days);
    let (year, era): (i64, &[u8]) = if year > 0 { (year, b"") } else { (1 - year, b" BC") };
    put(out, format_args!("{year:04}-{month:02}-{day:02}"));
    era
}

fn time(micros: u64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    if fraction != 0 {
        put(out, format_args!(".{fraction:06}"));
    }
}

fn timestamp(micros: i64, offset: &str, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let era = date(micros.div_euclid(MICROS_PER_DAY), out);
            out.push(b' ');
            time(micros.rem_euclid(MICROS_PER_DAY).unsigned_abs(), out);
            out.extend_from_slice(offset.as_bytes());
            out.extend_from_slice(era);
        }
    }
}

/// Every part has a sign, because IntervalStyle changes the meaning of a single leading minus.
fn interval(field: &[u8], out: &mut Vec<u8>) {
    let (micros, rest) = field.split_first_chunk::<8>().expect(WELL_FORMED);
    let (days, months) = rest.split_first_chunk::<4>().expect(WELL_FORMED);
    let (days, months) = (i32::from_be_bytes(*days), i32::from_be_bytes(exact(months)));
    let micros = i64::from_be_bytes(*micros);
    put(out, format_args!("{months:+} mons {days:+} days "));
    out.push(if micros < 0 { b'-' } else { b'+' });
    time(micros.unsigned_abs(), out);
}

/// Header and base-10,000 digits of [`super::numeric`] in decimal.
fn numeric(field: &[u8], out: &mut Vec<u8>) {
    let word = |index: usize| -> [u8; 2] { exact(&field[index * 2..index * 2 + 2]) };
    let weight = i64::from(i16::from_be_bytes(word(1)));
    match u16::from_be_bytes(word(2)) {
        0xC000 => return out.extend_from_slice(b"NaN"),
        0xD000 => return out.extend_from_slice(b"Infinity"),
        0xF000 => return out.extend_from_slice(b"-Infinity"),
        0x4000 => out.push(b'-'),
        _ => {}
    }
    let scale = usize::from(u16::from_be_bytes(word(3)));
    let digits = &field[8..];
    let digit = |position: i64| {
        let at =
            usize::try_from(weight - position).ok().and_then(|index| digits.get(index * 2..index * 2 + 2));
        at.map_or(0, |at| u16::from_be_bytes(exact(at)))
    };
    put(out, format_args!("{}", digit(weight.max(0))));
    for position in (0..weight.max(0)).rev() {
        put(out, format_args!("{:04}", digit(position)));
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        for position in 1.. {
            if out.len() >= end {
                break;
            }
            put(out, format_args!("{:04}", digit(-position)));
        }
        out.truncate(end);
    }
}

/// `{{"a",NULL},{"b","c"}}`, from the form of `array_send`.
fn array(of: &Array, field: &[u8], out: &mut Vec<u8>) {
    let mut rest = field;
    let mut next = || {
        let (word, tail) = rest.split_first_chunk::<4>().expect(WELL_FORMED);
        rest = tail;
        i32::from_be_bytes(*word)
    };
    let (dimensions, _, _) = (next(), next(), next());
    if dimensions == 0 {
        out.extend_from_slice(b"{}");
        return;
    }
    let sizes: Vec<i32> = (0..dimensions).map(|_| (next(), next()).0).collect();
    write_dimension(of, &sizes, &mut rest, out);
}

fn write_dimension(of: &Array, sizes: &[i32], rest: &mut &[u8], out: &mut Vec<u8>) {
    let (size, inner) = sizes.split_first().expect(WELL_FORMED);
    out.push(b'{');
    for index in 0..*size {
        if index > 0 {
            out.push(of.delimiter);
        }
        if inner.is_empty() {
            write_element(of, rest, out);
        } else {
            write_dimension(of, inner, rest, out);
        }
    }
    out.push(b'}');
}

fn write_element(of: &Array, rest: &mut &[u8], out: &mut Vec<u8>) {
    let (length, tail) = rest.split_first_chunk::<4>().expect(WELL_FORMED);
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
        *rest = tail;
        out.extend_from_slice(b"NULL");
        return;
    };
    let (element, tail) = tail.split_at(length);
    *rest = tail;
    let mut text = Vec::with_capacity(length);
    write_text(&of.element, element, &mut text);
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Value, encode};

    fn again(kind: &Kind, text: &str) -> String {
        let (mut field, mut out) = (Vec::new(), Vec::new());
        encode(kind, Value::Str(text), &mut field).unwrap();
        write_text(kind, &field, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn encoded_fields_can_be_written_as_text() {
        let numeric = Kind::Numeric { modifier: None, infinite: true };
        for (kind, text, expected) in [
            (Kind::Bool, "yes", "t"),
            (Kind::Int2, "-7", "-7"),
            (Kind::Float8, "-0", "-0e0"),
            (Kind::Float8, "1.5e300", "1.5e300"),
            (Kind::Float4, "-inf", "-inf"),
            (Kind::Float4, "nan", "NaN"),
            (numeric.clone(), "0", "0"),
            (numeric.clone(), "-0.00", "0.00"),
            (numeric.clone(), "-12345678.90", "-12345678.90"),
            (numeric.clone(), "1e9", "1000000000"),
            (numeric.clone(), "0.000010", "0.000010"),
            (numeric.clone(), "10000.00001", "10000.00001"),
            (numeric.clone(), "-inf", "-Infinity"),
            (numeric, "nan", "NaN"),
            (Kind::Uuid, "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
            (Kind::Date, "0044-03-15 BC", "0044-03-15 BC"),
            (Kind::Date, "10000-02-29", "10000-02-29"),
            (Kind::Date, "-infinity", "-infinity"),
            (Kind::Time { precision: None }, "24:00", "24:00:00"),
            (Kind::Timetz { precision: None }, "01:02:03.5-03:30", "01:02:03.500000-03:30:00"),
            (Kind::Timestamp { precision: None }, "1969-12-31T23:59:59.999999", "1969-12-31 23:59:59.999999"),
            (Kind::Timestamptz { precision: None }, "0001-01-01 00:00+01 BC", "0002-12-31 23:00:00+00 BC"),
            (Kind::Timestamptz { precision: None }, "infinity", "infinity"),
            (Kind::Interval, "P-1Y1DT-1.5S", "-12 mons +1 days -00:00:01.500000"),
            (Kind::Bytea, "AAH/", "\\x0001ff"),
            (Kind::Cidr, "10.0.0.0/8", "10.0.0.0/8"),
            (Kind::Inet, "::1", "::1/128"),
            (Kind::Text, "a\\b", "a\\b"),
        ] {
            assert_eq!(again(&kind, text), expected, "{kind} {text}");
        }
    }
}
