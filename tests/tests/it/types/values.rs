//! JSON values for a column: mostly such as it takes, at its bounds, a little beside, and of other types.

use rand::{Rng, RngExt as _};

use super::columns::{ColumnType, Family};

const WORDS: &[&str] = &[
    "",
    " ",
    "a",
    "abc",
    "abcd ",
    "abcde",
    "abcdef",
    "abcde   ",
    "äöü€\u{1F600}",
    "true",
    "NULL",
    "null",
    "{}",
    "{1,2}",
    "a,b",
    "a\"b",
    "a\\b",
    "\\x",
    "\\N",
    "tab\tnew\nline\r",
    "\\.",
    "never",
    "  padded  ",
    "7",
    "sad",
    "ok",
    "Happy",
    "a \"b\\",
];
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "1.0",
    "1.5",
    "-0.0",
    "1e2",
    "1E-2",
    "100e-2",
    "32767",
    "32768",
    "-32768",
    "-32769",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "-9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "0.1234567890123456789012345678901",
    "99999999.99",
    "99999999.994",
    "99999999.995",
    "49.9",
    "50",
    "9999949",
    "9999950",
    "1e400",
    "-1e400",
    "1e-400",
    "3.4028235e38",
    "3.4028236e38",
    "1e39",
    "1e-45",
    "1e-46",
    "0e999",
    "1715954400123",
    "-1",
    "86399999",
    "20240101",
];
const NUMERIC_TEXT: &[&str] = &[
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "inf",
    "-inf",
    "+inf",
    " 12 ",
    "+5",
    "5.",
    ".5",
    "1_000",
    "0x10",
    "1e5",
    "1e",
    "--1",
    "12abc",
    "١",
    "",
];
const BOOLEANS: &[&str] = &[
    "t", "f", "true", "false", "TRUE", "yes", "no", "y", "n", "on", "off", "o", "of", "tru", "truee", "1",
    "0", "01", " t ",
];
const UUIDS: &[&str] = &[
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}",
    "a0eebc999c0b4ef8bb6d6bb9bd380a11",
    "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
    " a0eebc999c0b4ef8bb6d6bb9bd380a11",
    "g0eebc999c0b4ef8bb6d6bb9bd380a11",
    "a0eebc999c0b4ef8bb6d6bb9bd380a11-",
    "{a0eebc999c0b4ef8bb6d6bb9bd380a11",
];
const BYTES: &[&str] = &[
    "",
    "\\x",
    "\\x00ff",
    "\\xDEAD beef",
    "\\x0",
    "\\xzz",
    "AAEC",
    "AA==",
    "aGVsbG8=",
    "aGVs\nbG8=",
    "AA",
    "A===",
    "hello",
    "\\001",
    "a b",
];
const DATES: &[&str] = &[
    "1969-12-31",
    "2024-02-29",
    "2023-02-29",
    "0001-01-01",
    "0044-03-15 BC",
    "4714-11-24 BC",
    "4714-11-23 BC",
    "10000-01-01",
    "5874897-12-31",
    "5874898-01-01",
    "294276-12-31",
    "294277-01-01",
    "infinity",
    "-infinity",
    "Infinity",
    "20240517",
    "2024-13-01",
    "2024-00-10",
    "0000-01-01",
    "2024-1-2",
    "1999-12-31",
    "2000-01-01",
];
const TIMES: &[&str] = &[
    "00:00:00",
    "24:00:00",
    "24:00:01",
    "23:59:60",
    "12:34:56.789",
    "23:59:59.9999999",
    "12:34",
    "123456",
    "1234",
    "25:00:00",
    "10:60:00",
    "10:00:61",
    "00:00:00.0000005",
    "07:00:60.5",
];
const OFFSETS: &[&str] = &[
    "",
    "",
    "Z",
    "+00",
    "+05:30",
    "-03:30",
    "+0530",
    "-15:59:59",
    "+16",
    " UTC",
    "z",
    "+15:59:59",
    " BC",
    "Z BC",
];
/// What PostgreSQL reads and we do not: the differences list it.
pub const ODD_DATES: &[&str] =
    &["today", "epoch", "Jan 8 1999", "1/8/1999", "2024-W01-1", "J2451187", "2024.05", "99-01-08"];
