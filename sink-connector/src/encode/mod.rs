//! Encodes a JSON value as a COPY BINARY field of the column's type.
//!
//! The reference is the type's own input function, as `json_populate_record` calls it: the encoder gives the same value
//! as PostgreSQL 15, and rejects what PostgreSQL refuses. docs/types.md lists the deliberate differences; a test compares
//! both on the server.

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
pub(crate) mod oid;
mod output;
mod plain;
mod text;
mod uuid;

pub(crate) use json::JsonStrings;
pub use json::NullBytes;
pub(crate) use json::{MAX_DEPTH, check_depth, encode_json, resolve_nul};
pub(crate) use kind::{Array, Enum, Kind, Modifier};
pub(crate) use output::write_text;
pub(crate) use plain::{iso_date, iso_time, twos_complement};

/// A JSON value that is neither null, object nor array, borrowed from the record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
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
    #[error("out of the type's range")]
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
pub(crate) fn encode(kind: &Kind, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
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
