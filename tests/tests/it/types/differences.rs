//! Values that the sink deliberately treats differently from PostgreSQL: the rows of the table in docs/types.md.

use serde_json::Value;

use super::columns::{ColumnType, Family};
use super::pools::{ACCEPTED_STAMPS, ODD_DATES, ODD_INTERVALS, ODD_STAMPS, ODD_TIMES};
use super::values::quoted;

/// One deliberate difference.
pub(crate) struct Difference {
    /// The first cell of its row: the types.
    pub(crate) types: &'static str,
    /// The second: the value.
    pub(crate) value: &'static str,
    /// Whether a value, JSON text, for a column that is no array is meant.
    pub(crate) covers: fn(&ColumnType, &str) -> bool,
    /// What the sink makes of it.
    pub(crate) here: Here,
}

/// What the sink makes of a value.
#[derive(Clone, Copy)]
pub(crate) enum Here {
    /// A rejected record.
    Refused,
    /// What PostgreSQL makes of this JSON text instead.
    Like(fn(&str) -> String),
    /// What PostgreSQL makes of the JSON text that an SQL expression over `$1`, the value's JSON text, gives; where
    /// the expression fails, a rejected record.
    LikeSql(&'static str),
}

use Family::{
    Bytea, Cidr, Composite, Date, Float, Inet, Input, Integer, Interval, Json, Name, Text, Time, Timestamp,
    Timestamptz, Timetz,
};

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        types: "all but arrays, json and jsonb",
        value: "an array with one element that is not an array (for types without an encoder: that is a string), unless `unwrap_single_element_arrays` is off",
        covers: |column, json| {
            !matches!(column.family, Json)
                && column.element().is_none()
                && only_element(json).is_some_and(|only| {
                    if matches!(column.family, Input | Composite) {
                        only.is_string()
                    } else {
                        !only.is_array()
                    }
                })
        },
        here: Here::Like(|json| only_element_text(json).unwrap_or_default()),
    },
    Difference {
        types: "all but arrays, json, jsonb and types without an encoder",
        value: "an object, or any other array",
        covers: |column, json| !matches!(column.family, Json | Input | Composite) && is_nested(json),
        here: Here::Refused,
    },
    Difference {
        types: "smallint, integer, bigint",
        value: "a number without a fraction that is written with a point or an exponent: `1.0`, `1e2`",
        covers: |column, json| column.family == Integer && is_number(json) && json.contains(['.', 'e', 'E']),
        here: Here::LikeSql("trunc($1::numeric)::text"),
    },
    Difference {
        types: "real, double precision",
        value: "`\"0x10\"`, `\"nan(1)\"`",
        covers: |column, json| {
            column.family == Float && text(json).is_some_and(|text| text.contains(['x', '(']))
        },
        here: Here::Refused,
    },
    Difference {
        types: "text, character varying, character, citext, name",
        value: "a number beyond double precision: `1e400`",
        covers: |column, json| {
            matches!(column.family, Text | Name)
                && is_number(json)
                && json.parse().is_ok_and(f64::is_infinite)
        },
        here: Here::Refused,
    },
    Difference {
        types: "name",
        value: "more than 63 bytes",
        covers: |column, json| column.family == Name && text(json).map_or(json.len(), |text| text.len()) > 63,
        here: Here::Refused,
    },
    Difference {
        types: "json, jsonb",
        value: "nested more than 1000 levels deep",
        covers: |column, json| column.family == Json && json.starts_with(&"[".repeat(1001)),
        here: Here::Refused,
    },
    Difference {
        types: "bytea",
        value: "text that does not begin with `\\x`",
        covers: |column, json| {
            column.family == Bytea && text(json).is_some_and(|text| !text.starts_with("\\x"))
        },
        here: Here::LikeSql("to_json(decode($1::json #>> '{}', 'base64')::text)::text"),
    },
    Difference {
        types: "bytea",
        value: "a number or a boolean",
        covers: |column, json| {
            column.family == Bytea && (is_number(json) || matches!(json, "true" | "false"))
        },
        here: Here::Refused,
    },
    Difference {
        types: "date, timestamp, timestamptz",
        value: "words (`now`, `today`, `epoch`), names of months and time zones, `1/8/1999`, `4:05 PM`, Julian days, ordinal dates (`2024-123`), years of fewer than four digits, parts left out (`2024-01`, `10:00.5`), minutes beyond 59 in a time without colons (`T246000`)",
        covers: |column, json| {
            matches!(column.family, Date | Timestamp | Timestamptz)
                && text(json).is_some_and(|text| ODD_DATES.contains(&&*text) || ODD_STAMPS.contains(&&*text))
        },
        here: Here::Refused,
    },
    Difference {
        types: "time, timetz",
        value: "words (`now`, `allballs`), names of time zones, `4:05 PM`, a date before the time, an offset with `-` after a time without colons (`040506-08`)",
        covers: |column, json| {
            matches!(column.family, Time | Timetz)
                && text(json).is_some_and(|text| ODD_TIMES.contains(&&*text))
        },
        here: Here::Refused,
    },
    Difference {
        types: "date, timestamp, timestamptz",
        value: "an offset with `-` right after a date, or after a time without colons (`2024-01-01-05:00`), and any after `10:00:00.`",
        covers: |column, json| {
            matches!(column.family, Date | Timestamp | Timestamptz)
                && text(json).is_some_and(|text| ACCEPTED_STAMPS.iter().any(|(odd, _)| *odd == text))
        },
        here: Here::Like(|json| {
            let text = text(json).unwrap_or_default();
            quoted(ACCEPTED_STAMPS.iter().find(|(odd, _)| *odd == text).map_or("", |(_, usual)| usual))
        }),
    },
    Difference {
        types: "timestamp",
        value: "a number",
        covers: |column, json| column.family == Timestamp && is_number(json),
        here: Here::LikeSql(
            "to_json(timestamp 'epoch' + div(round($1::numeric * 1000), 86400000000)::int * interval '1 day' \
             + mod(round($1::numeric * 1000), 86400000000)::bigint * interval '1 microsecond')::text",
        ),
    },
    Difference {
        types: "timestamptz",
        value: "a number",
        covers: |column, json| column.family == Timestamptz && is_number(json),
        here: Here::LikeSql(
            "to_json((timestamp 'epoch' + div(round($1::numeric * 1000), 86400000000)::int * interval '1 day' \
             + mod(round($1::numeric * 1000), 86400000000)::bigint * interval '1 microsecond') \
             AT TIME ZONE 'UTC')::text",
        ),
    },
    Difference {
        types: "date, time, timetz",
        value: "a number",
        covers: |column, json| matches!(column.family, Date | Time | Timetz) && is_number(json),
        here: Here::Refused,
    },
    Difference {
        types: "date, timestamp, timestamptz",
        value: "`infinity` with a time after it",
        covers: |column, json| {
            matches!(column.family, Date | Timestamp | Timestamptz)
                && text(json).is_some_and(|text| text.to_lowercase().contains("infinity "))
        },
        here: Here::Refused,
    },
    Difference {
        types: "timestamptz, timetz",
        value: "text without an offset",
        covers: |column, json| {
            matches!(column.family, Timestamptz | Timetz)
                && text(json).is_some_and(|text| is_without_offset(&text, column.family == Timetz))
        },
        here: Here::Like(|json| quoted(&format!("{} UTC", text(json).unwrap_or_default()))),
    },
    Difference {
        types: "interval",
        value: "a number without a unit: `5`, `\"5\"`",
        covers: |column, json| {
            column.family == Interval
                && (is_number(json) || text(json).is_some_and(|text| is_number(text.trim())))
        },
        here: Here::Refused,
    },
    Difference {
        types: "interval",
        value: "the SQL standard's form (`1-2`, `1 2:03:04`), ISO 8601's alternative form (`P0001-02-03T04:05:06`, `P1`), `12:30.5`, `\\.`, `1 qtr`, `ago` before the end",
        covers: |column, json| {
            column.family == Interval && text(json).is_some_and(|text| ODD_INTERVALS.contains(&&*text))
        },
        here: Here::Refused,
    },
    Difference {
        types: "inet, cidr",
        value: "an IPv4 address that is not four numbers without leading zeros: `10`, `10.1`, `192.168.1/24`, `10.001.002.003`, `10.0.0.0/08`",
        covers: |column, json| {
            matches!(column.family, Inet | Cidr)
                && (is_number(json) || text(json).is_some_and(|text| is_unusual_ipv4(&text)))
        },
        here: Here::Refused,
    },
];

