//! Reads JSON text from left to right, strictly by the grammar of RFC 8259.

/// Objects and arrays inside each other that [`Scanner::value`] follows.
const DEPTH: u32 = 64;
/// Digits that a `u64` always holds.
const DIGITS: usize = 18;

/// A place in JSON text. What is read moves it; a method that returns `None` has found something that is not JSON, or that
/// serde_json must look at.
pub(super) struct Scanner<'de> {
    text: &'de str,
    at: usize,
}

/// A string, without its quotes.
#[derive(Clone, Copy)]
pub(super) struct Text<'de> {
    /// As it is written.
    pub raw: &'de str,
    /// It has escapes.
    pub escaped: bool,
    /// The record from its first byte on.
    from: &'de [u8],
}

impl Text<'_> {
    /// Appends it as it is written.
    #[inline]
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        // Most strings are short. Copying a fixed number of bytes and cutting them takes less than a call.
        match self.from.first_chunk::<24>() {
            Some(start) if self.raw.len() <= start.len() => {
                let end = out.len() + self.raw.len();
                out.extend_from_slice(start);
                out.truncate(end);
            }
            _ => out.extend_from_slice(self.raw.as_bytes()),
        }
    }
}

/// A number.
#[derive(Clone, Copy)]
pub(super) struct Number<'de> {
    /// As it is written.
    pub literal: &'de str,
    /// Its digits as one integer, if there are at most 18 of them.
    pub digits: Option<u64>,
    /// How many of the digits are after the point.
    pub fraction: usize,
    pub exponent: bool,
}

impl Number<'_> {
    /// Whether there is a minus.
    pub(super) fn negative(&self) -> bool {
        self.literal.starts_with('-')
    }
}

