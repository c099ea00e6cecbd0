//! Reads the value of one field and has it encoded: most as serde_json hands them over, the rest from their text.

use super::array::encode_array;
use super::record::{RecordState, leave, number_at, own_text, reject_value, value_at};
use super::{Cells, Decoder, Field, JsonStrings, Options, Reason, Rejection};
use crate::encode::{EncodeError, Kind, Value, check_depth, encode, encode_json, resolve_nul};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Encodes a field from the JSON text of its value.
pub(super) fn encode_raw(
    text: &str,
    field: &Field,
    index: usize,
    options: Options,
    cells: &mut Cells,
) -> Result<(), Rejection> {
    if text == "null" {
        return put_null(field, index, cells);
    }
    let done = match &field.kind {
        kind @ (Kind::Json | Kind::Jsonb) => {
            put(cells, index, |out| encode_json_column(text, kind, options, out))
        }
        Kind::Array(of) => put(cells, index, |out| encode_array(text, of, options, out)),
        Kind::Input(_) => {
            let text = if options.unwrap_single_element_arrays { only_string(text) } else { text };
            put(cells, index, |out| encode_element(text, &field.kind, options, out))
        }
        _ => return encode_unwrapped(text, field, index, options, cells),
    };
    done.map_err(|error| reject_value(field, error, text))
}

/// Encodes a field whose kind takes no arrays, or an array of one element for its element.
fn encode_unwrapped(
    text: &str,
    field: &Field,
    index: usize,
    options: Options,
    cells: &mut Cells,
) -> Result<(), Rejection> {
    let Some(inner) = text.strip_prefix('[') else {
        return encode_scalar(text, field, index, options, cells);
    };
    if !options.unwrap_single_element_arrays || inner.trim_ascii_start().starts_with('[') {
        return Err(reject_value(field, EncodeError::WrongType, text));
    }
    let [element]: [&RawValue; 1] =
        serde_json::from_str(text).map_err(|_| reject_value(field, EncodeError::WrongType, text))?;
    encode_scalar(element.get(), field, index, options, cells)
}

/// The string in `["string"]`; any other text as it is, because an array may be what the type's input function reads.
fn only_string(text: &str) -> &str {
    match serde_json::from_str::<[&RawValue; 1]>(text) {
        Ok([element]) if element.get().starts_with('"') => element.get(),
        _ => text,
    }
}

/// Encodes a field from the JSON text of a value that is not an array.
pub(super) fn encode_scalar(
    text: &str,
    field: &Field,
    index: usize,
    options: Options,
    cells: &mut Cells,
) -> Result<(), Rejection> {
    if text == "null" {
        return put_null(field, index, cells);
    }
    put(cells, index, |out| encode_element(text, &field.kind, options, out))
        .map_err(|error| reject_value(field, error, text))
}

/// Appends a value of `kind`, which is not an array, from JSON text that is not null.
pub(super) fn encode_element(
    text: &str,
    kind: &Kind,
    options: Options,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if kind.is_json() {
        return encode_json_column(text, kind, options, out);
    }
    match text.as_bytes() {
        b"true" => encode(kind, Value::Bool(true), out),
        b"false" => encode(kind, Value::Bool(false), out),
        [b'"', .., b'"'] if !text.contains('\\') => encode(kind, Value::Str(&text[1..text.len() - 1]), out),
        [b'"', ..] => {
            // The text is JSON by its grammar; only halves of surrogate pairs can be wrong.
            let string: String = serde_json::from_str(text).map_err(|_| EncodeError::LoneSurrogate)?;
            encode(kind, Value::Str(&resolve_nul(&string, options.null_bytes)?), out)
        }
        [b'{' | b'[', ..] => {
            // For a type without an encoder, its input function reads objects.
            if !matches!(kind, Kind::Input(_)) {
                return Err(EncodeError::WrongType);
            }
            check_depth(text)?;
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        _ => encode(kind, Value::Number(text), out),
    }
}

/// Appends a value for a `json` or `jsonb` column, or for an element of an array of them.
fn encode_json_column(
    text: &str,
    kind: &Kind,
    options: Options,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if options.json_strings == JsonStrings::Keep || !text.starts_with('"') {
        return encode_json(kind, text, options.null_bytes, out);
    }
    let string: Cow<'_, str> = match text {
        plain if !plain.contains('\\') => plain[1..plain.len() - 1].into(),
        escaped => serde_json::from_str::<String>(escaped).map_err(|_| EncodeError::LoneSurrogate)?.into(),
    };
    let json = resolve_nul(&string, options.null_bytes)?;
    serde_json::from_str::<IgnoredAny>(&json).map_err(|_| EncodeError::WrongType)?;
    encode_json(kind, &json, options.null_bytes, out)
}