/// Differences of columns that are arrays as a whole, and of composite types: nothing of them is taken apart.
pub(crate) const OF_WHOLES: &[Difference] = &[
    Difference {
        types: "arrays",
        value: "a string: `\"{1,2}\"`",
        covers: |column, json| column.element().is_some() && text(json).is_some(),
        here: Here::Refused,
    },
    Difference {
        types: "composite types",
        value: "an object",
        covers: |column, json| column.family == Composite && json.starts_with('{'),
        here: Here::Refused,
    },
];

/// All rows of the table, by their first two cells.
pub(crate) fn rows() -> Vec<(String, String)> {
    DIFFERENCES.iter().chain(OF_WHOLES).map(|row| (row.types.into(), row.value.into())).collect()
}

fn is_number(json: &str) -> bool {
    matches!(serde_json::from_str::<&serde_json::value::RawValue>(json), Ok(raw)
        if raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()))
}

fn is_without_offset(text: &str, time_only: bool) -> bool {
    let time = match text.find(['T', 't', ' ']) {
        _ if time_only => text,
        Some(at) => &text[at..],
        None => "",
    };
    !text.to_lowercase().contains("infinity") && !time.contains(['+', '-', 'Z', 'z', 'U'])
}

fn is_unusual_ipv4(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "1"));
    let usual = address.parse::<std::net::IpAddr>().is_ok() && (prefix == "0" || !prefix.starts_with('0'));
    let v4 = !text.contains(':') || text.contains('.');
    v4 && text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | '/' | ':')) && !usual
}

fn is_nested(json: &str) -> bool {
    json.starts_with(['{', '['])
}

/// The text of a JSON string.
fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

fn only_element_text(json: &str) -> Option<String> {
    let [only]: [Box<serde_json::value::RawValue>; 1] = serde_json::from_str(json).ok()?;
    Some(only.get().to_owned())
}

fn only_element(json: &str) -> Option<Value> {
    let only = only_element_text(json)?;
    // What is no value for serde_json is still a scalar.
    Some(
        serde_json::from_str(&only)
            .unwrap_or_else(|_| if only.starts_with('"') { Value::from("") } else { Value::from(0) }),
    )
}
