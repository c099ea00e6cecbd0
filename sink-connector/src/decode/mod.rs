//! From the bytes of one JSON record to the COPY BINARY fields of one row, in one pass and without a tree between.

mod array;
mod envelope;
mod key;
mod logical;
mod record;
mod rejection;
mod slots;
mod value;

pub use crate::encode::NullBytes;
pub use envelope::{Envelope, Opened};
pub use key::KeyDecoder;
pub use rejection::{Reason, Rejection};
pub use slots::{SlotRef, Slots};

use crate::encode::Kind;
use hashbrown::HashMap;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// One field that a table takes from its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The field's name in the record.
    pub name: String,
    /// How its values are encoded.
    pub kind: Kind,
    /// Whether the column refuses null.
    pub not_null: bool,
    /// The column it goes into, for messages.
    pub column: String,
}

/// What a decoder does where JSON and a table leave a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Reject a record with a field that no column takes; else such fields are skipped.
    pub reject_unknown_fields: bool,
    /// Take `["x"]` for `"x"` where the column is a scalar.
    pub unwrap_single_element_arrays: bool,
    /// What happens to U+0000 in a value.
    pub null_bytes: NullBytes,
    /// What values wrap their rows in; `None`: they are the rows.
    pub envelope: Option<Envelope>,
}

/// Why there can be no decoder for these fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecoderError {
    /// Two columns would take the same field.
    #[error("columns {first:?} and {second:?} both take the field {field:?}")]
    DuplicateField {
        /// The field's name.
        field: String,
        /// One column.
        first: String,
        /// The other.
        second: String,
    },
}

/// Decodes the records of one table. Built once for each version of the table.
#[derive(Debug)]
pub struct Decoder {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    /// Fields that are read; the columns of the others are filled from elsewhere.
    taken: Vec<bool>,
    options: Options,
}

impl Decoder {
    /// A decoder for these fields; the order is that of the [`Slots`], and fastest when records keep it.
    ///
    /// # Errors
    /// Two fields of one name.
    pub fn new(fields: Vec<Field>, options: Options) -> Result<Decoder, DecoderError> {
        let all = vec![true; fields.len()];
        Decoder::taking(fields, all, options)
    }

    /// A decoder that reads the fields which are `taken`, and skips the others without a look at their values.
    ///
    /// # Errors
    /// Two taken fields of one name.
    pub fn taking(fields: Vec<Field>, taken: Vec<bool>, options: Options) -> Result<Decoder, DecoderError> {
        let mut by_name = HashMap::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate().filter(|(index, _)| taken[*index]) {
            if let Some(first) = by_name.insert(field.name.clone(), index) {
                return Err(DecoderError::DuplicateField {
                    field: field.name.clone(),
                    first: fields[first].column.clone(),
                    second: field.column.clone(),
                });
            }
        }
        Ok(Decoder { fields, by_name, taken, options })
    }

    /// The fields, in the order of the slots.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Decodes one record into `slots`. Of a field that comes twice, the last stands, though both must fit the
    /// column. An explicit null for a NOT NULL column is refused; whether a field may be absent is the caller's to
    /// say.
    ///
    /// # Errors
    /// The first thing in the record that makes it no row of the table; what `slots` hold then is unspecified.
    pub fn decode(&self, payload: &[u8], slots: &mut Slots) -> Result<(), Rejection> {
        slots.reset(self.fields.len());
        let text = utf8(payload)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(no_object(text));
        }
        record::read(self, text, slots)
    }

    /// What a value's envelope holds; without one the value is the row.
    ///
    /// # Errors
    /// The value is no such envelope, or an event that is no change of a row.
    #[inline]
    pub fn open<'a>(&self, value: &'a [u8]) -> Result<Opened<'a>, Rejection> {
        let Some(envelope) = self.options.envelope else { return Ok(Opened::Row(Cow::Borrowed(value))) };
        envelope.open(value, self)
    }

    /// The key in its envelope, where values have one as well; any other key is itself.
    fn open_key<'a>(&self, key: &'a [u8]) -> Cow<'a, [u8]> {
        if self.options.envelope.is_some() { envelope::open_key(key, self) } else { Cow::Borrowed(key) }
    }

    /// How the values of a field are encoded, if a column takes it.
    fn kind_of(&self, name: &str) -> Option<&Kind> {
        self.by_name.get(name).map(|index| &self.fields[*index].kind)
    }

    /// Encodes JSON text that is no part of a record's value into the column of field `index`.
    ///
    /// # Errors
    /// The column cannot hold it.
    pub fn put_json(&self, index: usize, text: &str, slots: &mut Slots) -> Result<(), Rejection> {
        value::encode_raw(text, &self.fields[index], index, self.options, slots)
    }

    /// Encodes text that is no part of a record's value into the column of field `index`.
    ///
    /// # Errors
    /// The column cannot hold it.
    pub fn put_text(&self, index: usize, text: &str, slots: &mut Slots) -> Result<(), Rejection> {
        value::encode_bare(text, &self.fields[index], index, self.options, slots)
    }

    /// The field of a name. Records mostly keep their order, so `hint`, the field after the last, is tried first.
    fn find(&self, name: &str, hint: usize) -> Option<usize> {
        match self.fields.get(hint) {
            Some(field) if field.name == name && self.taken[hint] => Some(hint),
            _ => self.by_name.get(name).copied(),
        }
    }

    /// Whether a field without a column is one that a column is named after, but not filled from.
    fn is_filled_elsewhere(&self, name: &str) -> bool {
        self.fields.iter().zip(&self.taken).any(|(field, taken)| !taken && field.name == name)
    }
}

/// A rejection that is about no column.
fn reject(reason: Reason, detail: String) -> Rejection {
    Rejection { reason, column: None, detail }
}

/// The text that bytes are.
fn utf8(bytes: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        reject(Reason::InvalidUtf8, format!("not UTF-8 from byte {at} on: 0x{:02x}", bytes[at]))
    })
}

/// Why text that does not begin an object is refused.
fn no_object(text: &str) -> Rejection {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => {
            reject(Reason::NotAnObject, format!("expected an object, got {}", rejection::excerpt(text)))
        }
        Err(error) => reject(Reason::InvalidJson, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
