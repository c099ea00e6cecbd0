//! JSON arrays for array columns: nested arrays are dimensions, as in PostgreSQL's `populate_array`.

use serde_json::value::RawValue;

use super::Options;
use super::value::encode_element;
use crate::encode::{Array, EncodeError, check_depth};

/// The most dimensions that the server has (`MAXDIM`).
const MAX_DIMENSIONS: usize = 6;
/// The most elements that a message of the protocol could carry.
const MAX_ELEMENTS: usize = i32::MAX as usize;

/// Appends the array that `text`, a JSON array, stands for, in the form of `array_recv`.
///
/// How many dimensions it has is known when the first element that is no array is met, or an array without elements.
/// From then on every array of a dimension must be as long as its first.
pub(super) fn encode_array(
    text: &str,
    of: &Array,
    options: Options,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    check_depth(text)?;
    let mut sizes = Vec::new();
    let mut inner = text;
    // Down the first elements, for the number of dimensions and their sizes.
    loop {
        let elements = elements_of(inner)?;
        sizes.push(elements.len());
        match elements.first() {
            Some(first) if first.get().starts_with('[') => inner = first.get(),
            _ => break,
        }
        if sizes.len() >= MAX_DIMENSIONS {
            return Err(EncodeError::OutOfRange);
        }
    }
    let is_empty = sizes.contains(&0);
    let dimensions = if is_empty { &[][..] } else { &sizes[..] };
    let word = |number: usize| i32::try_from(number).map_err(|_| EncodeError::OutOfRange);
    out.extend_from_slice(&word(dimensions.len())?.to_be_bytes());
    let has_null = out.len();
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&of.element_oid.to_be_bytes());
    for size in dimensions {
        out.extend_from_slice(&word(*size)?.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes()); // lower bound
    }
    let mut array = Elements { of, options, has_null: false, out };
    array.append(text, &sizes)?;
    if array.has_null {
        out[has_null + 3] = 1;
    }
    Ok(())
}

struct Elements<'a> {
    of: &'a Array,
    options: Options,
    has_null: bool,
    out: &'a mut Vec<u8>,
}

impl Elements<'_> {
    /// Appends the elements of one array and of those inside, at most [`MAX_DIMENSIONS`] deep.
    fn append(&mut self, text: &str, sizes: &[usize]) -> Result<(), EncodeError> {
        let Some((size, inner)) = sizes.split_first() else { return Ok(()) };
        let elements = elements_of(text)?;
        if elements.len() != *size {
            return Err(EncodeError::WrongType);
        }
        for element in elements {
            if inner.is_empty() {
                self.append_element(element.get())?;
            } else {
                self.append(element.get(), inner)?;
            }
        }
        Ok(())
    }

    fn append_element(&mut self, text: &str) -> Result<(), EncodeError> {
        if text == "null" {
            self.has_null = true;
            self.out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        let length = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        encode_element(text, &self.of.element, self.options, self.out)?;
        let bytes = i32::try_from(self.out.len() - length - 4).map_err(|_| EncodeError::TooLong)?;
        self.out[length..length + 4].copy_from_slice(&bytes.to_be_bytes());
        Ok(())
    }
}

/// The texts of a JSON array's elements; any other JSON is of the wrong type.
fn elements_of(text: &str) -> Result<Vec<&RawValue>, EncodeError> {
    if !text.starts_with('[') {
        return Err(EncodeError::WrongType);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| EncodeError::WrongType)?;
    if elements.len() > MAX_ELEMENTS { Err(EncodeError::OutOfRange) } else { Ok(elements) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Kind, oid, write_text};
    use std::sync::Arc;

    fn read(text: &str, element: Kind) -> Result<String, EncodeError> {
        let of = Arc::new(Array { element, element_oid: oid::INT4, delimiter: b',' });
        let (mut field, mut out) = (Vec::new(), Vec::new());
        encode_array(text, &of, Options::default(), &mut field)?;
        write_text(&Kind::Array(of), &field, &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn nested_arrays_are_dimensions() {
        for (text, expected) in [
            ("[]", "{}"),
            ("[[]]", "{}"),
            ("[[], []]", "{}"),
            ("[1, null, \"3\"]", r#"{"1",NULL,"3"}"#),
            ("[[1,2],[3,null]]", r#"{{"1","2"},{"3",NULL}}"#),
            ("[[[[[[7]]]]]]", r#"{{{{{{"7"}}}}}}"#),
        ] {
            assert_eq!(read(text, Kind::Int4).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "[[1],[2,3]]",
            "[[1],2]",
            "[1,[2]]",
            "[[],[1]]",
            "[[1],[]]",
            "[[1],null]",
            "[{}]",
            "[1.5]",
            "{}",
            "1",
        ] {
            assert_eq!(read(text, Kind::Int4), Err(EncodeError::WrongType), "{text}");
        }
        assert_eq!(read("[[[[[[[7]]]]]]]", Kind::Int4), Err(EncodeError::OutOfRange));
        assert_eq!(read(r#"[{"a":1}]"#, Kind::Text), Err(EncodeError::WrongType));
        assert_eq!(read("[2147483648]", Kind::Int4), Err(EncodeError::OutOfRange));
        assert_eq!(read("[\"\\u0000\"]", Kind::Text), Err(EncodeError::NullByte));
        assert_eq!(read(&"[".repeat(10_000), Kind::Int4), Err(EncodeError::TooDeep));
    }

    #[test]
    fn elements_in_text_are_quoted() {
        assert_eq!(
            read(r#"["a,\"\\ b", "NULL", ""]"#, Kind::Text).as_deref(),
            Ok(r#"{"a,\"\\ b","NULL",""}"#)
        );
        assert_eq!(read(r#"[1,[2]]"#, Kind::Json).as_deref(), Ok(r#"{"1","[2]"}"#));
    }
}