/// Encodes a field from text that is not JSON.
pub(super) fn encode_bare(
    text: &str,
    field: &Field,
    index: usize,
    options: Options,
    cells: &mut Cells,
) -> Result<(), Rejection> {
    resolve_nul(text, options.null_bytes)
        .and_then(|text| put(cells, index, |out| encode(&field.kind, Value::Str(&text), out)))
        .map_err(|error| reject_value(field, error, &format!("{text:?}")))
}

/// Stores what `encode` appends as the value of a field.
#[inline]
pub(super) fn put(
    cells: &mut Cells,
    index: usize,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    if cells.put_with(index, encode)? { Ok(()) } else { Err(EncodeError::TooLong) }
}

/// Stores null, where the column takes it.
pub(super) fn put_null(field: &Field, index: usize, cells: &mut Cells) -> Result<(), Rejection> {
    if field.not_null {
        return Err(Rejection {
            reason: Reason::NullValue,
            column: Some(field.column.clone()),
            wider: None,
            detail: format!("field {:?}: null for a column that is NOT NULL", field.name),
        });
    }
    cells.set_null(index);
    Ok(())
}

/// Encodes a value as serde_json interprets it.
pub(super) struct ValueSeed<'a, 's, 'de> {
    pub(super) field: &'a Field,
    pub(super) index: usize,
    /// The record's text from the closing quote of the field's name on.
    pub(super) after_name: &'de str,
    pub(super) decoder: &'a Decoder,
    pub(super) state: &'a mut RecordState<'s, 'de>,
}

impl<'de> ValueSeed<'_, '_, 'de> {
    #[inline]
    fn put<E: serde::de::Error>(self, value: Value<'_>) -> Result<(), E> {
        put(self.state.cells, self.index, |out| encode(&self.field.kind, value, out))
            .map_err(|error| self.reject(error, value))
    }

    #[inline]
    fn is_unavailable(&self, text: &str) -> bool {
        self.decoder.is_unavailable_text(text)
    }

    #[cold]
    fn reject<E: serde::de::Error>(self, error: EncodeError, value: Value<'_>) -> E {
        let rejection = match value {
            Value::Bool(value) => reject_value(self.field, error, if value { "true" } else { "false" }),
            Value::Int(_) | Value::Number(_) => {
                reject_value(self.field, error, number_at(value_at(self.after_name)))
            }
            Value::Str(text) => reject_value(self.field, error, &format!("{text:?}")),
        };
        leave(self.state, rejection)
    }

    /// The error for an object, or an array that is not unwrapped.
    #[cold]
    fn reject_nested<E: serde::de::Error>(self) -> E {
        leave(
            self.state,
            reject_value(self.field, EncodeError::WrongType, &own_text(value_at(self.after_name))),
        )
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.field.kind)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<(), E> {
        if self.is_unavailable(text) {
            return Ok(());
        }
        self.put(Value::Str(text)) // what has no escapes has no U+0000
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if self.is_unavailable(text) {
            return Ok(());
        }
        match resolve_nul(text, self.decoder.options.null_bytes) {
            Ok(text) => self.put(Value::Str(&text)),
            Err(error) => Err(self.reject(error, Value::Str(text))),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.put(Value::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let after_name = self.after_name;
        let literal = |_| Value::Number(number_at(value_at(after_name)));
        self.put(i64::try_from(value).map_or_else(literal, Value::Int))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        let literal = number_at(value_at(self.after_name));
        self.put(Value::Number(literal))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.put(Value::Bool(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        put_null(self.field, self.index, self.state.cells).map_err(|rejection| leave(self.state, rejection))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        if !self.decoder.options.unwrap_single_element_arrays {
            return Err(self.reject_nested());
        }
        let Some(element) = array.next_element::<&RawValue>()? else { return Err(self.reject_nested()) };
        if array.next_element::<IgnoredAny>()?.is_some() {
            return Err(self.reject_nested());
        }
        if self.decoder.is_unavailable(element.get()) {
            return Ok(());
        }
        encode_scalar(element.get(), self.field, self.index, self.decoder.options, self.state.cells)
            .map_err(|rejection| leave(self.state, rejection))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.reject_nested())
    }
}
