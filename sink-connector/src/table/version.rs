//! Compares encoded versions in the server's order, for types whose encoding preserves it.

use std::cmp::Ordering;

use crate::encode::{Kind, oid};
use crate::table::catalog::Column;

/// How the encoded values of a column are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// A signed integer in network order: integers, dates and times.
    Signed,
    /// `real`: NaN is the greatest, and zero has no sign.
    Float4,
    Float8,
    Numeric,
    /// Byte by byte: uuid, boolean, text in the collation "C".
    Bytes,
}

impl Order {
    /// The order of a column's values; `None` if only the server knows it.
    pub fn of(kind: &Kind, column: &Column) -> Option<Self> {
        Some(match kind {
            Kind::Int2
            | Kind::Int4
            | Kind::Int8
            | Kind::Date
            | Kind::Time { .. }
            | Kind::Timestamp { .. }
            | Kind::Timestamptz { .. } => Self::Signed,
            Kind::Float4 => Self::Float4,
            Kind::Float8 => Self::Float8,
            Kind::Numeric { .. } => Self::Numeric,
            Kind::Bool | Kind::Uuid => Self::Bytes,
            // citext has this kind too, but a different order.
            Kind::Text | Kind::VarChar { .. }
                if column.bytewise && matches!(column.type_oid, oid::TEXT | oid::VARCHAR) =>
            {
                Self::Bytes
            }
            _ => return None,
        })
    }

    pub fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Self::Bytes => a.cmp(b),
            // Without the sign bit, two's complement compares like unsigned bytes.
            Self::Signed => signed(a).cmp(&signed(b)).then_with(|| a.cmp(b)),
            Self::Float4 => {
                let value = |bytes: &[u8]| bytes.try_into().map_or(f32::NAN, f32::from_be_bytes);
                float(f64::from(value(a)), f64::from(value(b)))
            }
            Self::Float8 => {
                let value = |bytes: &[u8]| bytes.try_into().map_or(f64::NAN, f64::from_be_bytes);
                float(value(a), value(b))
            }
            Self::Numeric => numeric(a, b),
        }
    }
}

/// 0 for negative numbers, 1 for others.
fn signed(bytes: &[u8]) -> u8 {
    u8::from(bytes.first().is_some_and(|first| first & 0x80 == 0))
}

fn float(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The format is that of `numeric_send`: number of digits, weight of the first, sign, scale; digits of base 10,000.
fn numeric(a: &[u8], b: &[u8]) -> Ordering {
    let (rank_a, rank_b) = (rank(a), rank(b));
    match (rank_a.cmp(&rank_b), rank_a) {
        (Ordering::Equal, POSITIVE) => magnitude(a, b),
        (Ordering::Equal, NEGATIVE) => magnitude(b, a),
        (order, _) => order,
    }
}

const NEGATIVE: u8 = 1;
const POSITIVE: u8 = 3;

fn word(bytes: &[u8], n: usize) -> u16 {
    bytes.get(n * 2..n * 2 + 2).map_or(0, |word| u16::from_be_bytes([word[0], word[1]]))
}

/// The order of −infinity, negative numbers, zero, positive numbers, infinity, NaN.
fn rank(value: &[u8]) -> u8 {
    match word(value, 2) {
        0xf000 => 0,
        0xd000 => 4,
        0xc000 => 5,
        _ if digits(value).1.is_empty() => 2,
        0x4000 => NEGATIVE,
        _ => POSITIVE,
    }
}

fn magnitude(a: &[u8], b: &[u8]) -> Ordering {
    let ((weight_a, a), (weight_b, b)) = (digits(a), digits(b));
    weight_a.cmp(&weight_b).then_with(|| a.cmp(&b))
}

/// The weight of the first digit that is not zero, and the digits from it to the last that is not zero.
fn digits(value: &[u8]) -> (i32, Vec<u16>) {
    let all: Vec<u16> = (0..usize::from(word(value, 0))).map(|n| word(value, 4 + n)).collect();
    let zeros = all.iter().take_while(|digit| **digit == 0).count();
    let end = all.iter().rposition(|digit| *digit != 0).map_or(zeros, |last| last + 1);
    let weight = i32::from(i16::from_be_bytes(word(value, 1).to_be_bytes()));
    let shift = i32::try_from(zeros).expect("a numeric has at most 65,535 digits");
    (weight - shift, all[zeros..end].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Value, encode};

    fn encoded(kind: &Kind, value: Value<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(kind, value, &mut bytes).unwrap();
        bytes
    }

    /// Every value is less than the next.
    fn ascending(order: Order, kind: &Kind, values: &[&str]) {
        let bytes: Vec<_> = values.iter().map(|value| encoded(kind, Value::Str(value))).collect();
        for (i, a) in bytes.iter().enumerate() {
            for (j, b) in bytes.iter().enumerate() {
                assert_eq!(order.compare(a, b), i.cmp(&j), "{} against {}", values[i], values[j]);
            }
        }
    }

    #[test]
    fn the_order_is_the_servers() {
        ascending(Order::Signed, &Kind::Int8, &["-9223372036854775808", "-1", "0", "1", "256"]);
        ascending(
            Order::Signed,
            &Kind::Timestamptz { precision: None },
            &["1969-12-31", "2000-01-01", "2024-01-01"],
        );
        ascending(Order::Float8, &Kind::Float8, &["-Infinity", "-1.5", "0", "1e-9", "2", "Infinity", "NaN"]);
        ascending(
            Order::Numeric,
            &Kind::of(crate::encode::oid::NUMERIC, -1).unwrap(),
            &[
                "-10000.5", "-10000", "-9999.99", "-0.00001", "0", "0.0001", "0.001", "1", "1.00001", "9999",
                "10000", "NaN",
            ],
        );
    }

    #[test]
    fn equal_values_are_equal_however_they_are_written() {
        let numeric = Kind::of(crate::encode::oid::NUMERIC, -1).unwrap();
        let equal = |order: Order, kind: &Kind, a, b| {
            order.compare(&encoded(kind, Value::Number(a)), &encoded(kind, Value::Number(b))).is_eq()
        };
        assert!(equal(Order::Numeric, &numeric, "1.0", "1.000"));
        assert!(equal(Order::Numeric, &numeric, "0", "0.00"));
        assert!(equal(Order::Float8, &Kind::Float8, "0.0", "-0.0"));
    }
}
