//! The quick way to read a record: it knows the table, expects the fields in the order of the record before, and takes only
//! what it is certain about. [`super::record`] reads every other record and decides what is wrong with it; a property holds
//! both equal.

use super::record::reads_raw;
use super::scan::{Number, Scanner, Text};
use super::value::{encode_raw, encode_scalar, put, put_null};
use super::{Cells, Decoder, Field};
use crate::encode::{Kind, Value, encode, resolve_nul};

/// Up to this many digits, an integer and a power of ten are exact as `f64`, and their quotient is rounded once.
const EXACT_DIGITS: usize = 15;
const POWERS: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Decodes the text of an object into `cells`, which are all absent. `None`: [`super::record::read`] has to do it, and what
/// `cells` hold is unspecified.
pub(super) fn read(decoder: &Decoder, text: &str, cells: &mut Cells) -> Option<()> {
    let mut json = Scanner::new(text);
    json.space();
    if !json.skip(b'{') {
        return None;
    }
    json.space();
    if json.skip(b'}') {
        return json.at_end().then_some(());
    }
    let mut place = 0;
    loop {
        let expected = cells.order.expected(place);
        let name = decoder.quoted_names.get(expected).map_or(&[][..], |name| name);
        let field = if !name.is_empty() && json.skip_all(name) {
            json.space();
            Some(expected)
        } else {
            let found = look_up(decoder, &mut json)?;
            if let Some(index) = found {
                cells.order.learn(place, index);
            }
            found
        };
        match field {
            Some(index) => {
                read_value(decoder, index, &mut json, cells)?;
                place = index + 1;
            }
            None => _ = json.value()?,
        }
        json.space();
        if json.skip(b'}') {
            return json.at_end().then_some(());
        }
        if !json.skip(b',') {
            return None;
        }
        json.space();
    }
}

/// A name as it begins a member: quoted, with its colon. Empty where that is not how every producer writes it.
pub(super) fn quoted_name(name: &str) -> Box<[u8]> {
    let plain = !name.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    if plain { format!("\"{name}\":").into_bytes().into() } else { Box::default() }
}

/// Reads a member's name and colon: the field that it names, or `Some(None)` if no column takes it.
fn look_up(decoder: &Decoder, json: &mut Scanner<'_>) -> Option<Option<usize>> {
    let Text { raw: name, escaped, .. } = json.string()?;
    if escaped {
        return None;
    }
    json.colon()?;
    let found = decoder.by_name.get(name).copied();
    let refused =
        found.is_none() && decoder.options.reject_unknown_fields && !decoder.is_filled_elsewhere(name);
    (!refused).then_some(found)
}

#[inline]
fn read_value(decoder: &Decoder, index: usize, json: &mut Scanner<'_>, cells: &mut Cells) -> Option<()> {
    let field = &decoder.fields[index];
    let first = json.peek()?;
    if first == b'n' {
        json.word(b"null")?;
        return put_null(field, index, cells).ok();
    }
    match &field.kind {
        Kind::Float4 | Kind::Float8 if first != b'"' && first != b'[' => {
            let number = json.number()?;
            put_float(field, index, number, cells)
        }
        kind if reads_raw(kind) => {
            let raw = json.value()?;
            if decoder.is_unavailable(raw) {
                return Some(());
            }
            encode_raw(raw, field, index, decoder.options, cells).ok()
        }
        _ => read_scalar(decoder, field, index, first, json, cells),
    }
}

/// Reads a value for a column whose kind takes single values.
#[inline]
fn read_scalar(
    decoder: &Decoder,
    field: &Field,
    index: usize,
    first: u8,
    json: &mut Scanner<'_>,
    cells: &mut Cells,
) -> Option<()> {
    let value = match first {
        b'"' => {
            let text @ Text { raw, escaped, .. } = json.string()?;
            if escaped {
                return read_escaped(decoder, field, index, raw, cells);
            }
            if decoder.is_unavailable_text(raw) {
                return Some(());
            }
            if matches!(field.kind, Kind::Text) {
                return put(cells, index, |out| {
                    text.append_to(out);
                    Ok(())
                })
                .ok();
            }
            Value::Str(raw)
        }
        b'-' | b'0'..=b'9' => number(json.number()?)?,
        b't' => json.word(b"true").map(|()| Value::Bool(true))?,
        b'f' => json.word(b"false").map(|()| Value::Bool(false))?,
        b'[' if decoder.options.unwrap_single_element_arrays => {
            return read_only_element(decoder, field, index, json, cells);
        }
        _ => return None,
    };
    put(cells, index, |out| encode(&field.kind, value, out)).ok()
}

/// A number as serde_json would give it to the encoder, unless it may be beyond the range of what serde_json reads.
#[inline]
fn number(number: Number<'_>) -> Option<Value<'_>> {
    let digits = number.digits.and_then(|digits| i64::try_from(digits).ok()).filter(|_| !number.exponent)?;
    Some(match (number.fraction, number.negative()) {
        (0, false) => Value::Int(digits),
        (0, true) if digits != 0 => Value::Int(-digits),
        // What is left has a fraction, or is -0.
        _ => Value::Number(number.literal),
    })
}

fn put_float(field: &Field, index: usize, number: Number<'_>, cells: &mut Cells) -> Option<()> {
    let exact = number.digits.filter(|digits| {
        matches!(field.kind, Kind::Float8)
            && !number.exponent
            && number.fraction <= EXACT_DIGITS
            && *digits < 10u64.pow(EXACT_DIGITS as u32)
    });
    let done = match exact {
        Some(digits) => {
            let value = digits as f64 / POWERS[number.fraction];
            let value = if number.negative() { -value } else { value };
            put(cells, index, |out| {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            })
        }
        None => put(cells, index, |out| encode(&field.kind, Value::Number(number.literal), out)),
    };
    done.ok()
}

/// A string with escapes, as serde_json reads it.
fn read_escaped(decoder: &Decoder, field: &Field, index: usize, raw: &str, cells: &mut Cells) -> Option<()> {
    let text: String = serde_json::from_str(&format!("\"{raw}\"")).ok()?;
    if decoder.is_unavailable_text(&text) {
        return Some(());
    }
    let text = resolve_nul(&text, decoder.options.null_bytes).ok()?;
    put(cells, index, |out| encode(&field.kind, Value::Str(&text), out)).ok()
}

/// The element of an array that has only one.
fn read_only_element(
    decoder: &Decoder,
    field: &Field,
    index: usize,
    json: &mut Scanner<'_>,
    cells: &mut Cells,
) -> Option<()> {
    json.skip(b'[');
    json.space();
    let element = json.value()?;
    json.space();
    if !json.skip(b']') {
        return None;
    }
    if decoder.is_unavailable(element) {
        return Some(());
    }
    encode_scalar(element, field, index, decoder.options, cells).ok()
}

#[cfg(test)]
mod tests;
