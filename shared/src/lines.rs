//! JSON lines: one record a line, in a file or on standard input.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};

use serde_json::value::RawValue;
use thiserror::Error;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1; blank lines count.
    pub number: u64,
    /// The line without its end, or the reason why it was not kept.
    pub text: Result<Vec<u8>, LineTooLong>,
}

/// A line that is longer than a record may be. It was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("longer than {0} bytes")]
pub struct LineTooLong(usize);

/// Reads lines of a bounded length. Blank lines and a byte order mark are skipped.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    number: u64,
    max_bytes: usize,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `reader`, of which each may have `max_bytes`.
    pub fn new(reader: R, max_bytes: usize) -> Self {
        Self { reader, number: 0, max_bytes }
    }

    /// The next line with its end, or as much of it as may be; empty at the end of the file.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        // Two bytes for its end and one to see that it is too long.
        let limit = self.max_bytes as u64 + 3;
        self.reader.by_ref().take(limit).read_until(b'\n', &mut text)?;
        Ok(text)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let available = self.reader.fill_buf()?;
            let (end, read) = match available.iter().position(|byte| *byte == b'\n') {
                Some(at) => (true, at + 1),
                None => (available.is_empty(), available.len()),
            };
            self.reader.consume(read);
            if end {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let text = match self.read() {
                Ok(text) if text.is_empty() => return None,
                Ok(text) => text,
                Err(error) => return Some(Err(error)),
            };
            self.number += 1;
            let ended = text.ends_with(b"\n");
            let mut line = text.strip_suffix(b"\n").unwrap_or(&text);
            line = line.strip_suffix(b"\r").unwrap_or(line);
            if self.number == 1 {
                line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
            }
            if line.len() > self.max_bytes {
                if !ended && let Err(error) = self.skip_rest() {
                    return Some(Err(error));
                }
                return Some(Ok(Line { number: self.number, text: Err(LineTooLong(self.max_bytes)) }));
            }
            if !line.trim_ascii().is_empty() {
                return Some(Ok(Line { number: self.number, text: Ok(line.to_vec()) }));
            }
        }
    }
}

/// Why a line is not a record. The text never holds values of the line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotARecord {
    /// Not one JSON value.
    #[error("not JSON at column {column}: {problem}")]
    Json {
        /// Where, in bytes from 1.
        column: usize,
        /// What the parser found.
        problem: String,
    },
    /// JSON, but not an object, so that it has no fields for a key.
    #[error("not an object, which the key is taken from")]
    NotAnObject,
    /// A field of the key is missing.
    #[error("no field {0:?}, which belongs to the key")]
    NoField(String),
    /// A field of the key is null.
    #[error("field {0:?}, which belongs to the key, is null")]
    NullField(String),
}

impl NotARecord {
    fn json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or_default().to_owned();
        Self::Json { column: error.column(), problem }
    }
}

/// Whether a line is one JSON value.
///
/// # Errors
/// [`NotARecord::Json`].
pub fn check(line: &[u8]) -> Result<(), NotARecord> {
    serde_json::from_slice::<&RawValue>(line).map(drop).map_err(|error| NotARecord::json(&error))
}

/// The key that a record gets from `fields` of its line: of one field the text of a string, or else its JSON; of several
/// fields an object with just them, in this order.
///
/// # Errors
/// The line is not an object with all of them.
pub fn key(fields: &[String], line: &[u8]) -> Result<Vec<u8>, NotARecord> {
    if !line.trim_ascii_start().starts_with(b"{") {
        return check(line).and(Err(NotARecord::NotAnObject));
    }
    let object: HashMap<String, &RawValue> =
        serde_json::from_slice(line).map_err(|error| NotARecord::json(&error))?;
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        let value = object.get(field).ok_or_else(|| NotARecord::NoField(field.clone()))?.get();
        if value == "null" {
            return Err(NotARecord::NullField(field.clone()));
        }
        parts.push((field, value));
    }
    if let [(_, value)] = parts[..] {
        // Half of a surrogate pair has no text.
        return Ok(serde_json::from_str::<String>(value).map_or_else(|_| value.into(), String::into_bytes));
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(field, value)| format!("{}:{value}", serde_json::Value::from(field.as_str())))
        .collect();
    Ok(format!("{{{}}}", parts.join(",")).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, max_bytes: usize) -> Vec<(u64, Option<String>)> {
        let text_of =
            |text: Result<Vec<u8>, LineTooLong>| text.ok().map(|text| String::from_utf8(text).unwrap());
        Lines::new(text.as_bytes(), max_bytes)
            .map(|line| line.map(|line| (line.number, text_of(line.text))).unwrap())
            .collect()
    }

    #[test]
    fn lines_are_numbered_as_an_editor_numbers_them() {
        let kept = |number, text: &str| (number, Some(text.to_owned()));
        assert_eq!(lines("\u{feff}1\r\n\n  \n2\n3", 9), [kept(1, "1"), kept(4, "2"), kept(5, "3")]);
        assert_eq!(lines("", 9), []);
        assert_eq!(lines("\n", 9), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_skipped() {
        let kept = |number, text: &str| (number, Some(text.to_owned()));
        for long in ["1234", "12345", "123456", "12345678901234567890"] {
            let text = format!("123\n{long}\r\n456\n{long}");
            assert_eq!(lines(&text, 3), [kept(1, "123"), (2, None), kept(3, "456"), (4, None)], "{long}");
        }
    }

    #[test]
    fn a_key_is_text_or_json() {
        let key = |fields: &[&str], line: &str| {
            let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            super::key(&fields, line.as_bytes()).map(|key| String::from_utf8(key).unwrap())
        };
        let line = r#" {"id":"a\u00e9","n":1.50,"o":{"x": 1},"b":true,"id2":1,"z":null} "#;
        assert_eq!(key(&["id"], line).unwrap(), "aé");
        assert_eq!(key(&["n"], line).unwrap(), "1.50");
        assert_eq!(key(&["o"], line).unwrap(), r#"{"x": 1}"#);
        assert_eq!(key(&["n", "id"], line).unwrap(), r#"{"n":1.50,"id":"a\u00e9"}"#);
        assert_eq!(key(&["nn"], line), Err(NotARecord::NoField("nn".into())));
        assert_eq!(key(&["z"], line), Err(NotARecord::NullField("z".into())));
        assert_eq!(key(&["z"], "[1]"), Err(NotARecord::NotAnObject));
        let broken = key(&["id"], r#"{"id":1,}"#).unwrap_err();
        assert_eq!(broken.to_string(), "not JSON at column 9: trailing comma");
    }

    #[test]
    fn a_line_is_one_json_value() {
        for line in ["{}", "1", "\"x\"", "[1, 2]", "null", r#""\ud800""#] {
            check(line.as_bytes()).unwrap();
        }
        for line in ["{", "{} {}", "x", "{\"a\":1"] {
            check(line.as_bytes()).unwrap_err();
        }
        check(b"\"\xff\"").unwrap_err();
    }
}
