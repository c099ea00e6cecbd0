//! Reads the object of a record: finds each field's column and has its value encoded.

use super::rejection::{GOT, excerpt};
use super::value::{ValueSeed, encode_raw};
use super::wider::wider;
use super::{Cells, Decoder, Field, Reason, Rejection, reject};
use crate::encode::{EncodeError, Kind, check_depth};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The state that the visitors of one record share. serde's errors hold only text, so a rejection is stored here.
pub(super) struct RecordState<'a, 'de> {
    pub(super) cells: &'a mut Cells,
    pub(super) rejection: Option<Rejection>,
    /// The field whose value serde_json is interpreting, and the record's text from the end of its name on.
    current: Option<(usize, &'de str)>,
}

/// Decodes the text of an object into `cells`.
pub(super) fn read(decoder: &Decoder, text: &str, cells: &mut Cells) -> Result<(), Rejection> {
    let mut state = RecordState { cells, rejection: None, current: None };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let visitor = RecordVisitor { decoder, text, state: &mut state };
    let result = deserializer.deserialize_map(visitor).and_then(|()| deserializer.end());
    result.map_err(|error| {
        state.rejection.take().unwrap_or_else(|| explain(decoder, text, state.current, &error))
    })
}

/// Why serde_json failed on a record. The grammar of JSON allows more than serde_json can represent: if the text is valid
/// by the grammar, it has half of a surrogate pair, or a number beyond the range of a float.
fn explain(
    decoder: &Decoder,
    text: &str,
    current: Option<(usize, &str)>,
    error: &serde_json::Error,
) -> Rejection {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return reject(Reason::InvalidJson, error.to_string());
    }
    match current {
        Some((index, after_name)) => {
            let value = value_at(after_name);
            let number = !value.starts_with('"');
            let reason = if number { EncodeError::OutOfRange } else { EncodeError::LoneSurrogate };
            let own = if number { number_at(value).into() } else { own_text(value) };
            reject_value(&decoder.fields[index], reason, &own)
        }
        None => reject(Reason::InvalidText, format!("in a field's name: {error}")),
    }
}

/// The rejection of a field's value; `got` is its JSON text.
pub(super) fn reject_value(field: &Field, error: EncodeError, got: &str) -> Rejection {
    let Field { name, kind, column, .. } = field;
    let narrow = matches!(error, EncodeError::OutOfRange | EncodeError::TooLong);
    let wider = if narrow { wider(kind, got) } else { None };
    let got = excerpt(got);
    let detail = match error {
        EncodeError::WrongType => format!("field {name:?}: expected {kind}{GOT}{got}"),
        EncodeError::OutOfRange => format!("field {name:?}: out of range for {kind}{GOT}{got}"),
        EncodeError::TooLong => format!("field {name:?}: too long for {kind}{GOT}{got}"),
        EncodeError::UnknownLabel => format!("field {name:?}: {kind} has no such label{GOT}{got}"),
        EncodeError::NullByte | EncodeError::LoneSurrogate | EncodeError::TooDeep => {
            format!("field {name:?}: {error}{GOT}{got}")
        }
    };
    Rejection { reason: error.into(), column: Some(column.clone()), wider, detail }
}

/// Stores a rejection for [`read`]. The error that serde requires has no information.
pub(super) fn leave<E: serde::de::Error>(state: &mut RecordState<'_, '_>, rejection: Rejection) -> E {
    state.rejection = Some(rejection);
    E::custom("rejected")
}

/// The text from a value on, given the text from the closing quote of its name on.
pub(super) fn value_at(after_name: &str) -> &str {
    after_name.strip_prefix('"').unwrap_or_default().trim_start_matches([' ', '\t', '\n', '\r', ':'])
}

/// The text of the value that text begins with, without what follows it. Of a value that does not end: how it begins.
pub(super) fn own_text(text: &str) -> Cow<'_, str> {
    match serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().next() {
        Some(Ok(value)) => value.get().into(),
        _ => text.chars().next().map_or_else(String::new, |first| format!("{first}…")).into(),
    }
}

/// The literal of the number that text begins with.
pub(super) fn number_at(text: &str) -> &str {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    &text[..text.bytes().take_while(|byte| is_part(byte)).count()]
}

struct RecordVisitor<'a, 's, 'de> {
    decoder: &'a Decoder,
    text: &'de str,
    state: &'a mut RecordState<'s, 'de>,
}

impl<'de> Visitor<'de> for RecordVisitor<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let RecordVisitor { decoder, text, state } = self;
        let mut hint = 0;
        while let Some(key) = map.next_key_seed(KeySeed { decoder, text, hint, state })? {
            let Some(index) = key.field else {
                let raw: &RawValue = map.next_value()?;
                check_depth(raw.get()).map_err(|error| {
                    leave(state, reject(Reason::InvalidJson, format!("in a field without a column: {error}")))
                })?;
                continue;
            };
            hint = index + 1;
            let field = &decoder.fields[index];
            match key.after_name {
                Some(after_name) if !reads_raw(&field.kind) => {
                    state.current = Some((index, after_name));
                    map.next_value_seed(ValueSeed { field, index, after_name, decoder, state })?;
                    state.current = None;
                }
                _ => {
                    let raw: &RawValue = map.next_value()?;
                    if decoder.is_unavailable(raw.get()) {
                        continue;
                    }
                    encode_raw(raw.get(), field, index, decoder.options, state.cells)
                        .map_err(|rejection| leave(state, rejection))?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a kind takes nested values, or needs the text of a number more often than its value.
#[inline]
pub(super) fn reads_raw(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Json
            | Kind::Jsonb
            | Kind::Numeric { .. }
            | Kind::Float4
            | Kind::Float8
            | Kind::Array(_)
            | Kind::Input(_)
    )
}

/// A field's name, looked up.
struct Key<'de> {
    field: Option<usize>,
    /// The record's text from the name's closing quote on; `None` when the name was written with escapes.
    after_name: Option<&'de str>,
}

/// Looks up a field's name where it stands, without a copy.
struct KeySeed<'a, 's, 'de> {
    decoder: &'a Decoder,
    text: &'de str,
    hint: usize,
    state: &'a mut RecordState<'s, 'de>,
}

impl KeySeed<'_, '_, '_> {
    fn find<E: serde::de::Error>(&mut self, name: &str) -> Result<Option<usize>, E> {
        let field = self.decoder.find(name, self.hint);
        if field.is_none()
            && self.decoder.options.reject_unknown_fields
            && !self.decoder.is_filled_elsewhere(name)
        {
            let detail = format!("no column takes the field {:?}", excerpt(name));
            return Err(leave(self.state, reject(Reason::UnknownField, detail)));
        }
        Ok(field)
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_, 'de> {
    type Value = Key<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_, '_, 'de> {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: serde::de::Error>(mut self, name: &'de str) -> Result<Key<'de>, E> {
        // The name is a part of the record's text, so its address gives the position of its value.
        let end = (name.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize).wrapping_add(name.len());
        Ok(Key { field: self.find(name)?, after_name: self.text.get(end..) })
    }

    fn visit_str<E: serde::de::Error>(mut self, name: &str) -> Result<Key<'de>, E> {
        Ok(Key { field: self.find(name)?, after_name: None })
    }
}