/// What we read and PostgreSQL does not, and what it means.
pub const ACCEPTED_STAMPS: &[(&str, &str)] = &[
    ("2024-01-01-05:00", "2024-01-01 00:00:00-05:00"),
    ("2024-01-01T101112-05", "2024-01-01 10:11:12-05:00"),
    ("2024-01-01 10:11:12.+02", "2024-01-01 10:11:12+02:00"),
];
pub const ODD_TIMES: &[&str] = &["allballs", "4:05 PM", "10:00 America/New_York", "2024-01-01 10:00"];
pub const ODD_STAMPS: &[&str] = &[
    "now",
    "epoch",
    "2024-01-01T246000",
    "Jan 8 1999 10:00",
    "2024-01-01 4:05 PM",
    "2024-01-01 10:00 America/New_York",
    "1/8/1999",
];
const INTERVALS: &[&str] = &[
    "P1Y2M3DT4H5M6.7S",
    "PT-6H3M",
    "P1W",
    "PT0.0000005S",
    "P-1D",
    "1 year 2 mons -3 days 04:05:06.7",
    "@ 90 minutes ago",
    "1.5 hours",
    "1.5 days",
    "0.25 years",
    "1.7 mons",
    "2.3 weeks",
    "-1 day +2:03:04",
    "1d 2h",
    "1:02:60",
    "00:00:00.9999999",
    "178956970 years 7 mons",
    "178956971 years",
    "2147483647 days",
    "2147483648 days",
    "9223372036854775807 us",
    "1 day 2 days",
    "1 fortnight",
    "P",
    "PT",
    "1 century",
    "2 decades",
    "1 millennium",
    "3 ms 4 us",
    "1.0000005 sec",
    "5 MINUTES",
    "PT1.5M",
    "P0.5Y",
    "P1.25M",
    "-00:00:01",
    "2562047788:00:54.775807",
    "abc",
    "",
    "-1.5 hours ago",
    "1 sec 2 ms",
];
pub const ODD_INTERVALS: &[&str] =
    &["5", "P1", "\\.", "1-2", "1 2:03:04", "P0001-02-03T04:05:06", "12:30.5", "1 qtr", "1 mon ago 2 days"];
const ADDRESSES: &[&str] = &[
    "10.1.2.3",
    "10.1.2.3/8",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "10.1.2.3/33",
    "10.1.2.256",
    "10.1.2.3/08",
    "::1",
    "::",
    "2001:db8::/32",
    "2001:db8::1/64",
    "::ffff:1.2.3.4",
    "1:2:3:4:5:6:7:8/128",
    "::/129",
    "fe80::1%eth0",
    "abc",
    "10.1.2.3/",
    " 10.1.2.3",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
];
const ODD_ADDRESSES: &[&str] = &["10", "10.1", "192.168.1/24", "10.001.002.003"];
const INPUTS: &[&str] = &[
    "[1,5)",
    "[5,1)",
    "empty",
    "{[1,2),[5,6]}",
    "(1,2)",
    "1,2",
    "(1,2),(3,4)",
    "((1,2),(3,4))",
    "0101",
    "01012",
    "1",
    "$1,234.50",
    "-5",
    "<a>b</a>",
    "<a>",
    "a fat cat:3A",
    "a=>1, \"b c\"=>NULL",
    "08:00:2b:01:02:03",
    "16/B374D848",
    "42",
    "4294967295",
    "top.sub",
    "$.a[*] ? (@ > 1)",
    "x",
    "xy",
    "5:30",
    "7 hours",
    "10 hours 30 min 7 sec",
    "with\ttab\\ and \"quotes\"",
];
const JSON: &[&str] = &[
    "{}",
    "[]",
    "{\"a\": 1}",
    "[1, [2, {\"b\": null}]]",
    "{\"a\":1,\"a\":2}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "[1]",
    "[null]",
    "[[1,2],[3,4]]",
    "[[1],[2,3]]",
    "[\"a\"]",
    "[\"a\",\"b\"]",
    "[[]]",
    "[[],[]]",
    "[1.50, -0.0, 1e5]",
    "{\"a\":1,\"b\":\"x\"}",
    "[[[[[[[1]]]]]]]",
    "[1,\"2\",null]",
    "[\"x\", [\"y\"]]",
    "{\"a\":\"z\\u00e9\\\"\"}",
];

/// A value for a column, as JSON text.
pub fn value(random: &mut impl Rng, column: &ColumnType) -> String {
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
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
