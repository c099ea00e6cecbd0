//! JSON values for a column: mostly such as it takes, at its bounds, a little beside, and of other types.

use rand::{Rng, RngExt as _};

use super::columns::{ColumnType, Family};
use super::pools::{
    ACCEPTED_STAMPS, ADDRESSES, BOOLEANS, BYTES, DATES, INPUTS, INTERVALS, JSON, NUMBERS, NUMERIC_TEXT,
    ODD_ADDRESSES, ODD_DATES, ODD_INTERVALS, ODD_STAMPS, ODD_TIMES, OFFSETS, TIMES, UUIDS, WORDS,
};

/// A value for a column, as JSON text.
pub(crate) fn value(random: &mut impl Rng, column: &ColumnType) -> String {
    match random.random_range(0..20) {
        0 => "null".into(),
        1 => ["true", "false"][random.random_range(0..2)].into(),
        2 | 3 => pick(random, NUMBERS).into(),
        4 | 5 => pick(random, JSON).into(),
        6 => quoted(pick(random, WORDS)),
        _ if column.element().is_some() && random.random_range(0..4) != 0 => {
            let element = column.element().expect("an array type");
            array(random, &element)
        }
        _ => typical(random, column.family),
    }
}

fn array(random: &mut impl Rng, element: &ColumnType) -> String {
    let row = |random: &mut _, count: usize| {
        let elements: Vec<String> = (0..count)
            .map(|_| if one_in(random, 8) { "null".into() } else { typical(random, element.family) })
            .collect();
        format!("[{}]", elements.join(", "))
    };
    let (rows, count) = (random.random_range(1..4), random.random_range(0..4));
    if one_in(random, 3) {
        let rows: Vec<String> = (0..rows).map(|_| row(random, count)).collect();
        format!("[{}]", rows.join(","))
    } else {
        row(random, count)
    }
}

/// A value as the family's types have them.
fn typical(random: &mut impl Rng, family: Family) -> String {
    match family {
        Family::Bool => quoted(pick(random, BOOLEANS)),
        Family::Integer | Family::Float | Family::Numeric => number(random),
        Family::Text | Family::Name => match random.random_range(0..6) {
            0 => quoted(&"x".repeat(random.random_range(60..68))),
            1 => pick(random, NUMBERS).into(),
            2 => quoted(&noise(random)),
            _ => quoted(pick(random, WORDS)),
        },
        Family::Uuid => {
            let uuid = pick(random, UUIDS);
            quoted(&if one_in(random, 3) { mutated(random, uuid) } else { uuid.into() })
        }
        Family::Json if one_in(random, 50) => format!("{}{}", "[".repeat(1001), "]".repeat(1001)),
        Family::Json => pick(random, JSON).into(),
        Family::Bytea => match random.random_range(0..3) {
            0 => quoted(&format!("\\x{:x}", random.random_range(0..u64::MAX))),
            _ => quoted(pick(random, BYTES)),
        },
        Family::Date if one_in(random, 20) => quoted(ACCEPTED_STAMPS[0].0),
        Family::Date => {
            quoted(&if one_in(random, 8) { pick(random, ODD_DATES).into() } else { date(random) })
        }
        Family::Time | Family::Timetz => quoted(&if one_in(random, 8) {
            pick(random, ODD_TIMES).into()
        } else {
            format!("{}{}", time(random), pick(random, OFFSETS))
        }),
        Family::Timestamp | Family::Timestamptz => match random.random_range(0..8) {
            0 if one_in(random, 3) => {
                quoted(ACCEPTED_STAMPS[random.random_range(0..ACCEPTED_STAMPS.len())].0)
            }
            0 => quoted(pick(random, ODD_STAMPS)),
            1 => quoted(&date(random)),
            2 => format!("{}", random.random_range(-9_000_000_000_000i64..9_000_000_000_000)),
            3 => format!("{}.{}", random.random_range(0..2_000_000_000_000i64), random.random_range(0..1000)),
            _ => {
                let (date, time, offset) = (date(random), time(random), pick(random, OFFSETS));
                // PostgreSQL reads `BCT…` as a time zone, and drops what follows `infinity`.
                let separator = if date.ends_with(|last: char| last.is_ascii_digit()) {
                    pick(random, &["T", " ", "t", "  "])
                } else {
                    " "
                };
                // A minus after a time without colons: ACCEPTED_STAMPS.
                let offset = if time.contains(':') || !offset.starts_with('-') { offset } else { "" };
                quoted(&format!("{date}{separator}{time}{offset}"))
            }
        },
        Family::Interval => match random.random_range(0..8) {
            0 => quoted(pick(random, ODD_INTERVALS)),
            1..4 => quoted(&interval(random)),
            _ => quoted(pick(random, INTERVALS)),
        },
        Family::Inet | Family::Cidr => match random.random_range(0..8) {
            0 => quoted(pick(random, ODD_ADDRESSES)),
            1 => {
                let address = pick(random, ADDRESSES);
                quoted(&mutated(random, address))
            }
            2 | 3 => {
                let bytes: [u8; 4] = random.random_range(0..u32::MAX).to_be_bytes();
                quoted(&format!("{}.{}.{}.0/{}", bytes[0], bytes[1], bytes[2], random.random_range(0..40)))
            }
            _ => quoted(pick(random, ADDRESSES)),
        },
        Family::Enum => quoted(pick(random, WORDS)),
        Family::Input => quoted(pick(random, INPUTS)),
        Family::Composite => {
            quoted(pick(random, &["(1,a)", "(,)", "(1,\"a b\")", "(x,a)", "(1)", "(1,a,b)", "abc"]))
        }
    }
}

