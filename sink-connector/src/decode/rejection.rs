//! Why a record was rejected: for its dead letter, and as a label of metrics.

use super::Wider;
use crate::encode::EncodeError;
use std::fmt;

/// The class of a rejection, few enough to be a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not JSON by RFC 8259, or nested too deep.
    InvalidJson,
    InvalidUtf8,
    /// JSON, but not an object.
    NotAnObject,
    /// U+0000 in a value, under `null_bytes = "reject"`.
    NullByte,
    /// A column that is NOT NULL and has no default got no field.
    MissingField,
    /// Null for a NOT NULL column.
    NullValue,
    /// A value beyond what the column's type or its modifier holds.
    OutOfRange,
    /// A value that is not in the syntax of the column's type.
    WrongType,
    /// Text longer than the column's declared length.
    TooLong,
    /// A field without a column, under `unknown_fields = "reject"`.
    UnknownField,
    /// A string with half of a surrogate pair.
    InvalidText,
    /// Not the envelope of `value_format`.
    InvalidEnvelope,
    /// A change event that does not change a row, such as TRUNCATE.
    UnsupportedOperation,
    /// The key exists, under `insert_mode = "insert"`.
    DuplicateKey,
    /// The server refused the row: a constraint, a trigger, a policy, a type's input. Its SQLSTATE says more.
    Refused,
}

impl Reason {
    pub const ALL: [Self; 15] = [
        Self::InvalidJson,
        Self::InvalidUtf8,
        Self::NotAnObject,
        Self::NullByte,
        Self::MissingField,
        Self::NullValue,
        Self::OutOfRange,
        Self::WrongType,
        Self::TooLong,
        Self::UnknownField,
        Self::InvalidText,
        Self::InvalidEnvelope,
        Self::UnsupportedOperation,
        Self::DuplicateKey,
        Self::Refused,
    ];

    /// The reason as a metric's label and in a dead letter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::InvalidJson => "invalid_json",
            Reason::InvalidUtf8 => "invalid_utf8",
            Reason::NotAnObject => "not_an_object",
            Reason::NullByte => "null_byte",
            Reason::MissingField => "missing_field",
            Reason::NullValue => "null_value",
            Reason::OutOfRange => "out_of_range",
            Reason::WrongType => "wrong_type",
            Reason::TooLong => "too_long",
            Reason::UnknownField => "unknown_field",
            Reason::InvalidText => "invalid_text",
            Reason::InvalidEnvelope => "invalid_envelope",
            Reason::UnsupportedOperation => "unsupported_operation",
            Reason::DuplicateKey => "duplicate_key",
            Reason::Refused => "refused",
        }
    }

    /// Whether the value itself was rejected, not the row made from it.
    #[must_use]
    pub fn is_of_the_value(self) -> bool {
        !matches!(self, Reason::DuplicateKey | Reason::MissingField | Reason::Refused)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<EncodeError> for Reason {
    fn from(error: EncodeError) -> Reason {
        match error {
            EncodeError::WrongType | EncodeError::UnknownLabel => Reason::WrongType,
            EncodeError::OutOfRange => Reason::OutOfRange,
            EncodeError::TooLong => Reason::TooLong,
            EncodeError::NullByte => Reason::NullByte,
            EncodeError::LoneSurrogate => Reason::InvalidText,
            EncodeError::TooDeep => Reason::InvalidJson,
        }
    }
}

/// A record that cannot become a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// Its class.
    pub reason: Reason,
    /// The column whose value was rejected, if it was one.
    pub column: Option<String>,
    /// The type that would hold the value, if the column's type is too narrow for it.
    pub wider: Option<Wider>,
    /// What is wrong and where; after [`GOT`], an excerpt of the record.
    pub detail: String,
}

impl Rejection {
    /// The reason without values of the record: for logs, /readyz, /status and check.
    #[must_use]
    pub fn without_values(&self) -> String {
        let detail = self.detail.split(GOT).next().unwrap_or_default();
        format!("{}: {detail}", self.reason)
    }
}

/// Stands in a detail before the value, which ends it.
pub(super) const GOT: &str = ", got ";

/// The longest excerpt of a record in a message, in characters.
const EXCERPT_CHARS: usize = 100;

/// The beginning of text from a record, short enough for a message.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
