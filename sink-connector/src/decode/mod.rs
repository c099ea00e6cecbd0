//! Decodes a JSON record into the COPY BINARY fields of a row, in one pass and without an intermediate tree.

mod array;
mod cells;
mod envelope;
mod fast;
mod key;
mod logical;
mod order;
mod record;
mod rejection;
mod scan;
mod unavailable;
mod value;
mod wider;
mod wrapping;

pub(crate) use crate::encode::JsonStrings;
pub use crate::encode::NullBytes;
pub(crate) use cells::CellRef;
pub use cells::Cells;
pub(crate) use envelope::Opened;
pub use envelope::ValueFormat;
pub(crate) use key::KeyDecoder;
use rejection::GOT;
pub(crate) use rejection::{Reason, Rejection};
pub(crate) use wider::Wider;

use self::unavailable::Unavailable;
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
    /// Whether the column is NOT NULL.
    pub not_null: bool,
    /// The column it goes into, for messages.
    pub column: String,
}

/// Options of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Reject a record with a field that has no column; otherwise such fields are ignored.
    pub reject_unknown_fields: bool,
    /// Read `["x"]` as `"x"` if the column is a scalar.
    pub unwrap_single_element_arrays: bool,
    /// What happens to U+0000 in a value.
    pub null_bytes: NullBytes,
    /// What a string is for a `json` or `jsonb` column.
    pub json_strings: JsonStrings,
    /// What values look like.
    pub value_format: ValueFormat,
}

/// Why a decoder cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecoderError {
    /// Two columns would take the same field.
    #[error("columns {first:?} and {second:?} both take the field {field:?}")]
    DuplicateField {
        /// The field's name.
        field: String,
        /// One column.
        first: String,
        second: String,
    },
}

/// Decodes the records of one table. Built once for each version of the table.
#[derive(Debug)]
pub struct Decoder {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    /// How each field that is read begins in most records.
    quoted_names: Vec<Box<[u8]>>,
    /// Fields that are read; the columns of the others are filled from elsewhere.
    taken: Vec<bool>,
    options: Options,
    /// A value that stands for an absent field.
    unavailable: Option<Unavailable>,
}

impl Decoder {
    /// A decoder for these fields; the [`Cells`] have the same order, which is fastest if records have it too.
    ///
    /// # Errors
    /// Two fields of one name.
    pub fn new(fields: Vec<Field>, options: Options) -> Result<Decoder, DecoderError> {
        let all = vec![true; fields.len()];
        Decoder::taking(fields, all, options)
    }

    /// A decoder that reads the fields that are `taken`, and skips the values of the others.
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
        let quoted_name = |(field, taken): (&Field, &bool)| match taken {
            true => fast::quoted_name(&field.name),
            false => Box::default(),
        };
        let quoted_names = fields.iter().zip(&taken).map(quoted_name).collect();
        Ok(Decoder { fields, by_name, quoted_names, taken, options, unavailable: None })
    }

    /// The same decoder, but fields whose value is this placeholder of Debezium are absent.
    #[must_use]
    pub fn with_unavailable_value(self, placeholder: &str) -> Decoder {
        Decoder { unavailable: Unavailable::new(placeholder), ..self }
    }

    /// Whether a field with this JSON value is absent.
    pub(crate) fn is_unavailable(&self, json: &str) -> bool {
        self.unavailable.as_ref().is_some_and(|unavailable| unavailable.is(json))
    }

    /// Whether a field with this string is absent.
    #[inline]
    fn is_unavailable_text(&self, text: &str) -> bool {
        self.unavailable.as_ref().is_some_and(|unavailable| unavailable.is_text(text))
    }

    /// The fields, in the order of the cells.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Decodes one record into `cells`. If a field occurs twice, the last one counts, but both must fit the
    /// column. An explicit null for a NOT NULL column is rejected; the caller decides whether a field may be absent.
    ///
    /// # Errors
    /// The first problem in the record; the contents of `cells` are then unspecified.
    pub fn decode(&self, payload: &[u8], cells: &mut Cells) -> Result<(), Rejection> {
        cells.reset(self.fields.len());
        let read = |cells: &mut Cells| {
            let text = utf8(payload)?;
            if !text.trim_ascii_start().starts_with('{') {
                return Err(not_an_object(text));
            }
            if fast::read(self, text, cells).is_some() {
                return Ok(());
            }
            cells.reset(self.fields.len());
            record::read(self, text, cells)
        };
        read(cells).map_err(|rejection| wrapping::explain(rejection, payload))
    }

    /// Opens the envelope of a value; without an envelope, the value is the row.
    ///
    /// # Errors
    /// If the value does not have that envelope, or is an event that does not change a row.
    #[inline]
    pub fn open<'a>(&self, value: &'a [u8]) -> Result<Opened<'a>, Rejection> {
        let opened = self.options.value_format.open(value, self);
        opened.map_err(|rejection| wrapping::explain(rejection, value))
    }

    /// The key in its envelope, if values have one as well; any other key is returned unchanged.
    pub fn open_key<'a>(&self, key: &'a [u8]) -> Cow<'a, [u8]> {
        match self.options.value_format {
            ValueFormat::Json => Cow::Borrowed(key),
            ValueFormat::JsonSchema | ValueFormat::Debezium => envelope::open_key(key, self),
        }
    }

    /// The field of this name, if a column takes it.
    fn field(&self, name: &str) -> Option<&Field> {
        self.by_name.get(name).map(|index| &self.fields[*index])
    }

    /// Encodes JSON text that is not from a record's value into the column of field `index`.
    ///
    /// # Errors
    /// If the column cannot hold it.
    pub fn put_json(&self, index: usize, text: &str, cells: &mut Cells) -> Result<(), Rejection> {
        value::encode_raw(text, &self.fields[index], index, self.options, cells)
    }

    /// Encodes text that is not from a record's value into the column of field `index`.
    ///
    /// # Errors
    /// If the column cannot hold it.
    pub fn put_text(&self, index: usize, text: &str, cells: &mut Cells) -> Result<(), Rejection> {
        value::encode_bare(text, &self.fields[index], index, self.options, cells)
    }

    /// The field of a name. Records mostly keep their order, so `hint`, the field after the last, is tried first.
    fn find(&self, name: &str, hint: usize) -> Option<usize> {
        match self.fields.get(hint) {
            Some(field) if field.name == name && self.taken[hint] => Some(hint),
            _ => self.by_name.get(name).copied(),
        }
    }

    /// Whether a column has this name, but is not filled from the field.
    fn is_filled_elsewhere(&self, name: &str) -> bool {
        self.fields.iter().zip(&self.taken).any(|(field, taken)| !taken && field.name == name)
    }
}

/// A rejection that does not concern a column.
fn reject(reason: Reason, detail: String) -> Rejection {
    Rejection { reason, column: None, wider: None, detail }
}

/// Bytes as text.
fn utf8(bytes: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        reject(Reason::InvalidUtf8, format!("not UTF-8 from byte {at} on: 0x{:02x}", bytes[at]))
    })
}

fn not_an_object(text: &str) -> Rejection {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => {
            reject(Reason::NotAnObject, format!("expected an object{GOT}{}", rejection::excerpt(text)))
        }
        Err(error) => reject(Reason::InvalidJson, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
