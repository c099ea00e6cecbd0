//! Quoting of identifiers and literals, for statements that cannot take them as parameters.

use std::fmt::Write as _;

use thiserror::Error;

use crate::types::IDENTIFIER_MAX_BYTES;

/// Quotes an identifier.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string literal, whatever `standard_conforming_strings` says.
pub(crate) fn literal(value: &str) -> String {
    let escaped = value.replace('\'', "''");
    if escaped.contains('\\') {
        format!("E'{}'", escaped.replace('\\', "\\\\"))
    } else {
        format!("'{escaped}'")
    }
}

/// A literal of type `text[]`.
pub(crate) fn text_array<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut inner = String::from("{");
    for (i, value) in values.enumerate() {
        let separator = if i == 0 { "" } else { "," };
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        write!(inner, "{separator}\"{escaped}\"").expect("writing to a String cannot fail");
    }
    inner.push('}');
    literal(&inner)
}

/// A literal of an integer array type.
pub(crate) fn int_array(values: impl Iterator<Item = i64>) -> String {
    let numbers: Vec<String> = values.map(|v| v.to_string()).collect();
    format!("'{{{}}}'", numbers.join(","))
}

/// A name that PostgreSQL would cut off: two such names may mean the same table.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{name:?} has {} bytes, and PostgreSQL would cut it off after {IDENTIFIER_MAX_BYTES}: names that begin alike would \
         mean one table. Set another name; for one topic in [topics.\"…\"]", .name.len())]
pub struct NameTooLong {
    /// The schema or the table.
    pub name: String,
}

/// A table's name.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct TableName {
    /// `None`: the session's search_path decides.
    pub schema: Option<String>,
    /// The name without its schema.
    pub table: String,
}

impl TableName {
    /// Reads `table` or `schema.table`; a double-quoted part may itself contain dots.
    pub fn parse(text: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let first = parts.len() == 1;
            let part = parts.last_mut().expect("there is always a part being read");
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    part.push('"');
                }
                '"' if quoted || part.is_empty() => quoted = !quoted,
                '.' if !quoted && first && chars.peek().is_some() => parts.push(String::new()),
                c => part.push(c),
            }
        }
        let table = parts.pop().expect("there is always a part");
        Self { schema: parts.pop(), table }
    }

    /// Refuses a name that PostgreSQL would cut off.
    ///
    /// # Errors
    /// The part that is too long.
    pub fn check_length(&self) -> Result<(), NameTooLong> {
        let parts = self.schema.iter().chain([&self.table]);
        match parts.into_iter().find(|part| part.len() > IDENTIFIER_MAX_BYTES) {
            Some(name) => Err(NameTooLong { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// The name as SQL, quoted.
    pub fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", ident(schema), ident(&self.table)),
            None => ident(&self.table),
        }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

/// A text that the database can store. Without `any_text`, all but ASCII is escaped.
pub(crate) fn storable(text: &str, any_text: bool) -> String {
    if any_text {
        return text.replace('\0', "\u{fffd}");
    }
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && c != '\0' { ascii.push(c) } else { ascii.extend(c.escape_unicode()) }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_quotes_and_dots_survive() {
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(TableName::parse("public.scores").sql(), "\"public\".\"scores\"");
        assert_eq!(TableName::parse("Live Scores").sql(), "\"Live Scores\"");
        assert_eq!(TableName::parse("\"a.b\".\"c\"\"d\"").sql(), "\"a.b\".\"c\"\"d\"");
    }

    #[test]
    fn a_name_that_would_be_cut_off_is_refused() {
        let fits = "é".repeat(31) + "x";
        assert_eq!(TableName::parse(&format!("{fits}.{fits}")).check_length(), Ok(()));
        for name in [format!("{fits}y"), format!("s.{fits}y"), format!("{fits}y.t"), format!("\"{fits}.\"")] {
            let error = TableName::parse(&name).check_length().unwrap_err();
            assert!(error.to_string().contains("has 64 bytes"), "{error}");
        }
    }

    #[test]
    fn literals_cannot_be_left_early() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(text_array(["a\"b", "c"].into_iter()), "E'{\"a\\\\\"b\",\"c\"}'");
        assert_eq!(int_array([1, -2].into_iter()), "'{1,-2}'");
    }

    #[test]
    fn a_database_with_few_characters_gets_ascii() {
        assert_eq!(storable("日 é\0x", false), "\\u{65e5} \\u{e9}\\u{0}x");
        assert_eq!(storable("日 é\0x", true), "日 é\u{fffd}x");
    }
}