impl<'de> Scanner<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn rest(&self) -> &'de [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Skips white space.
    #[inline]
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// Skips `byte` if it comes next.
    #[inline]
    pub(super) fn skip(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Skips `expected` if it comes next.
    #[inline]
    pub(super) fn skip_all(&mut self, expected: &[u8]) -> bool {
        let there = starts_with(self.rest(), expected);
        if there {
            self.at += expected.len();
        }
        there
    }

    /// Whether nothing but white space is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Reads a string whose opening quote is next.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Text<'de>> {
        if !self.skip(b'"') {
            return None;
        }
        let (start, from, mut escaped) = (self.at, self.rest(), false);
        loop {
            self.at += plain_length(self.rest());
            match self.peek()? {
                b'"' => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Some(Text { raw, escaped, from });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    /// Skips an escape whose backslash is next.
    fn escape(&mut self) -> Option<()> {
        let rest = self.rest();
        self.at += match rest.get(1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if rest.get(2..6)?.iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return None,
        };
        Some(())
    }

    /// Reads a number.
    #[inline]
    pub(super) fn number(&mut self) -> Option<Number<'de>> {
        let start = self.at;
        self.skip(b'-');
        let mut digits = 0;
        let first = self.peek()?;
        let whole = self.digits(&mut digits)?;
        if first == b'0' && whole > 1 {
            return None;
        }
        let fraction = if self.skip(b'.') { self.digits(&mut digits)? } else { 0 };
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits(&mut 0)?;
        }
        let digits = Some(digits).filter(|_| whole + fraction <= DIGITS);
        Some(Number { literal: &self.text[start..self.at], digits, fraction, exponent })
    }

    /// Appends one digit or more to `value`, and returns how many there were.
    #[inline]
    fn digits(&mut self, value: &mut u64) -> Option<usize> {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            // Beyond what it holds, the value is not used.
            *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        Some(self.at - start).filter(|length| *length > 0)
    }

    /// Reads any value, and returns its text.
    pub(super) fn value(&mut self) -> Option<&'de str> {
        let start = self.at;
        // A bit for each object or array that is open: 1 for an object.
        let (mut depth, mut objects) = (0, 0u64);
        loop {
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    self.space();
                    let object = bracket == b'{';
                    if !self.skip(if object { b'}' } else { b']' }) {
                        if depth == DEPTH {
                            return None;
                        }
                        depth += 1;
                        objects = objects << 1 | u64::from(object);
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // After a value: what is open ends or goes on.
            loop {
                if depth == 0 {
                    return Some(&self.text[start..self.at]);
                }
                self.space();
                let object = objects & 1 == 1;
                if self.skip(b',') {
                    self.space();
                    if object {
                        self.name()?;
                    }
                    break;
                }
                if !self.skip(if object { b'}' } else { b']' }) {
                    return None;
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    /// Skips a member's name and colon, and the white space after it.
    fn name(&mut self) -> Option<()> {
        self.string()?;
        self.colon()
    }

    /// Skips a colon and the white space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Option<()> {
        self.space();
        if !self.skip(b':') {
            return None;
        }
        self.space();
        Some(())
    }

    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// Skips a word that has to be next.
    pub(super) fn word(&mut self, word: &[u8]) -> Option<()> {
        self.skip_all(word).then_some(())
    }
}

/// The number of bytes before the first quote, backslash or control character.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // The highest bit of each byte that is zero. A byte above such a byte may be marked as well: only the lowest counts.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut at = 0;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (controls | zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c))) & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    bytes[at..].iter().position(special).map_or(bytes.len(), |rest| at + rest)
}

/// The same as the method of slices, without a call: names are short.
#[inline]
fn starts_with(bytes: &[u8], expected: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..expected.len()) else { return false };
    let ((words, _), (expected_words, rest)) = (bytes.as_chunks::<8>(), expected.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let same = words.iter().zip(expected_words).all(|(a, b)| word(a) == word(b));
    match (bytes.last_chunk(), expected.last_chunk()) {
        // The last word covers the rest, and a part of the word before it again.
        (Some(end), Some(expected_end)) => same && word(end) == word(expected_end),
        _ => bytes.iter().zip(rest).all(|(a, b)| a == b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    #[test]
    fn a_value_ends_where_its_grammar_says() {
        for (text, value) in [
            ("1,", Some("1")),
            ("-0.5e+3 ", Some("-0.5e+3")),
            ("[1, {\"a\" : []} ]x", Some("[1, {\"a\" : []} ]")),
            ("{}}", Some("{}")),
            (r#""a\"\u00e9",1"#, Some(r#""a\"\u00e9""#)),
            ("null", Some("null")),
            ("01", None),
            ("1.", None),
            ("-", None),
            ("1e", None),
            ("[1,]", None),
            ("{\"a\":1,}", None),
            ("{a:1}", None),
            ("\"a\nb\"", None),
            (r#""\x""#, None),
            (r#""\u12g4""#, None),
            ("\"a", None),
            ("[", None),
            ("", None),
        ] {
            assert_eq!(Scanner::new(text).value(), value, "{text}");
        }
    }

    #[test]
    fn what_nests_too_deep_is_left_to_serde_json() {
        let nested = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Scanner::new(&nested(64)).value().is_some());
        assert!(Scanner::new(&nested(65)).value().is_none());
    }

    #[test]
    fn a_string_is_appended_whole_and_alone() {
        for length in [0, 1, 23, 24, 25, 100] {
            for after in ["", ",\"what follows the string\":1}"] {
                let string = "s".repeat(length);
                let json = format!("\"{string}\"{after}");
                let mut out = b"before ".to_vec();
                Scanner::new(&json).string().unwrap().append_to(&mut out);
                assert_eq!(out, format!("before {string}").into_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn a_value_is_one_for_serde_json_too(text in r#"[\[\]{},: "a\\n01.eE+\-\nu]{0,24}"#) {
            if let Some(value) = Scanner::new(&text).value() {
                prop_assert_eq!(serde_json::from_str::<&RawValue>(value).map(RawValue::get).ok(), Some(value));
            }
        }

        #[test]
        fn the_first_special_byte_is_found(text in r#"[a-é "\\\x01-\x20]{0,40}"#) {
            let special = |byte: u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let expected = text.bytes().position(special).unwrap_or(text.len());
            prop_assert_eq!(plain_length(text.as_bytes()), expected);
        }

        #[test]
        fn a_start_is_compared_as_slices_compare_it(a in "[ab]{0,20}", b in "[ab]{0,20}", cut in 0..20usize) {
            let cut = &a[..cut.min(a.len())];
            prop_assert!(starts_with(a.as_bytes(), cut.as_bytes()));
            prop_assert_eq!(starts_with(a.as_bytes(), b.as_bytes()), a.starts_with(&b));
        }
    }
}
