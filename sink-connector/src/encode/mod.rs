//! One JSON value into the bytes of one COPY BINARY field, as the type of its column wants it.
//!
//! The reference is the type's own input function, as `json_populate_record` calls it: what PostgreSQL 15 makes
//! of a value, the encoder makes of it, and what PostgreSQL refuses, the encoder refuses. The deliberate
//! differences:
//!
//! | column | value | PostgreSQL | here | why |
//! |---|---|---|---|---|
//! | smallint, integer, bigint | `1.0`, `1e2` | refused | 1, 100: any number without a fraction, exactly | many producers have one number type |
//! | real, double precision | `-0.0` | `jsonb_…` drops the sign, `json_…` keeps it | kept | it is what was sent |
//! | real, double precision | `"0x1p3"`, `"nan(1)"` | accepted | refused | C's spellings, an accident of strtod |
//! | text family, uuid, boolean, date/time | object, array | its JSON text | refused | an object in a text column is a mistake in the mapping |
//! | text family | `1e400` | `1e400` | refused as out of range | no JSON reader in front of us keeps it either |
//! | name | more than 63 bytes | truncated | refused as too long | nothing is lost silently |
//! | date, time, timestamp, timestamptz | `"now"`, `"today"`, `"epoch"`, `"Jan 8 1999"`, `"1/8/1999"`, `"4:05 PM"`, time zone names, years of fewer than four digits, parts left out (`"2024-01"`, `"10:"`, `"10:00.5"`) | accepted | refused | the row depends on the record alone, and only ISO 8601 is unambiguous |
//! | date, timestamp, timestamptz | `-05:00` right after a date (`"2024-01-01-05:00"`) or after a time without colons; an offset after `"10:00:00."` | refused | accepted | it is refused with `-` and accepted with `+`, an accident of the reader |
//! | date, timestamp, timestamptz | minutes or seconds beyond 59 in a time without colons (`"T246000"`) | accepted | refused as out of range | the same with colons is refused |
//! | time | a date before the time | accepted with a space, refused with `T` | refused | no date is dropped unsaid |
//! | timestamp, timestamptz | a number | refused | milliseconds since 1970-01-01 UTC, rounded to microseconds | what Kafka, JavaScript and Java mean by it |
//! | date, time | a number | `20240101` is read as digits | refused | it is not a date in any JSON convention |
//! | timestamptz | text without an offset | in the session's time zone | in UTC | the row depends on the record alone |
//! | json, jsonb | more than [`MAX_DEPTH`] levels | accepted while the stack lasts | refused | a bound that does not depend on the server's stack |

mod boolean;
mod bytea;
mod calendar;
mod datetime;
mod decimal;
mod enumeration;
mod float;
mod inet;
mod integer;
mod interval;
mod iso8601;
mod json;
mod kind;
mod numeric;
pub mod oid;
mod output;
mod text;
mod uuid;

pub use json::{MAX_DEPTH, NullBytes, check_depth, encode_json, resolve_nul};
pub use kind::{Array, Enum, Kind, Modifier};
pub use output::write_text;

/// A JSON value that is neither null, object nor array, borrowed from the record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A number that was written without fraction and exponent and fits 64 bits.
    Int(i64),
    /// Any other number: its literal, valid by the grammar of RFC 8259.
    Number(&'a str),
    /// A string, unescaped, without U+0000.
    Str(&'a str),
}

/// Why a value cannot be stored in a column of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The value is of another JSON type, or its text is not in the type's input syntax.
    #[error("not a value of the type")]
    WrongType,
    /// The value has the right form but is beyond what the type or its modifier holds.
    #[error("beyond the type's range")]
    OutOfRange,
    /// The text is longer than the column's declared length.
    #[error("longer than the column's length")]
    TooLong,
    /// The text is not a label of the enumerated type.
    #[error("not a label of the type")]
    UnknownLabel,
    /// U+0000 in a value, which no PostgreSQL text holds (only under [`NullBytes::Reject`]).
    #[error("a NUL character, which PostgreSQL cannot store")]
    NullByte,
    /// A `\u` escape that is half of a surrogate pair.
    #[error("half of a surrogate pair")]
    LoneSurrogate,
    /// Objects and arrays nested deeper than [`MAX_DEPTH`].
    #[error("recursion limit of {MAX_DEPTH} levels exceeded")]
    TooDeep,
}

/// Appends the COPY BINARY bytes of `value`, without the 4-byte length in front, to `out`.
///
/// The formats are those of the types' `_recv` functions in PostgreSQL's `src/backend/utils/adt`.
/// [`Kind::Json`] and [`Kind::Jsonb`] take raw JSON text instead: [`encode_json`]. [`Kind::Input`] gives the value's
/// text, and [`Kind::Array`] takes no single value.
///
/// # Errors
/// See [`EncodeError`]; what was appended before an error is unspecified.
pub fn encode(kind: &Kind, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match *kind {
        Kind::Text | Kind::Input(_) => text::encode_text(value, out),
        Kind::Int4 => integer::encode::<i32>(value, out),
        Kind::Int8 => integer::encode::<i64>(value, out),
        Kind::Int2 => integer::encode::<i16>(value, out),
        Kind::Float8 => float::encode::<f64>(value, out),
        Kind::Float4 => float::encode::<f32>(value, out),
        Kind::Bool => boolean::encode(value, out),
        Kind::Numeric { modifier, infinite } => numeric::encode(value, modifier, infinite, out),
        Kind::VarChar { max_chars } => text::encode_limited(value, max_chars, out),
        Kind::BpChar { chars } => text::encode_limited(value, chars, out),
        Kind::Name => text::encode_name(value, out),
        Kind::Uuid => uuid::encode(value, out),
        Kind::Date => datetime::encode_date(value, out),
        Kind::Time { precision } => datetime::encode_time(value, precision, out),
        Kind::Timestamp { precision } => datetime::encode_timestamp(value, precision, false, out),
        Kind::Timestamptz { precision } => datetime::encode_timestamp(value, precision, true, out),
        Kind::Timetz { precision } => datetime::encode_timetz(value, precision, out),
        Kind::Interval => interval::encode(value, out),
        Kind::Bytea => bytea::encode(value, out),
        Kind::Inet => inet::encode(value, false, out),
        Kind::Cidr => inet::encode(value, true, out),
        Kind::Enum(ref of) => enumeration::encode(value, of, out),
        Kind::Json | Kind::Jsonb | Kind::Array(_) => Err(EncodeError::WrongType),
    }
}

/// The white space that PostgreSQL's input functions skip (C's `isspace`).
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}