fn number(random: &mut impl Rng) -> String {
    let (whole, fraction) = (random.random_range(-40_000i64..40_000), random.random_range(0..100_000));
    let text = match random.random_range(0..8) {
        0 => return quoted(pick(random, NUMERIC_TEXT)),
        1 => format!("{}", random.random_range(i64::MIN..i64::MAX)),
        2 => format!("{whole}.{fraction:05}"),
        3 => format!("{whole}e{}", random.random_range(-6..6)),
        4 => format!("{whole}"),
        5 => format!(
            "{}e{}",
            f64::from_bits(random.random_range(0..1 << 52)).to_bits(),
            random.random_range(-330..300)
        ),
        _ => pick(random, NUMBERS).into(),
    };
    if one_in(random, 4) { quoted(&text) } else { text }
}

fn date(random: &mut impl Rng) -> String {
    if one_in(random, 2) {
        return pick(random, DATES).into();
    }
    let year =
        [random.random_range(1..3000), random.random_range(1000..300_000)][usize::from(one_in(random, 4))];
    format!("{year:04}-{:02}-{:02}", random.random_range(1..13), random.random_range(1..32))
}

fn time(random: &mut impl Rng) -> String {
    if one_in(random, 2) {
        return pick(random, TIMES).into();
    }
    let clock = format!(
        "{:02}:{:02}:{:02}",
        random.random_range(0..24),
        random.random_range(0..60),
        random.random_range(0..60)
    );
    match random.random_range(0..3) {
        0 => clock,
        1 => format!("{clock}.{}", random.random_range(0..1000)),
        _ => format!("{clock}.{:07}", random.random_range(0..10_000_000)),
    }
}

fn interval(random: &mut impl Rng) -> String {
    let mut n = |most: i32| random.random_range(-most..most);
    match n(2) {
        -2 => format!("P{}Y{}M{}DT{}H{}M{}.{}S", n(300), n(30), n(90), n(90), n(90), n(90), n(999).abs()),
        -1 => format!(
            "{} years {} mons {} days {:02}:{:02}:{:02}",
            n(300),
            n(30),
            n(90),
            n(90).abs(),
            n(60).abs(),
            n(60).abs()
        ),
        0 => {
            format!("{}.{} hours {} mins {}.{} secs", n(90), n(9999).abs(), n(99), n(99), n(9_999_999).abs())
        }
        _ => format!("{}.{} days {} hrs", n(999), n(999).abs(), n(99)),
    }
}

/// Text of any characters but U+0000.
fn noise(random: &mut impl Rng) -> String {
    let count = random.random_range(0..12);
    (0..count).filter_map(|_| char::from_u32(random.random_range(1..0x11_0000))).collect()
}

/// Text with one character changed, left out or doubled.
fn mutated(random: &mut impl Rng, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    if chars.is_empty() {
        return text.into();
    }
    let at = random.random_range(0..chars.len());
    match random.random_range(0..3) {
        0 => chars[at] = pick(random, &["0", "f", "-", ":", "/", "{"]).chars().next().unwrap_or('0'),
        1 => drop(chars.remove(at)),
        _ => chars.insert(at, chars[at]),
    }
    chars.into_iter().collect()
}

fn one_in(random: &mut impl Rng, chance: u32) -> bool {
    random.random_range(0..chance) == 0
}

fn pick<'a>(random: &mut impl Rng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}

/// Text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
